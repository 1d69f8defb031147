//! Audits of orders: what is true about one, said after the fact by somebody who fixed it before. Owns [`AuditedOrders`].
//!
//! As on the chain path, an order carries 32 bytes that may be a commitment to an answer key, and nobody can tell which do. The auditor shows
//! the certificate and its place in a batch, the prompt, the outputs and the key. A gross error costs stake within the same allowance. It
//! goes to `SlashHandler`; those whom the error harmed are not paid out of it, because what each party earned is not kept here.

use crate::{
    AuditedOrders, Batches, CertificateOf, Channels, Config, Epochs, Error, Event, Pallet, Snapshots,
};
use alloc::vec::Vec;
use codec::{Compact, Encode};
use frame_support::{ensure, BoundedVec};
use pallet_proof_of_quality::{lane, AnswerKeyOf};
use poq_primitives::{
    commitment::{self, Salt},
    express::{messages, prompt_hash, Context, Epoch},
};
use sp_runtime::{traits::Get, DispatchResult, Permill, StateVersion};

/// Where a certificate stands: the batch by the epoch in which it was settled and its number, and the index in it, with the proof.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    codec::Encode,
    codec::Decode,
    codec::DecodeWithMemTracking,
    scale_info::TypeInfo,
)]
pub struct Place {
    /// Epoch in which the batch was settled.
    pub epoch: Epoch,
    /// Number of the batch.
    pub batch: u64,
    /// Index of the certificate among those that were settled.
    pub index: u32,
    /// Nodes of the trie on the way to it.
    pub proof: Vec<Vec<u8>>,
}

/// Texts of an audited order.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    codec::Encode,
    codec::Decode,
    codec::DecodeWithMemTracking,
    scale_info::TypeInfo,
)]
pub struct Texts {
    /// The prompt, UTF-8, and its salt.
    pub prompt: (Vec<u8>, Salt),
    /// The outputs that were shown, in the order of the draw, each with its salt.
    pub outputs: Vec<(Vec<u8>, Salt)>,
}

/// Reveals the answer key of an order.
pub(crate) fn audit<T: Config>(
    certificate: &CertificateOf<T>,
    place: &Place,
    texts: &Texts,
    key: &AnswerKeyOf<T>,
    salt: &Salt,
) -> DispatchResult {
    lane::check_key::<T>(key)?;
    let (order, genesis) = (&certificate.order, crate::genesis_hash::<T>());
    let name = order.name;
    ensure!(!AuditedOrders::<T>::contains_key(name.epoch, name), Error::<T>::AlreadyAudited);
    let batch = Batches::<T>::get(place.epoch, place.batch).ok_or(Error::<T>::UnknownBatch)?;
    let leaf = crate::orders::leaf::<T>(certificate);
    let position = Compact(place.index).encode();
    let proof = &place.proof;
    let is_in =
        sp_io::trie::blake2_256_verify_proof(batch.root.into(), proof, &position, &leaf, StateVersion::V1);
    ensure!(is_in, Error::<T>::NotInBatch);

    let channel = Channels::<T>::get(name.channel).ok_or(Error::<T>::UnknownChannel)?;
    let info = Epochs::<T>::get(name.epoch).ok_or(Error::<T>::TooOld)?;
    let seed = info.seed.ok_or(Error::<T>::NoLane)?;
    let generators = Snapshots::<T>::get(name.epoch, order.generator).ok_or(Error::<T>::NoLane)?;
    let evaluators = Snapshots::<T>::get(name.epoch, order.evaluator).ok_or(Error::<T>::NoLane)?;
    let context = Context {
        genesis: &genesis,
        epoch_seed: &seed,
        channel_key: &channel.key,
        owner: &channel.owner,
        generators: &generators,
        evaluators: &evaluators,
    };
    let outcome = certificate.check(&context, &crate::Host).map_err(|_| Error::<T>::NotInBatch)?;

    let (prompt, prompt_salt) = &texts.prompt;
    let is_prompt = prompt_hash(&genesis, &name, prompt, prompt_salt) == order.prompt;
    ensure!(is_prompt, Error::<T>::AnotherPrompt);
    let expected = commitment::answer_key(&genesis, &channel.owner, prompt, key, salt);
    ensure!(order.audit == expected, Error::<T>::AnotherKey);
    let shown = outcome.responders.iter().filter_map(|(seat, answer)| {
        answer.filter(|(_, shown)| *shown).map(|(commitment, _)| (seat, commitment))
    });
    let shown: Vec<_> = shown.collect();
    ensure!(shown.len() == texts.outputs.len(), Error::<T>::AnotherOutput);
    let mut truth = Vec::new();
    for ((seat, commitment), (output, salt)) in shown.iter().zip(&texts.outputs) {
        let is_its = messages::output_commitment(&genesis, &name, &seat.key, output, salt) == *commitment;
        ensure!(is_its, Error::<T>::AnotherOutput);
        truth.push(key.truth(output));
    }
    AuditedOrders::<T>::insert(name.epoch, name, ());
    let shown_truth = BoundedVec::<Permill, T::MaxResponders>::truncate_from(truth.clone());
    Pallet::<T>::deposit_event(Event::OrderAudited { name, truth: shown_truth });
    for ((seat, _), truth) in shown.iter().zip(&truth) {
        lane::audit_answer::<T>(&seat.operator, *truth);
    }
    for (seat, scores) in &outcome.members {
        let Some(scores) = scores else { continue };
        let found = lane::audit_scores::<T>(&seat.operator, scores, &truth, &info.parameters);
        if let Some((error, slashed)) = found {
            let operator = seat.operator.clone();
            Pallet::<T>::deposit_event(Event::ScoresAudited { name, operator, error, slashed });
        }
    }
    Ok(())
}

/// Bytes of texts and proofs that one audit may bring: those of a whole request, and some for the proof.
pub(crate) fn is_small<T: Config>(place: &Place, texts: &Texts) -> bool {
    let outputs = T::MaxOutputLength::get().saturating_mul(T::MaxResponders::get());
    let most = T::MaxPromptLength::get().saturating_add(outputs) as usize;
    let bytes = |sum: usize, part: &Vec<u8>| sum.saturating_add(part.len());
    let texts = texts.outputs.iter().map(|(text, _)| text).fold(texts.prompt.0.len(), bytes);
    let proof = place.proof.iter().fold(0, bytes);
    texts <= most && proof <= MOST_PROOF && place.proof.len() <= MOST_NODES
}

/// Most bytes of a proof that a certificate stands in a batch.
const MOST_PROOF: usize = 16 * 1024;
/// Most nodes of such a proof.
const MOST_NODES: usize = 16;

/// Forgets the audits of an epoch; `false` if more are left than one step takes.
pub(crate) fn forget<T: Config>(epoch: Epoch, most: u32) -> bool {
    AuditedOrders::<T>::clear_prefix(epoch, most, None).maybe_cursor.is_none()
}
