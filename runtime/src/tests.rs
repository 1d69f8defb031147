//! Block authors, sessions and equivocations, with the pallets set up as they are.

use crate::{
    genesis_presets::tests::state_of, migrations::AdoptSessions, time::EPOCH_SLOTS, AccountId,
    AllPalletsWithSystem, Authorship, Babe, Balances, BlockAuthors, Grandpa, Header, Historical, Runtime,
    RuntimeEvent, RuntimeOrigin, Session, SessionKeys, System,
};
use codec::Encode;
use frame_support::{
    assert_noop, assert_ok,
    storage::unhashed,
    traits::{
        fungible::{Balanced, Inspect},
        KeyOwnerProofSystem, OnFinalize, OnInitialize, OnRuntimeUpgrade, OnUnbalanced,
    },
};
use pallet_block_authors::{Authors, Error, Event, FeeShare, MOST_FEE_SHARE};
use sp_consensus_babe::{
    digests::{CompatibleDigestItem, PreDigest, SecondaryPlainPreDigest},
    AuthorityId, AuthoritySignature, EquivocationProof,
};
use sp_core::{crypto::UncheckedFrom, ed25519, sr25519, Pair};
use sp_genesis_builder::{PresetId, DEV_RUNTIME_PRESET, LOCAL_TESTNET_RUNTIME_PRESET};
use sp_io::hashing::twox_128;
use sp_keyring::Sr25519Keyring::{self, Alice, Bob, Charlie, Dave, Eve};
use sp_runtime::{traits::Header as _, Digest, DigestItem, DispatchError, Permill};

/// The slot of the first block. Any will do.
const FIRST_SLOT: u64 = 1_000;

fn pre_digest(slot: u64) -> DigestItem {
    let pre = PreDigest::SecondaryPlain(SecondaryPlainPreDigest { authority_index: 0, slot: slot.into() });
    DigestItem::babe_pre_digest(pre)
}

/// The next block, in `slot`, so far as sessions are concerned.
fn block(slot: u64) {
    let number = System::block_number() + 1;
    System::reset_events();
    System::initialize(&number, &Default::default(), &Digest { logs: vec![pre_digest(slot)] });
    AllPalletsWithSystem::on_initialize(number);
    Babe::on_finalize(number);
    Grandpa::on_finalize(number);
}

/// The first block of session `session`.
fn enter_session(session: u32) {
    block(FIRST_SLOT + u64::from(session) * EPOCH_SLOTS);
    assert_eq!(Session::current_index(), session);
}

fn on_chain(preset: &str, test: impl FnOnce()) {
    state_of(&PresetId::from(preset)).execute_with(|| {
        enter_session(0);
        test();
        assert_eq!(BlockAuthors::check_invariants(), Ok(()));
    });
}

fn keys_of(account: Sr25519Keyring) -> SessionKeys {
    let grandpa = ed25519::Pair::from_string(&format!("//{account}"), None).unwrap();
    SessionKeys {
        babe: UncheckedFrom::unchecked_from(account.to_raw_public()),
        grandpa: grandpa.public().into(),
    }
}

fn set_keys(account: Sr25519Keyring) {
    let grandpa = ed25519::Pair::from_string(&format!("//{account}"), None).unwrap();
    let owner = account.to_account_id().encode();
    let statement = [b"POP_", &owner[..]].concat();
    let proof = (account.pair().sign(&statement), grandpa.sign(&statement)).encode();
    let origin = RuntimeOrigin::signed(account.to_account_id());
    assert_ok!(Session::set_keys(origin, keys_of(account), proof));
}

fn accounts(who: &[Sr25519Keyring]) -> Vec<AccountId> {
    who.iter().map(|who| who.to_account_id()).collect()
}

fn babe_authorities() -> Vec<AccountId> {
    let of = |key: AuthorityId| AccountId::new(key.encode().try_into().unwrap());
    Babe::authorities().into_iter().map(|(key, _)| of(key)).collect()
}

#[test]
fn an_author_joins_and_leaves_with_the_sessions() {
    on_chain(LOCAL_TESTNET_RUNTIME_PRESET, || {
        let (root, eve) = (RuntimeOrigin::root, Eve.to_account_id());
        assert_noop!(BlockAuthors::add_author(root(), eve.clone()), Error::<Runtime>::NoSessionKeys);
        set_keys(Eve);
        let signed = RuntimeOrigin::signed(eve.clone());
        assert_noop!(BlockAuthors::add_author(signed, eve.clone()), DispatchError::BadOrigin);
        assert_ok!(BlockAuthors::add_author(root(), eve.clone()));
        assert_noop!(BlockAuthors::add_author(root(), eve.clone()), Error::<Runtime>::AlreadyAuthor);
        assert_ok!(BlockAuthors::remove_author(root(), Alice.to_account_id()));
        assert_noop!(BlockAuthors::remove_author(root(), Alice.to_account_id()), Error::<Runtime>::NotAuthor);

        enter_session(1);
        assert_eq!(babe_authorities(), accounts(&[Alice, Bob, Charlie, Dave]), "the next session is planned");
        enter_session(2);
        let expected = accounts(&[Bob, Charlie, Dave, Eve]);
        assert_eq!((babe_authorities(), Session::validators()), (expected.clone(), expected));
        assert_eq!(Grandpa::current_set_id(), 1, "voters changed once");
        enter_session(3);
        enter_session(4);
        assert_eq!(Grandpa::current_set_id(), 1, "and not where nothing changed");
    });
}

