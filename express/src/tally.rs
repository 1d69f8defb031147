//! What a party has seen of the committee's work in an order: commitments, proposals, reveals. Members and the requester keep one.

use crate::{
    crypto::{Crypto, Vrf},
    scene::{answered, answers, ensure, first_free, statements, Scene},
    wire::{Answers, Busy, Certificate, Equivocation, Part, Refusal, Reveal, SignedCommit, SignedSet},
};
use poq_primitives::express::{
    equivocation, messages, quorum, Answer, Commitment, Digest, Key, Opening, ResponderPart, ScorerPart,
    Scores, Signature,
};
use std::collections::{BTreeMap, BTreeSet};

/// A finding: somebody's key, and the proof that it equivocated.
pub(crate) type Finding = (Key, Equivocation);

/// A set that somebody proposed or revealed under.
#[derive(Clone, Debug)]
struct Ballot {
    set: SignedSet,
    votes: BTreeMap<u8, Signature>,
    reveals: BTreeMap<u8, Reveal>,
}

/// The committee's work as one party has seen it.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    pub scene: Scene,
    pub v1: Vrf,
    pub parts: Vec<Part>,
    committee: Vec<usize>,
    busy: BTreeMap<u8, Signature>,
    /// The first valid commitment of each place, with its answers.
    commits: BTreeMap<u8, (SignedCommit, Answers)>,
    ballots: BTreeMap<Digest, Ballot>,
    /// The first reveal of each place, whether it counts or not.
    reveals: BTreeMap<u8, Reveal>,
    reported: BTreeSet<u8>,
}

fn members(set: &SignedSet) -> Vec<(u8, Commitment)> {
    set.commits.iter().map(|commit| (commit.place, commit.commitment)).collect()
}

impl Tally {
    /// Of an order whose parts and second draw are checked.
    pub fn new(scene: Scene, v1: Vrf, parts: Vec<Part>) -> Self {
        let committee = scene.committee(&v1.output, &parts);
        Self {
            scene,
            v1,
            parts,
            committee,
            busy: BTreeMap::new(),
            commits: BTreeMap::new(),
            ballots: BTreeMap::new(),
            reveals: BTreeMap::new(),
            reported: BTreeSet::new(),
        }
    }

    pub fn wanted(&self) -> u8 {
        self.scene.order().committee
    }

    pub fn quorum(&self) -> usize {
        quorum(self.wanted().into())
    }

    pub fn key(&self, place: u8) -> Option<Key> {
        self.scene.member(&self.committee, place).map(|seat| seat.key)
    }

    pub fn place_of(&self, key: &Key) -> Option<u8> {
        let mut places = (0..self.committee.len()).filter_map(|place| u8::try_from(place).ok());
        places.find(|place| self.key(*place).as_ref() == Some(key))
    }

    /// Whether enough operators could be picked for a committee.
    pub fn is_complete(&self) -> bool {
        self.committee.len() >= usize::from(self.wanted())
    }

    pub fn busy(&self) -> Vec<Busy> {
        statements(&self.busy)
    }

    /// The places of the committee, as far as is known who is busy.
    pub fn places(&self) -> Vec<u8> {
        first_free(self.committee.len(), self.wanted(), &self.busy)
    }

    /// Takes a statement that a quality validator is busy. Who has committed is not.
    pub fn learn_busy(&mut self, crypto: &impl Crypto, busy: &Busy) -> Result<(), Refusal> {
        if self.busy.contains_key(&busy.place) {
            return Ok(());
        }
        let key = self.key(busy.place).ok_or(Refusal::MemberSignature)?;
        let digest = messages::busy(&self.scene.genesis, &self.scene.digest, &key);
        ensure(crypto.verify(&key, &digest, &busy.signature), Refusal::MemberSignature)?;
        if !self.commits.contains_key(&busy.place) {
            self.busy.insert(busy.place, busy.signature);
        }
        Ok(())
    }

    /// Whether the busy make this place one of the committee's.
    pub fn is_member(&self, place: u8) -> bool {
        self.places().contains(&place)
    }

    pub fn answers_digest(&self, answers: &[Option<(Commitment, bool)>]) -> Digest {
        messages::answers(&self.scene.genesis, &self.scene.digest, answers)
    }

    pub fn set_digest(&self, set: &SignedSet) -> Digest {
        messages::set(&self.scene.genesis, &self.answers_digest(&set.answers), &members(set))
    }

