//! Finality: which voters speak for the chain, and whether they called a block final.
//!
//! The types are those of `sp-runtime` and `sp-consensus-grandpa`, as far as a header and a justification need them: those crates cannot
//! check a signature without a node around them. A test holds them against each other.

use crate::Invalid;
use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};
use codec::{Decode, DecodeAll as _, Encode};
use finality_grandpa::{validate_commit, voter_set::VoterSet, Chain, Commit, Error as GrandpaError, Message};
use sp_core::{
    ed25519::{Pair, Public, Signature},
    Pair as _, H256,
};

/// Header of a block.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct Header {
    pub parent_hash: H256,
    #[codec(compact)]
    pub number: u32,
    pub state_root: H256,
    pub extrinsics_root: H256,
    pub digest: Vec<DigestItem>,
}

impl Header {
    /// The header that these bytes are.
    pub fn read(bytes: &[u8]) -> Result<Self, Invalid> {
        Self::decode_all(&mut &*bytes).map_err(|_| Invalid::Undecodable("a header"))
    }

    /// Hash of the block.
    pub fn hash(&self) -> H256 {
        H256(self.using_encoded(sp_crypto_hashing::blake2_256))
    }
}

/// Entry of a header's digest: the engine it is for, and what it says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) enum DigestItem {
    #[codec(index = 0)]
    Other(Vec<u8>),
    #[codec(index = 4)]
    Consensus([u8; 4], Vec<u8>),
    #[codec(index = 5)]
    Seal([u8; 4], Vec<u8>),
    #[codec(index = 6)]
    PreRuntime([u8; 4], Vec<u8>),
    #[codec(index = 8)]
    RuntimeEnvironmentUpdated,
}

/// GRANDPA's name in digests.
const GRANDPA: [u8; 4] = *b"FRNK";

/// GRANDPA's entries in digests.
#[derive(Decode)]
#[allow(dead_code, reason = "what is not followed is decoded all the same")]
enum ConsensusLog {
    #[codec(index = 1)]
    ScheduledChange(ScheduledChange),
    #[codec(index = 2)]
    ForcedChange(u32, ScheduledChange),
    #[codec(index = 3)]
    OnDisabled(u64),
    #[codec(index = 4)]
    Pause(u32),
    #[codec(index = 5)]
    Resume(u32),
}

#[derive(Decode)]
struct ScheduledChange {
    next: Voting,
    /// Blocks until it takes effect.
    delay: u32,
}

/// Voters and their weights.
type Voting = Vec<(Public, u64)>;

/// Votes that call a block final.
#[derive(Decode)]
pub(crate) struct Justification {
    round: u64,
    /// The votes.
    pub commit: Commit<H256, u32, Signature, Public>,
    /// Headers from the votes' blocks down to the lowest.
    votes_ancestries: Vec<Header>,
}

/// The GRANDPA voters at some block.
pub(crate) struct Voters {
    /// Number of changes before.
    set: u64,
    list: Voting,
}

impl Voters {
    /// The voters that these values of the state are.
    pub fn read(list: &[u8], set: &[u8]) -> Result<Self, Invalid> {
        let list = Voting::decode_all(&mut &*list);
        let set = u64::decode_all(&mut &*set);
        match (list, set) {
            (Ok(list), Ok(set)) => Ok(Self { set, list }),
            _ => Err(Invalid::Undecodable("the list of voters")),
        }
    }

    /// Whether these voters called the block final. As strict as a node: every vote must be signed by a voter, and every header that
    /// comes with the votes must be needed. (GRANDPA, arXiv 2007.01560, section 2.)
    pub fn check(&self, block: &Header, justification: &[u8]) -> Result<(), Invalid> {
        let fails = |why| Invalid::NotFinal { block: block.number, why };
        let justification = Justification::decode_all(&mut &*justification)
            .map_err(|_| Invalid::Undecodable("a justification"))?;
        let commit = &justification.commit;
        if (commit.target_hash, commit.target_number) != (block.hash(), block.number) {
            return Err(fails("its justification is of another block"));
        }
        let voters = VoterSet::new(self.list.iter().cloned()).ok_or_else(|| fails("there are no voters"))?;
        let ancestry = Ancestry::of(&justification.votes_ancestries);
        if ancestry.0.len() != justification.votes_ancestries.len() {
            return Err(fails("a header comes twice with the votes"));
        }
        let result =
            validate_commit(commit, &voters, &ancestry).map_err(|_| fails("its votes do not hold"))?;
        if !result.is_valid() || result.num_invalid_voters() > 0 || result.num_duplicated_precommits() > 0 {
            return Err(fails("its votes do not hold"));
        }
        let lowest =
            commit.precommits.iter().map(|vote| &vote.precommit).min_by_key(|vote| vote.target_number);
        let base = lowest.map_or(commit.target_hash, |vote| vote.target_hash);
        let mut needed = BTreeSet::new();
        for vote in &commit.precommits {
            let message = Message::Precommit(vote.precommit.clone());
            let signed = (message, justification.round, self.set).encode();
            if !Pair::verify(&vote.signature, signed, &vote.id) {
                return Err(fails("a vote is not signed by its voter"));
            }
            let target = vote.precommit.target_hash;
            if target != base {
                let route =
                    ancestry.ancestry(base, target).map_err(|_| fails("a vote is for another chain"))?;
                needed.insert(target);
                needed.extend(route);
            }
        }
        if ancestry.0.keys().any(|hash| !needed.contains(hash)) {
            return Err(fails("a header that comes with the votes is not needed"));
        }
        Ok(())
    }

