//! Finality: which voters speak for the chain, and whether they called a block final.

use crate::Invalid;
use codec::{Decode as _, DecodeAll as _};
use finality_grandpa::{validate_commit, voter_set::VoterSet, Chain, Error as GrandpaError, Message};
use sp_consensus_grandpa::{
    check_message_signature, AuthorityId, AuthorityList, ConsensusLog, GrandpaJustification, SignatureResult,
    GRANDPA_ENGINE_ID,
};
use sp_core::H256;
use sp_runtime::{
    generic,
    traits::{BlakeTwo256, Header as _},
    DigestItem,
};
use std::collections::{HashMap, HashSet};

/// Header of a block.
pub type Header = generic::Header<u32, BlakeTwo256>;

/// The header that these bytes are.
pub(crate) fn header(bytes: &[u8]) -> Result<Header, Invalid> {
    Header::decode_all(&mut &*bytes).map_err(|_| Invalid::Undecodable("a header"))
}

/// The GRANDPA voters at some block.
pub(crate) struct Voters {
    /// Number of changes before.
    pub set: u64,
    /// The voters with their weights.
    pub list: AuthorityList,
}

impl Voters {
    /// Whether these voters called the block final. As strict as a node: every vote must be signed by a voter, and every header that
    /// comes with the votes must be needed. (GRANDPA, arXiv 2007.01560, section 2.)
    pub fn check(&self, block: &Header, justification: &[u8]) -> Result<(), Invalid> {
        let fails = |why| Invalid::NotFinal { block: block.number, why };
        let justification = GrandpaJustification::<Header>::decode_all(&mut &*justification)
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
        let mut needed = HashSet::new();
        for vote in &commit.precommits {
            let message = Message::Precommit(vote.precommit.clone());
            let checked =
                check_message_signature(&message, &vote.id, &vote.signature, justification.round, self.set);
            if !matches!(checked, SignatureResult::Valid) {
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
pub(crate) fn change(block: &Header) -> Result<Option<AuthorityList>, Invalid> {
    for item in block.digest.logs() {
        let DigestItem::Consensus(GRANDPA_ENGINE_ID, log) = item else { continue };
        match ConsensusLog::<u32>::decode(&mut &log[..]) {
            Ok(ConsensusLog::ScheduledChange(change)) if change.delay == 0 => {
                return Ok(Some(change.next_authorities));
            }
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
struct Ancestry<'a>(HashMap<H256, &'a Header>);

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
            at = *header.parent_hash();
            route.push(at);
        }
        // The base is not its own ancestor.
        route.pop();
        Ok(route)
    }
}

/// The voters that these bytes of the state are.
pub(crate) fn voters(list: &[u8], set: &[u8]) -> Result<Voters, Invalid> {
    let list = Vec::<(AuthorityId, u64)>::decode_all(&mut &*list);
    let set = u64::decode_all(&mut &*set);
    match (list, set) {
        (Ok(list), Ok(set)) => Ok(Voters { set, list }),
        _ => Err(Invalid::Undecodable("the list of voters")),
    }
}