    /// Takes a set of any size with the busy that belong to it.
    pub fn learn(&mut self, crypto: &impl Crypto, set: &SignedSet) -> Result<Vec<Finding>, Refusal> {
        let genesis = self.scene.genesis;
        // Answers can differ in what was shown only: all else has drawn the committee.
        let shown: Vec<bool> = set.answers.iter().flatten().map(|(_, shown)| *shown).collect();
        let is_ours = answers(&self.parts, &shown) == set.answers && shown.contains(&true);
        ensure(is_ours, Refusal::Set)?;
        let ascend = set.commits.is_sorted_by(|one, next| one.place < next.place);
        ensure(ascend && set.commits.len() <= usize::from(self.wanted()), Refusal::Set)?;
        ensure(set.busy.len() <= self.committee.len(), Refusal::Set)?;
        for busy in &set.busy {
            self.learn_busy(crypto, busy)?;
        }
        let digest = self.answers_digest(&set.answers);
        let mut found = Vec::new();
        for commit in &set.commits {
            let known = self.commits.get(&commit.place);
            if known.is_some_and(|(known, answers)| known == commit && *answers == set.answers) {
                continue;
            }
            ensure(known.is_some() || self.is_member(commit.place), Refusal::Set)?;
            let key = self.key(commit.place).ok_or(Refusal::Set)?;
            let statement = messages::commit(&genesis, &digest, &key, &commit.commitment);
            ensure(crypto.verify(&key, &statement, &commit.signature), Refusal::MemberSignature)?;
            let Some((known, answers)) = known else {
                self.commits.insert(commit.place, (commit.clone(), set.answers.clone()));
                continue;
            };
            let first = (answers.clone(), known.commitment, known.signature);
            let second = (set.answers.clone(), commit.commitment, commit.signature);
            if (&first.0, &first.1) != (&second.0, &second.1) {
                let order = self.scene.order().clone();
                found.push((commit.place, key, Equivocation::Commits { order, commits: [first, second] }));
            }
        }
        Ok(self.checked(crypto, found))
    }

    /// Takes a proposal, or the consent to one.
    pub fn learn_vote(
        &mut self,
        crypto: &impl Crypto,
        place: u8,
        set: &SignedSet,
        signature: &Signature,
    ) -> Result<Vec<Finding>, Refusal> {
        ensure(set.commits.len() >= self.quorum(), Refusal::Set)?;
        ensure(set.commits.iter().any(|commit| commit.place == place), Refusal::Set)?;
        let mut found = self.learn(crypto, set)?;
        let digest = self.set_digest(set);
        if self.ballots.get(&digest).is_some_and(|ballot| ballot.votes.contains_key(&place)) {
            return Ok(found);
        }
        let key = self.key(place).ok_or(Refusal::Set)?;
        let statement = messages::proposal(&self.scene.genesis, &digest, &key);
        ensure(crypto.verify(&key, &statement, signature), Refusal::MemberSignature)?;
        let other = self.ballots.iter().filter(|(other, _)| **other != digest);
        let other = other.filter_map(|(_, ballot)| Some((&ballot.set, *ballot.votes.get(&place)?))).next();
        if let Some((other, by)) = other {
            let order = self.scene.order().clone();
            let proposals = [signed(other, by), signed(set, *signature)];
            let proof = (place, key, Equivocation::Proposals { order, proposals });
            found.extend(self.checked(crypto, vec![proof]));
        }
        self.ballot(digest, set).votes.insert(place, *signature);
        Ok(found)
    }

