//! The way from sudo to a committee: motions of the technical committee do what sudo does, and remove it.

use crate::{
    configs::TechnicalCollective, genesis_presets::tests::state_of, Hash, ProofOfQuality, Runtime,
    RuntimeCall, RuntimeEvent, RuntimeOrigin, Sudo, System, TechnicalCommittee,
};
use codec::Encode;
use frame_support::{
    assert_noop, assert_ok,
    dispatch::{DispatchResultWithPostInfo, GetDispatchInfo},
    storage::unhashed,
};
use pallet_block_authors::Authors;
use pallet_collective::{Error, Event, MemberCount};
use pallet_proof_of_quality::EconomicParameters;
use sp_core::storage::well_known_keys::CODE;
use sp_genesis_builder::LOCAL_TESTNET_RUNTIME_PRESET;
use sp_keyring::Sr25519Keyring::{self, Alice, Bob, Charlie, Dave, Eve};
use sp_runtime::{
    traits::{BlakeTwo256, Hash as _},
    DispatchError, DispatchResult,
};

type Motion = pallet_collective::Call<Runtime, TechnicalCollective>;

/// Blocks after which a motion can be closed whatever the votes.
const MOTION_BLOCKS: u32 = 3 * crate::time::DAY;

/// The committee of `local`: Alice to Dave. Alice is sudo.
fn on_chain(test: impl FnOnce()) {
    state_of(&LOCAL_TESTNET_RUNTIME_PRESET.into()).execute_with(|| {
        System::set_block_number(1);
        test();
        assert_eq!(ProofOfQuality::check_invariants(), Ok(()));
    });
}

fn signed(who: Sr25519Keyring) -> RuntimeOrigin {
    RuntimeOrigin::signed(who.to_account_id())
}

/// Proposes a motion that passes with `threshold` votes, and returns its hash and its number.
fn propose(by: Sr25519Keyring, threshold: MemberCount, call: &RuntimeCall) -> (Hash, u32) {
    let index = pallet_collective::ProposalCount::<Runtime, TechnicalCollective>::get();
    let bytes = call.encoded_size() as u32;
    assert_ok!(TechnicalCommittee::propose(signed(by), threshold, Box::new(call.clone()), bytes));
    (BlakeTwo256::hash_of(call), index)
}

fn close(call: &RuntimeCall, index: u32) -> DispatchResultWithPostInfo {
    let (weight, bytes) = (call.get_dispatch_info().call_weight, call.encoded_size() as u32);
    TechnicalCommittee::close(signed(Eve), BlakeTwo256::hash_of(call), index, weight, bytes)
}

/// A motion for which these members vote, and no others; what came of its call.
fn motion(votes: &[Sr25519Keyring], call: &RuntimeCall) -> DispatchResult {
    let (hash, index) = propose(votes[0], votes.len() as MemberCount, call);
    for member in votes {
        assert_ok!(TechnicalCommittee::vote(signed(*member), hash, index, true));
    }
    assert_ok!(close(call, index));
    executed(hash)
}

/// What came of a motion's call.
fn executed(hash: Hash) -> DispatchResult {
    let mut results = System::events().into_iter().filter_map(|record| match record.event {
        RuntimeEvent::TechnicalCommittee(Event::Executed { proposal_hash, result }) => {
            (proposal_hash == hash).then_some(result)
        }
        _ => None,
    });
    results.next_back().expect("the motion was executed")
}

/// A motion that makes `call` as root.
fn as_root(call: RuntimeCall) -> RuntimeCall {
    let call_hash = BlakeTwo256::hash_of(&call);
    let calls = vec![
        pallet_whitelist::Call::whitelist_call { call_hash }.into(),
        pallet_whitelist::Call::dispatch_whitelisted_call_with_preimage { call: Box::new(call) }.into(),
    ];
    pallet_utility::Call::batch_all { calls }.into()
}

fn waiting_fee() -> u128 {
    EconomicParameters::<Runtime>::get().waiting_fee
}

/// A call that sets the parameters as they are, with another fee for waiting.
fn set_waiting_fee(fee: u128) -> RuntimeCall {
    let mut parameters = EconomicParameters::<Runtime>::get();
    parameters.waiting_fee = fee;
    pallet_proof_of_quality::Call::set_parameters { parameters }.into()
}

const TWO: [Sr25519Keyring; 2] = [Alice, Bob];
const THREE: [Sr25519Keyring; 3] = [Bob, Charlie, Dave];