#[test]
fn the_last_author_stays() {
    on_chain(DEV_RUNTIME_PRESET, || {
        let alice = Alice.to_account_id();
        assert_noop!(BlockAuthors::remove_author(RuntimeOrigin::root(), alice), Error::<Runtime>::LastAuthor);
    });
}

/// A header of `slot` that `author` sealed, and whose content is told by `number`.
/// A fee of this much from nowhere.
fn charge(amount: u128) {
    <Runtime as pallet_proof_of_quality::Config>::FeeHandler::on_unbalanced(Balances::issue(amount));
}

#[test]
fn an_author_earns_its_part_of_fees_and_the_rest_is_burnt() {
    on_chain(LOCAL_TESTNET_RUNTIME_PRESET, || {
        let author = Authorship::author().expect("the block has one");
        let (issued, has) = (Balances::total_issuance(), Balances::total_balance(&author));
        charge(1_001);
        assert_eq!(Balances::total_issuance(), issued, "all is burnt unless somebody says otherwise");

        let set = |origin, share| BlockAuthors::set_fee_share(origin, share);
        let half = MOST_FEE_SHARE;
        assert_noop!(set(RuntimeOrigin::signed(author.clone()), half), DispatchError::BadOrigin);
        let more = half + Permill::from_parts(1);
        assert_noop!(set(RuntimeOrigin::root(), more), Error::<Runtime>::ShareTooLarge);
        assert_ok!(set(RuntimeOrigin::root(), half));
        charge(1_001);
        assert_eq!(Balances::total_balance(&author), has + 500);
        assert_eq!(Balances::total_issuance(), issued + 500);
        charge(1);
        assert_eq!(Balances::total_issuance(), issued + 500, "half of one unit is none");
    });
}

#[test]
fn a_fee_in_a_block_without_an_author_is_burnt() {
    state_of(&PresetId::from(DEV_RUNTIME_PRESET)).execute_with(|| {
        FeeShare::<Runtime>::put(MOST_FEE_SHARE);
        let issued = Balances::total_issuance();
        charge(1_000);
        assert_eq!(Balances::total_issuance(), issued, "this block names nobody");
    });
}

fn sealed(author: Sr25519Keyring, slot: u64, number: u32) -> Header {
    let digest = Digest { logs: vec![pre_digest(slot)] };
    let mut header = Header::new(number, Default::default(), Default::default(), Default::default(), digest);
    let pair: sr25519::Pair = author.pair();
    let signature: AuthoritySignature = pair.sign(header.hash().as_ref()).into();
    header.digest.push(DigestItem::babe_seal(signature));
    header
}

/// Reports, as a node does, that `author` made two blocks for the slot.
fn report_two_blocks(author: Sr25519Keyring, slot: u64) -> Result<(), DispatchError> {
    let offender: AuthorityId = UncheckedFrom::unchecked_from(author.to_raw_public());
    let owner = Historical::prove((sp_consensus_babe::KEY_TYPE, offender.clone())).expect("is an author");
    let proof = EquivocationProof {
        offender,
        slot: slot.into(),
        first_header: sealed(author, slot, 1),
        second_header: sealed(author, slot, 2),
    };
    Babe::report_equivocation_unsigned(RuntimeOrigin::none(), Box::new(proof), owner)
        .map(drop)
        .map_err(|error| error.error)
}

#[test]
fn who_makes_two_blocks_for_a_slot_is_off_the_list() {
    on_chain(LOCAL_TESTNET_RUNTIME_PRESET, || {
        assert_ok!(report_two_blocks(Bob, FIRST_SLOT));
        assert_eq!(Authors::<Runtime>::get().into_inner(), accounts(&[Alice, Charlie, Dave]));
        assert_eq!(Session::disabled_validators(), [1], "at once, until the next set of authors");
        let removed = Event::AuthorRemoved { author: Bob.to_account_id(), offence: true };
        System::assert_has_event(RuntimeEvent::BlockAuthors(removed));
        let again = report_two_blocks(Bob, FIRST_SLOT);
        assert_eq!(again, Err(pallet_babe::Error::<Runtime>::DuplicateOffenceReport.into()));

        enter_session(1);
        enter_session(2);
        assert_eq!(babe_authorities(), accounts(&[Alice, Charlie, Dave]));
        assert_eq!(Session::disabled_validators(), Vec::<u32>::new());
    });
}

#[test]
fn a_chain_of_version_2_goes_on_with_the_same_authors() {
    on_chain(LOCAL_TESTNET_RUNTIME_PRESET, || {
        let before = (Babe::authorities(), Grandpa::grandpa_authorities());
        block(FIRST_SLOT + 5 * EPOCH_SLOTS);
        // Up to version 2 there was nothing of all this, and BABE counted its epochs alone.
        for pallet in ["Session", "Historical", "BlockAuthors"] {
            let prefix = twox_128(pallet.as_bytes());
            let _ = unhashed::clear_prefix(&prefix, None, None);
        }
        unhashed::kill(&[twox_128(b"Babe"), twox_128(b"SkippedEpochs")].concat());
        AdoptSessions::on_runtime_upgrade();
        assert_eq!(Session::current_index(), 5);
        assert_eq!(Session::validators(), accounts(&[Alice, Bob, Charlie, Dave]));
        AdoptSessions::on_runtime_upgrade();

        for session in 6..9 {
            enter_session(session);
            assert_eq!((Babe::authorities(), Grandpa::grandpa_authorities()), before);
        }
        assert_ok!(report_two_blocks(Dave, FIRST_SLOT + 8 * EPOCH_SLOTS));
        assert_eq!(Authors::<Runtime>::get().len(), 3);
    });
}