    /// Takes a reveal. It counts only if its set is proven: by the commitments of a whole committee, or by a quorum's consent. Against a
    /// second one under another set it is evidence in any case.
    pub fn learn_reveal(&mut self, crypto: &impl Crypto, reveal: &Reveal) -> Result<Vec<Finding>, Refusal> {
        let (place, set, genesis) = (reveal.place, &reveal.set, self.scene.genesis);
        let mut found = self.learn(crypto, set)?;
        let digest = self.set_digest(set);
        if self.ballots.get(&digest).is_some_and(|ballot| ballot.reveals.contains_key(&place)) {
            return Ok(found);
        }
        let key = self.key(place).ok_or(Refusal::Set)?;
        let shown = set.answers.iter().flatten().filter(|(_, shown)| *shown).count();
        ensure(reveal.scores.len() == shown, Refusal::Scores)?;
        let answers = self.answers_digest(&set.answers);
        let commitment = messages::score_commitment(&genesis, &answers, &key, &reveal.scores, &reveal.salt);
        let is_in = set.commits.iter().any(|commit| (commit.place, commit.commitment) == (place, commitment));
        ensure(is_in, Refusal::Scores)?;
        let statement = messages::reveal(&genesis, &digest, &key, &reveal.scores, &reveal.salt);
        ensure(crypto.verify(&key, &statement, &reveal.signature), Refusal::MemberSignature)?;
        let first = self.reveals.entry(place).or_insert_with(|| reveal.clone());
        if first.set != *set {
            let order = self.scene.order().clone();
            let statement =
                |reveal: &Reveal| (signed(&reveal.set, reveal.signature), reveal.scores.clone(), reveal.salt);
            let reveals = [statement(first), statement(reveal)];
            let proof = (place, key, Equivocation::Reveals { order, reveals });
            found.extend(self.checked(crypto, vec![proof]));
        }
        if set.commits.len() < usize::from(self.wanted()) {
            let most = usize::from(self.wanted());
            for (place, signature) in reveal.votes.iter().take(most) {
                // A vote that is none leaves the others.
                found.extend(self.learn_vote(crypto, *place, set, signature).unwrap_or_default());
            }
            if !self.is_carried(&digest) {
                return Ok(found);
            }
        }
        self.ballot(digest, set).reveals.insert(place, reveal.clone());
        Ok(found)
    }

    fn ballot(&mut self, digest: Digest, set: &SignedSet) -> &mut Ballot {
        let new = || Ballot { set: set.clone(), votes: BTreeMap::new(), reveals: BTreeMap::new() };
        self.ballots.entry(digest).or_insert_with(new)
    }

    /// One proof against each place is enough, and only one that the chain accepts.
    fn checked(&mut self, crypto: &impl Crypto, found: Vec<(u8, Key, Equivocation)>) -> Vec<Finding> {
        let mut proofs = Vec::new();
        for (place, key, proof) in found {
            if !self.reported.contains(&place) && proof.is_proof(&self.scene.genesis, &key, crypto) {
                self.reported.insert(place);
                proofs.push((key, proof));
            }
        }
        proofs
    }

    /// The commitments to scores of these answers.
    pub fn commits(&self, answers: &[Option<(Commitment, bool)>]) -> SignedSet {
        let commits = self.commits.values().filter(|(_, of)| of == answers);
        let commits: Vec<_> = commits.map(|(commit, _)| commit.clone()).collect();
        // Of the busy, those that others may have to know.
        let last = commits.last().map_or(0, |commit| commit.place);
        let busy = self.busy().into_iter().filter(|busy| busy.place < last).collect();
        SignedSet { answers: answers.to_vec(), commits, busy }
    }

    /// The set of the whole committee, if it has committed to scores of these answers.
    pub fn whole(&self, answers: &[Option<(Commitment, bool)>]) -> Option<SignedSet> {
        let set = self.commits(answers);
        (set.commits.len() == usize::from(self.wanted())).then_some(set)
    }

    fn is_carried(&self, digest: &Digest) -> bool {
        self.ballots.get(digest).is_some_and(|ballot| ballot.votes.len() >= self.quorum())
    }

    /// Sets under which a reveal is safe, that with the most reveals first, with the votes that prove each.
    pub fn proven(&self) -> Vec<(SignedSet, Vec<(u8, Signature)>)> {
        let is_whole = |ballot: &Ballot| ballot.set.commits.len() == usize::from(self.wanted());
        let is_proven = |(digest, ballot): &(&Digest, &Ballot)| {
            self.is_carried(digest) || is_whole(ballot) && !ballot.reveals.is_empty()
        };
        let mut sets: Vec<_> = self.ballots.iter().filter(is_proven).map(|(_, ballot)| ballot).collect();
        sets.sort_by_key(|ballot| core::cmp::Reverse(ballot.reveals.len()));
        let votes = |ballot: &Ballot| match is_whole(ballot) {
            true => Vec::new(),
            false => ballot.votes.iter().map(|(place, by)| (*place, *by)).collect(),
        };
        sets.into_iter().map(|ballot| (ballot.set.clone(), votes(ballot))).collect()
    }

    /// Sets that were proposed, each with those who did, the first place first.
    pub fn proposed(&self) -> impl Iterator<Item = (&SignedSet, impl Iterator<Item = u8> + '_)> {
        self.ballots.values().map(|ballot| (&ballot.set, ballot.votes.keys().copied()))
    }

    /// All commitments as sets, for an escalation.
    pub fn all_commits(&self) -> Vec<SignedSet> {
        let kinds: BTreeSet<_> = self.commits.values().map(|(_, answers)| answers).collect();
        kinds.into_iter().map(|answers| self.commits(answers)).collect()
    }