#[test]
fn two_thirds_do_what_sudo_does_and_fewer_do_nothing() {
    on_chain(|| {
        let before = waiting_fee();
        let call = set_waiting_fee(before + 1);
        assert_eq!(motion(&TWO, &call), Err(DispatchError::BadOrigin), "half of the committee");
        assert_eq!(waiting_fee(), before);
        assert_eq!(motion(&THREE, &call), Ok(()));
        assert_eq!(waiting_fee(), before + 1);

        let auditors = vec![Eve.to_account_id()].try_into().unwrap();
        let call: RuntimeCall = pallet_proof_of_quality::Call::set_auditors { auditors }.into();
        assert_eq!(motion(&TWO, &call), Err(DispatchError::BadOrigin));
        assert_eq!(motion(&THREE, &call), Ok(()));

        let author = Dave.to_account_id();
        let call: RuntimeCall = pallet_block_authors::Call::remove_author { author }.into();
        assert_eq!(motion(&TWO, &call), Err(DispatchError::BadOrigin));
        assert_eq!(motion(&THREE, &call), Ok(()));
        assert_eq!(Authors::<Runtime>::get().len(), 3);

        let new = vec![Alice.to_account_id(), Bob.to_account_id(), Eve.to_account_id()];
        let call: RuntimeCall = Motion::set_members { new_members: new, prime: None, old_count: 4 }.into();
        assert_eq!(motion(&TWO, &call), Err(DispatchError::BadOrigin));
        assert_eq!(motion(&THREE, &call), Ok(()));
        let call = set_waiting_fee(before + 2);
        let stranger = TechnicalCommittee::propose(signed(Dave), 2, Box::new(call.clone()), 1_000);
        assert_eq!(
            stranger.map(drop).map_err(|error| error.error),
            Err(Error::<Runtime, TechnicalCollective>::NotMember.into())
        );
        assert_eq!(motion(&[Bob, Eve], &call), Ok(()), "two of three");
    });
}

#[test]
fn the_committee_removes_sudo_and_upgrades_the_chain_without_it() {
    on_chain(|| {
        let remove = as_root(pallet_sudo::Call::remove_key {}.into());
        assert_eq!(motion(&TWO, &remove), Err(DispatchError::BadOrigin));
        assert!(pallet_sudo::Key::<Runtime>::get().is_some());
        assert_eq!(motion(&THREE, &remove), Ok(()));
        assert_eq!(pallet_sudo::Key::<Runtime>::get(), None);
        let call = Box::new(set_waiting_fee(1));
        assert_noop!(Sudo::sudo(signed(Alice), call), pallet_sudo::Error::<Runtime>::RequireSudo);

        // Without the checks of the code's version, which an executor makes: this code is none.
        let code = vec![7; 1_000];
        let code_hash = BlakeTwo256::hash(&code);
        let authorize = as_root(frame_system::Call::authorize_upgrade_without_checks { code_hash }.into());
        assert_eq!(motion(&TWO, &authorize), Err(DispatchError::BadOrigin));
        let apply = |code: &[u8]| System::apply_authorized_upgrade(signed(Eve), code.to_vec());
        assert!(apply(&code).is_err(), "nothing is authorized");
        assert_eq!(motion(&THREE, &authorize), Ok(()));
        assert!(apply(b"another code").is_err());
        assert_ok!(apply(&code));
        assert_eq!(unhashed::get_raw(CODE), Some(code));
    });
}

#[test]
fn one_member_alone_has_no_way_to_be_root() {
    on_chain(|| {
        let root = as_root(pallet_sudo::Call::remove_key {}.into());
        let bytes = root.encoded_size() as u32;
        // With a threshold of one a motion is executed at once, with the votes of one of four.
        assert_ok!(TechnicalCommittee::propose(signed(Bob), 1, Box::new(root.clone()), bytes));
        assert_eq!(executed(BlakeTwo256::hash_of(&root)), Err(DispatchError::BadOrigin));
        assert_ok!(TechnicalCommittee::execute(signed(Bob), Box::new(root.clone()), bytes));
        assert!(pallet_sudo::Key::<Runtime>::get().is_some());
        // What half of the committee lets through is not dispatched by anyone.
        let call_hash = BlakeTwo256::hash_of(&root);
        let whitelist: RuntimeCall = pallet_whitelist::Call::whitelist_call { call_hash }.into();
        assert_eq!(motion(&TWO, &whitelist), Err(DispatchError::BadOrigin));
        assert_eq!(motion(&THREE, &whitelist), Ok(()));
        let dispatch = crate::Whitelist::dispatch_whitelisted_call_with_preimage(signed(Bob), Box::new(root));
        assert!(dispatch.is_err(), "that takes another motion");
        assert!(pallet_sudo::Key::<Runtime>::get().is_some());
    });
}

#[test]
fn who_is_away_does_not_vote_for_whoever_leads_the_committee() {
    on_chain(|| {
        let all = [Alice, Bob, Charlie, Dave];
        let members = all.map(|member| member.to_account_id()).to_vec();
        let prime = Some(Alice.to_account_id());
        assert_ok!(TechnicalCommittee::set_members(RuntimeOrigin::root(), members, prime, 4));
        let before = waiting_fee();
        let call = set_waiting_fee(before + 1);
        let (hash, index) = propose(Alice, 3, &call);
        for member in TWO {
            assert_ok!(TechnicalCommittee::vote(signed(member), hash, index, true));
        }
        let early = close(&call, index).map(drop).map_err(|error| error.error);
        assert_eq!(early, Err(Error::<Runtime, TechnicalCollective>::TooEarly.into()));
        System::set_block_number(1 + MOTION_BLOCKS);
        assert_ok!(close(&call, index));
        let disapproved = Event::Disapproved { proposal_hash: hash };
        System::assert_has_event(RuntimeEvent::TechnicalCommittee(disapproved));
        assert_eq!(waiting_fee(), before);
    });
}