    /// The voters after `block`, which must change them.
    pub fn after(&self, block: &Header) -> Result<Self, Invalid> {
        let change = change(block)?.ok_or(Invalid::NoChange(block.number))?;
        Ok(Self { set: self.set.saturating_add(1), list: change })
    }
}

/// The voters that take over with `block`, if it changes them.
pub(crate) fn change(block: &Header) -> Result<Option<Voting>, Invalid> {
    for item in &block.digest {
        let DigestItem::Consensus(GRANDPA, log) = item else { continue };
        match ConsensusLog::decode(&mut &log[..]) {
            Ok(ConsensusLog::ScheduledChange(change)) if change.delay == 0 => return Ok(Some(change.next)),
            Ok(ConsensusLog::ScheduledChange(_) | ConsensusLog::ForcedChange(..)) | Err(_) => {
                return Err(Invalid::UnknownChange(block.number));
            }
            // Nodes do not act on these.
            Ok(ConsensusLog::OnDisabled(_) | ConsensusLog::Pause(_) | ConsensusLog::Resume(_)) => {}
        }
    }
    Ok(None)
}

/// Headers that come with the votes, by their hashes: they lead from each vote down to the lowest.
struct Ancestry<'a>(BTreeMap<H256, &'a Header>);

impl<'a> Ancestry<'a> {
    fn of(headers: &'a [Header]) -> Self {
        Self(headers.iter().map(|header| (header.hash(), header)).collect())
    }
}

impl Chain<H256, u32> for Ancestry<'_> {
    fn ancestry(&self, base: H256, block: H256) -> Result<Vec<H256>, GrandpaError> {
        let mut route = Vec::new();
        let mut at = block;
        while at != base {
            let header = self.0.get(&at).ok_or(GrandpaError::NotDescendent)?;
            // Hashes make no circles, so this ends.
            at = header.parent_hash;
            route.push(at);
        }
        // The base is not its own ancestor.
        route.pop();
        Ok(route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_consensus_grandpa::{self as grandpa, AuthorityId};
    use sp_runtime::{generic, traits::BlakeTwo256, Digest, DigestItem as Item};

    #[test]
    fn headers_are_those_of_the_chain() {
        let engine = *b"BABE";
        let change = grandpa::ScheduledChange::<u32> {
            next_authorities: vec![(AuthorityId::from(Public::from_raw([7; 32])), 3)],
            delay: 0,
        };
        let logs = [
            grandpa::ConsensusLog::Pause(1),
            grandpa::ConsensusLog::Resume(2),
            grandpa::ConsensusLog::OnDisabled(3),
            grandpa::ConsensusLog::ScheduledChange(change.clone()),
        ];
        let logs = logs
            .map(|log: grandpa::ConsensusLog<u32>| Item::Consensus(grandpa::GRANDPA_ENGINE_ID, log.encode()));
        let others = [
            Item::Other(vec![1]),
            Item::Seal(engine, vec![2]),
            Item::PreRuntime(engine, vec![3]),
            Item::RuntimeEnvironmentUpdated,
        ];
        let theirs = generic::Header::<u32, BlakeTwo256> {
            parent_hash: H256::repeat_byte(1),
            number: 70_000,
            state_root: H256::repeat_byte(2),
            extrinsics_root: H256::repeat_byte(3),
            digest: Digest { logs: others.into_iter().chain(logs).collect() },
        };
        let ours = Header::read(&theirs.encode()).unwrap();
        assert_eq!(ours.hash(), sp_runtime::traits::Header::hash(&theirs));
        assert_eq!((ours.parent_hash, ours.number), (theirs.parent_hash, theirs.number));
        assert_eq!((ours.state_root, ours.extrinsics_root), (theirs.state_root, theirs.extrinsics_root));
        assert_eq!(super::change(&ours), Ok(Some(vec![(Public::from_raw([7; 32]), 3)])));

        let forced = grandpa::ConsensusLog::ForcedChange(5, change).encode();
        let forced = DigestItem::Consensus(grandpa::GRANDPA_ENGINE_ID, forced);
        let refused = super::change(&Header { digest: vec![forced], ..ours });
        assert_eq!(refused, Err(Invalid::UnknownChange(70_000)));
    }
}