    /// All reveals, for an escalation.
    pub fn all_reveals(&self) -> Vec<Reveal> {
        self.ballots.values().flat_map(|ballot| ballot.reveals.values().cloned()).collect()
    }

    /// Whether anybody has revealed.
    pub fn has_reveals(&self) -> bool {
        self.ballots.values().any(|ballot| !ballot.reveals.is_empty())
    }

    /// The certificate with all reveals so far, if a quorum has revealed under one set; and whether all of that set have.
    pub fn certificate(&self, crypto: &impl Crypto) -> Option<(Certificate, bool)> {
        let ballot = self.ballots.values().max_by_key(|ballot| ballot.reveals.len())?;
        if ballot.reveals.len() < self.quorum() {
            return None;
        }
        let is_open = |commit: &SignedCommit| {
            ballot.reveals.contains_key(&commit.place) || self.opening(ballot, commit).is_some()
        };
        let is_whole = ballot.set.commits.iter().all(is_open);
        // The busy are named as such if the draw has enough others; else only as many as the set needs.
        let last = ballot.set.commits.last().map_or(0, |commit| commit.place);
        let needed = usize::from(last).saturating_add(1).saturating_sub(self.wanted().into());
        let some: BTreeMap<u8, Signature> = self
            .busy
            .iter()
            .filter(|(place, _)| **place < last)
            .take(needed)
            .map(|(p, s)| (*p, *s))
            .collect();
        let forms = [&self.busy, &some].map(|busy| self.form(ballot, busy));
        let holds = |form: &Certificate| form.check(&self.scene.context(), crypto).is_ok();
        forms.into_iter().find(holds).map(|certificate| (certificate, is_whole))
    }

    /// The scores of a member of this set that has revealed under another.
    fn opening(&self, ballot: &Ballot, commit: &SignedCommit) -> Option<Opening> {
        let reveal = self.reveals.get(&commit.place)?;
        let mut theirs = reveal.set.commits.iter();
        let is_same =
            theirs.any(|other| (other.place, other.commitment) == (commit.place, commit.commitment));
        let opening = || Opening { scores: reveal.scores.clone(), salt: reveal.salt };
        (is_same && reveal.set.answers == ballot.set.answers).then(opening)
    }

    fn form(&self, ballot: &Ballot, busy: &BTreeMap<u8, Signature>) -> Certificate {
        let mut shown = ballot.set.answers.iter().flatten().map(|(_, shown)| *shown);
        let responders = self.parts.iter().map(|part| match part {
            Part::Busy(signature) => ResponderPart::Busy(*signature),
            Part::Absent => ResponderPart::Absent,
            Part::Answered(answer) => ResponderPart::Answered(Answer {
                output: answer.output,
                vrf: answer.vrf.output,
                shown: shown.next().unwrap_or(false),
                signature: answer.signature,
            }),
        });
        let (mut members, mut free) = (Vec::new(), 0u8);
        for place in (0..self.committee.len()).filter_map(|place| u8::try_from(place).ok()) {
            if free == self.wanted() {
                break;
            }
            let commit = ballot.set.commits.iter().find(|commit| commit.place == place);
            let part = match (ballot.reveals.get(&place), commit, busy.get(&place)) {
                (Some(reveal), _, _) => ScorerPart::Revealed(Scores {
                    scores: reveal.scores.clone(),
                    salt: reveal.salt,
                    signature: reveal.signature,
                }),
                (None, Some(commit), _) => match self.opening(ballot, commit) {
                    Some(opening) => ScorerPart::Opened(opening),
                    None => ScorerPart::Committed(commit.commitment),
                },
                (None, None, Some(signature)) => ScorerPart::Busy(*signature),
                (None, None, None) => ScorerPart::Absent,
            };
            free = free.saturating_add(u8::from(!matches!(part, ScorerPart::Busy(_))));
            members.push(part);
        }
        Certificate {
            order: self.scene.order().clone(),
            signature: self.scene.offer.signature,
            v1: self.v1.output,
            responders: responders.collect(),
            members,
        }
    }

    /// Keys of those who answered, by place in their draw.
    pub fn answered(&self) -> Vec<(u8, Key)> {
        let places = answered(&self.parts).into_iter();
        places.filter_map(|(place, _, _)| Some((place, self.scene.responder(place)?.key))).collect()
    }
}

fn signed(set: &SignedSet, signature: Signature) -> equivocation::SignedSet {
    equivocation::SignedSet { answers: set.answers.clone(), set: members(set), signature }
}
