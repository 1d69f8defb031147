//! Checking a receipt: from the anchor that the reader trusts to the request.

use crate::{
    finality::{Header, Voters},
    keys,
    state::State,
    stored::{Member, Phase, Request, Response, VERSION},
    Invalid, Receipt,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeAll as _, Encode as _};

/// Facts that a receipt proves.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// Number of the request.
    pub id: u64,
    /// Number of the block in whose state the request stands so.
    pub block: u32,
    /// Hash of that block.
    pub hash: [u8; 32],
    /// Time of that block by its author's clock, milliseconds since 1970.
    pub time: u64,
    /// Terms and phase of the request; it is settled or refunded.
    pub request: Request,
    /// Digest of the prompt, see [`digest`].
    pub prompt: [u8; 32],
    /// The answers, in the order of the draw.
    pub answers: Vec<Answer>,
    /// The committees, in the order in which they were drawn: two after a redraw.
    pub committees: Vec<Vec<Member>>,
}

/// An inference node's part in a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Operator, model, quality and pay.
    pub response: Response,
    /// Digest of the text, see [`digest`]; `None` if none was revealed.
    pub output: Option<[u8; 32]>,
}

/// Digest of a prompt or of an answer as the state holds it: BLAKE2b-256 of its SCALE encoding, which is the length in bytes, compact, and
/// the text.
pub fn digest(text: &str) -> [u8; 32] {
    sp_crypto_hashing::blake2_256(&text.encode())
}

/// Checks a receipt against the hash of the block that it must begin with.
///
/// # Errors
/// The first thing that does not hold.
pub fn verify(receipt: &Receipt, trusted: [u8; 32]) -> Result<Verified, Invalid> {
    let anchor = Header::read(&receipt.anchor.header.0)?;
    if anchor.hash().0 != trusted {
        return Err(Invalid::OtherAnchor { found: anchor.hash().0, trusted });
    }
    let state = State::new(anchor.state_root, &receipt.anchor.state)?;
    let mut voters = voters(&state)?;
    state.check_all_read()?;

    let mut last = anchor.number;
    for change in &receipt.changes {
        let block = next(&change.header.0, &mut last)?;
        voters.check(&block, &change.justification.0)?;
        voters = voters.after(&block)?;
    }
    let block = next(&receipt.block.header.0, &mut last)?;
    voters.check(&block, &receipt.block.justification.0)?;

    let state = State::new(block.state_root, &receipt.state)?;
    let verified = read(&state, receipt.request, &block)?;
    state.check_all_read()?;
    Ok(verified)
}

/// The next block of a receipt, which must be a later one.
fn next(header: &[u8], last: &mut u32) -> Result<Header, Invalid> {
    let block = Header::read(header)?;
    if block.number <= *last {
        return Err(Invalid::Order(block.number));
    }
    *last = block.number;
    Ok(block)
}

/// The voters that stand in a state.
pub(crate) fn voters(state: &State) -> Result<Voters, Invalid> {
    let get = |key: Vec<u8>| state.value(&key, "the voters")?.ok_or(Invalid::Unproven("the voters"));
    Voters::read(&get(keys::voters())?, &get(keys::voters_set())?)
}

/// The request, and what belongs to it, that stand in the state of `block`.
pub(crate) fn read(state: &State, id: u64, block: &Header) -> Result<Verified, Invalid> {
    check_version(state)?;
    let bytes = state.value(&keys::request(id), "the request")?.ok_or(Invalid::NoRequest(id))?;
    let request: Request = decode(&bytes)?;
    if !matches!(request.phase, Phase::Settled { .. } | Phase::Refunded { .. }) {
        return Err(Invalid::Open(id));
    }
    let time = state.value(&keys::time(), "the time")?.ok_or(Invalid::Unproven("the time"))?;
    let prompt = state.digest(&keys::prompt(id), "the prompt")?.ok_or(Invalid::Unproven("the prompt"))?;
    // There are none if nobody was drawn.
    let responses = match state.value(&keys::responses(id), "the responses")? {
        Some(bytes) => decode::<Vec<Response>>(&bytes)?,
        None => Vec::new(),
    };
    let answers = (0..).zip(responses).map(|(index, response)| {
        Ok(Answer { response, output: state.digest(&keys::output(id, index), "an answer")? })
    });
    let committees = (0..=request.round).map(|round| {
        let bytes = state.value(&keys::committee(id, round), "a committee")?;
        bytes.map(|bytes| decode(&bytes)).transpose()
    });
    Ok(Verified {
        id,
        block: block.number,
        hash: block.hash().0,
        time: u64::decode(&mut &time[..]).map_err(|_| Invalid::Undecodable("the time"))?,
        answers: answers.collect::<Result<_, Invalid>>()?,
        committees: committees.filter_map(Result::transpose).collect::<Result<_, Invalid>>()?,
        prompt,
        request,
    })
}

fn check_version(state: &State) -> Result<(), Invalid> {
    let bytes = state.value(&keys::storage_version(), "the storage's version")?;
    let found = bytes.and_then(|bytes| u16::decode(&mut &bytes[..]).ok());
    match found.ok_or(Invalid::Unproven("the storage's version"))? {
        VERSION => Ok(()),
        found => Err(Invalid::OtherStorage { found, known: VERSION }),
    }
}

/// The value that these bytes are, all of them.
fn decode<Value: Decode>(bytes: &[u8]) -> Result<Value, Invalid> {
    Value::decode_all(&mut &*bytes).map_err(|_| Invalid::Undecodable("the request"))
}
