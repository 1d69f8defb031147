//! A chain of three blocks that exists in this test only: real tries, real headers, real GRANDPA votes, and no node.

use codec::Encode as _;
use finality_grandpa::{Message, Precommit, SignedPrecommit};
use poq_client::types::{
    self, Audit, Budget, Parameters, Phase, Sampling, StoredMember, StoredRequest, StoredResponse, Windows,
    Work,
};
use poq_receipt::{Bytes, Final, Known, Receipt};
use sp_consensus_grandpa::{
    localized_payload, AuthorityId, AuthorityList, Commit, ConsensusLog, GrandpaJustification,
    ScheduledChange, GRANDPA_ENGINE_ID,
};
use sp_core::{Blake2Hasher, H256};
use sp_keyring::Ed25519Keyring;
use sp_runtime::{
    generic,
    traits::{BlakeTwo256, Header as _},
    Digest, DigestItem,
};
use sp_trie::{
    recorder::Recorder, LayoutV1, MemoryDB, Trie as _, TrieDBBuilder, TrieDBMutBuilder, TrieMut as _,
};
use std::collections::BTreeMap;
use subxt::{
    ext::{scale_decode::DecodeAsType, scale_encode::EncodeAsType},
    metadata::{Metadata, StorageEntryMetadata},
    utils::AccountId32,
};

/// Number of the request.
pub const ID: u64 = 7;

/// The question, and the answer of the first of two inference nodes; the second one revealed nothing.
pub const QUESTION: &str = "What is the capital of Peru, and on which river does it lie?";
pub const ANSWER: &str =
    "Lima. It lies on the Rimac, which comes from the Andes and ends in the Pacific Ocean.";

/// The voters of the genesis block, and those from block 6 on.
pub const FIRST: [Ed25519Keyring; 4] =
    [Ed25519Keyring::Alice, Ed25519Keyring::Bob, Ed25519Keyring::Charlie, Ed25519Keyring::Dave];
pub const SECOND: [Ed25519Keyring; 3] = [Ed25519Keyring::Eve, Ed25519Keyring::Ferdie, Ed25519Keyring::One];

/// Header of a block.
pub type Header = generic::Header<u32, BlakeTwo256>;

type Layout = LayoutV1<Blake2Hasher>;
type Values = BTreeMap<Vec<u8>, Vec<u8>>;

/// The root of a state, and the nodes of its trie that lead to the values of `whole` and to the digests of `digests`.
fn prove(values: &Values, whole: &[Vec<u8>], digests: &[Vec<u8>]) -> (H256, Vec<Bytes>) {
    let (mut nodes, mut root) = (MemoryDB::<Blake2Hasher>::default(), H256::default());
    {
        let mut trie = TrieDBMutBuilder::<Layout>::new(&mut nodes, &mut root).build();
        values.iter().for_each(|(key, value)| drop(trie.insert(key, value).unwrap()));
    }
    let recorder = Recorder::<Blake2Hasher>::default();
    {
        let mut read = recorder.as_trie_recorder(root);
        let trie = TrieDBBuilder::<Layout>::new(&nodes, &root).with_recorder(&mut read).build();
        whole.iter().for_each(|key| drop(trie.get(key).unwrap()));
        digests.iter().for_each(|key| assert!(trie.get_hash(key).is_ok()));
    }
    (root, recorder.drain_storage_proof().into_nodes().into_iter().map(Bytes).collect())
}

fn key(pallet: &str, item: &str, parts: &[Vec<u8>]) -> Vec<u8> {
    let mut key = sp_crypto_hashing::twox_128(pallet.as_bytes()).to_vec();
    key.extend(sp_crypto_hashing::twox_128(item.as_bytes()));
    for part in parts {
        key.extend(sp_crypto_hashing::twox_64(part));
        key.extend(part);
    }
    key
}

fn of_request(item: &str, more: Option<Vec<u8>>) -> Vec<u8> {
    key("ProofOfQuality", item, &[vec![ID.encode()], more.into_iter().collect()].concat())
}

fn list(keys: &[Ed25519Keyring]) -> AuthorityList {
    keys.iter().map(|key| (AuthorityId::from(key.public()), 1)).collect()
}

pub fn header(number: u32, state_root: H256, parent: H256, logs: Vec<DigestItem>) -> Header {
    Header::new(number, H256::repeat_byte(9), state_root, parent, Digest { logs })
}

/// The votes of `keys` for `block`. The last one votes for `later`, if there is one, as happens when a block comes while they vote.
pub fn justify(keys: &[Ed25519Keyring], set: u64, block: &Header, later: Option<&Header>) -> Bytes {
    let round = 5;
    let vote = |(index, key): (usize, &Ed25519Keyring)| {
        let target = later.filter(|_| index + 1 == keys.len()).unwrap_or(block);
        let precommit = Precommit { target_hash: target.hash(), target_number: target.number };
        let payload = localized_payload(round, set, &Message::Precommit(precommit.clone()));
        let signature = key.sign(&payload).into();
        SignedPrecommit { precommit, signature, id: AuthorityId::from(key.public()) }
    };
    let commit = Commit::<Header> {
        target_hash: block.hash(),
        target_number: block.number,
        precommits: keys.iter().enumerate().map(vote).collect(),
    };
    let votes_ancestries = later.into_iter().cloned().collect();
    Bytes(GrandpaJustification::<Header> { round, commit, votes_ancestries }.encode())
}

/// An entry of the pallet's storage.
fn with_entry<Value>(name: &str, then: impl FnOnce(&StorageEntryMetadata, &Metadata) -> Value) -> Value {
    let metadata = types::metadata().unwrap();
    let storage = metadata.pallet_by_name("ProofOfQuality").unwrap().storage().unwrap();
    then(storage.entry_by_name(name).unwrap(), &metadata)
}

fn encode(entry: &str, value: &impl EncodeAsType) -> Vec<u8> {
    with_entry(entry, |entry, metadata| value.encode_as_type(entry.value_ty(), metadata.types()).unwrap())
}

fn parameters() -> Parameters {
    with_entry("EconomicParameters", |entry, metadata| {
        let mut bytes = entry.default_value().unwrap();
        Parameters::decode_as_type(&mut bytes, entry.value_ty(), metadata.types()).unwrap()
    })
}

fn request(phase: Phase) -> StoredRequest {
    StoredRequest {
        requester: AccountId32([6; 32]),
        generators: vec![[2; 32]],
        evaluator: [8; 32],
        sampling: Sampling { max_tokens: 64, temperature_milli: 0, seed: 1 },
        responders: 2,
        committee: 3,
        min_quality: 0,
        budget: Budget { inference: 80, scoring: 60, fee: 3 },
        bonus: 0,
        answer_windows: Windows { commit: 10, reveal: 5 },
        score_windows: Windows { commit: 10, reveal: 5 },
        created: 1,
        phase,
        since: 8,
        fixed_at: 4,
        due: 100,
        round: 0,
        tries: 0,
        audit: Audit::Sealed([7; 32]),
        parameters: parameters(),
    }
}

/// The stored values of the request.
fn values(phase: Phase) -> Values {
    let account = |byte| AccountId32([byte; 32]);
    let response = |operator, work, quality| StoredResponse {
        operator: account(operator),
        model: [2; 32],
        work,
        latency: 100_000,
        quality,
        paid: 40,
    };
    let member = |operator| StoredMember {
        operator: account(operator),
        weight: 1,
        work: Work::Revealed,
        scores: vec![900_000],
        latency: 1,
        agreement: Some(1_000_000),
        paid: 20,
    };
    let responses = vec![response(1, Work::Revealed, Some(900_000)), response(2, Work::NotRevealed, None)];
    let committee = vec![member(3), member(4), member(5)];
    let mut values = Values::from([
        (key("ProofOfQuality", ":__STORAGE_VERSION__:", &[]), 3_u16.encode()),
        (key("Timestamp", "Now", &[]), 1_700_000_000_000_u64.encode()),
        (of_request("Requests", None), encode("Requests", &request(phase))),
        (of_request("Prompts", None), QUESTION.encode()),
        (of_request("Responses", None), encode("Responses", &responses)),
        (of_request("Outputs", Some(0_u32.encode())), ANSWER.encode()),
        (of_request("Committees", Some(0_u8.encode())), encode("Committees", &committee)),
    ]);
    // Neighbours, so that the trie has some depth.
    values.extend(
        (0..=255_u8).map(|byte| (key("ProofOfQuality", "Operators", &[vec![byte; 32]]), vec![byte; 60])),
    );
    values
}

/// A receipt that holds, if the request is over in this phase, and the hash of its anchor.
pub fn receipt(phase: Phase) -> (Receipt, [u8; 32]) {
    let voters = [key("Grandpa", "Authorities", &[]), key("Grandpa", "CurrentSetId", &[])];
    let state = Values::from([
        (voters[0].clone(), list(&FIRST).encode()),
        (voters[1].clone(), 0_u64.encode()),
        (b":code".to_vec(), vec![1; 500]),
    ]);
    let (root, anchor) = prove(&state, &voters, &[]);
    let genesis = header(0, root, H256::zero(), vec![]);

    let next = ScheduledChange { next_authorities: list(&SECOND), delay: 0 };
    let log = DigestItem::Consensus(GRANDPA_ENGINE_ID, ConsensusLog::<u32>::ScheduledChange(next).encode());
    let changing = header(5, H256::repeat_byte(1), H256::repeat_byte(2), vec![log]);
    let change =
        Final { header: Bytes(changing.encode()), justification: justify(&FIRST, 0, &changing, None) };

    let values = values(phase);
    let digests = [
        of_request("Prompts", None),
        of_request("Outputs", Some(0_u32.encode())),
        of_request("Outputs", Some(1_u32.encode())),
    ];
    let is_neighbour = |known: &[u8]| known.starts_with(&key("ProofOfQuality", "Operators", &[]));
    let whole: Vec<_> =
        values.keys().filter(|known| !digests.contains(known) && !is_neighbour(known)).cloned().collect();
    let (root, state) = prove(&values, &whole, &digests);
    let block = header(9, root, H256::repeat_byte(3), vec![]);
    let later = header(10, root, block.hash(), vec![]);
    let justification = justify(&SECOND, 1, &block, Some(&later));
    let receipt = Receipt {
        form: 1,
        request: ID,
        anchor: Known { header: Bytes(genesis.encode()), state: anchor },
        changes: vec![change],
        block: Final { header: Bytes(block.encode()), justification },
        state,
    };
    (receipt, genesis.hash().0)
}
