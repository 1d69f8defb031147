//! Receipts that hold, and receipts that somebody has changed.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod common;

use codec::{Decode as _, Encode as _};
use common::{header, justify, receipt, Header, ANSWER, FIRST, ID, QUESTION, SECOND};
use poq_client::types::Phase;
use poq_receipt::{digest, stored, verify, Bytes, Invalid, Receipt};
use proptest::prelude::*;
use sp_core::H256;

const SETTLED: Phase = Phase::Settled { at: 8, best: 0 };

#[test]
fn a_receipt_says_who_was_paid_for_what() {
    let (receipt, anchor) = receipt(SETTLED);
    let json = serde_json::to_string_pretty(&receipt).unwrap();
    assert!(!json.contains(&hex::encode(ANSWER)) && !json.contains(&hex::encode(QUESTION)), "texts stay out");
    let proven = verify(&Receipt::parse(&json).unwrap(), anchor).unwrap();
    assert_eq!((proven.id, proven.block, proven.time), (ID, 9, 1_700_000_000_000));
    assert_eq!(proven.request.phase, stored::Phase::Settled { at: 8, best: 0 });
    assert_eq!(proven.prompt, digest(QUESTION));
    assert_eq!(proven.answers[0].output, Some(digest(ANSWER)));
    assert_eq!((proven.answers[0].response.quality, proven.answers[0].response.paid), (Some(900_000), 40));
    assert_eq!(
        (proven.answers[1].output, proven.answers[1].response.work),
        (None, stored::Work::NotRevealed)
    );
    assert_eq!(proven.committees.len(), 1);
    assert_eq!(proven.committees[0].len(), 3);
}

#[test]
fn the_reader_says_where_a_receipt_begins() {
    let (receipt, found) = receipt(SETTLED);
    let trusted = [1; 32];
    assert_eq!(verify(&receipt, trusted), Err(Invalid::OtherAnchor { found, trusted }));
}

#[test]
fn an_open_request_has_no_receipt() {
    let (receipt, anchor) = receipt(Phase::Selecting);
    assert_eq!(verify(&receipt, anchor), Err(Invalid::Open(ID)));
}

#[test]
fn another_request_is_not_proven() {
    let (mut receipt, anchor) = receipt(SETTLED);
    receipt.request = 8;
    // The nodes of one request may happen to show that there is no other.
    let refused = verify(&receipt, anchor);
    assert!(matches!(refused, Err(Invalid::Unproven("the request") | Invalid::NoRequest(8))), "{refused:?}");
}

/// Replaces the votes for the receipt's last block by others.
fn voted(votes: impl FnOnce(&Header) -> Bytes) -> Result<(), Invalid> {
    let (mut receipt, anchor) = receipt(SETTLED);
    let block = Header::decode(&mut &receipt.block.header.0[..]).unwrap();
    receipt.block.justification = votes(&block);
    verify(&receipt, anchor).map(drop)
}

#[test]
fn only_the_voters_of_the_time_make_a_block_final() {
    let refused = |why| Err(Invalid::NotFinal { block: 9, why });
    assert_eq!(voted(|block| justify(&SECOND, 1, block, None)), Ok(()));
    assert_eq!(voted(|block| justify(&FIRST, 1, block, None)), refused("its votes do not hold"));
    assert_eq!(
        voted(|block| justify(&SECOND[..2], 1, block, None)),
        refused("its votes do not hold"),
        "two of three"
    );
    assert_eq!(voted(|block| justify(&SECOND, 0, block, None)), refused("a vote is not signed by its voter"));
    let with_a_stranger = [&SECOND[..], &FIRST[..1]].concat();
    assert_eq!(voted(|block| justify(&with_a_stranger, 1, block, None)), refused("its votes do not hold"));
    let twice = [&SECOND[..], &SECOND[..1]].concat();
    assert_eq!(voted(|block| justify(&twice, 1, block, None)), refused("its votes do not hold"));
    let other = header(9, H256::repeat_byte(4), H256::repeat_byte(5), vec![]);
    assert_eq!(
        voted(|_| justify(&SECOND, 1, &other, None)),
        refused("its justification is of another block")
    );
}

#[test]
fn no_change_of_the_voters_can_be_left_out_or_made_up() {
    let (mut receipt, anchor) = receipt(SETTLED);
    let changes = std::mem::take(&mut receipt.changes);
    assert!(matches!(verify(&receipt, anchor), Err(Invalid::NotFinal { block: 9, .. })));

    // The old voters call a block of theirs final that changes nothing.
    let plain = header(6, H256::repeat_byte(1), H256::repeat_byte(2), vec![]);
    receipt.changes = changes.clone();
    receipt.changes[0].header = Bytes(plain.encode());
    receipt.changes[0].justification = justify(&FIRST, 0, &plain, None);
    assert_eq!(verify(&receipt, anchor), Err(Invalid::NoChange(6)));

    receipt.changes = [changes.clone(), changes].concat();
    assert_eq!(verify(&receipt, anchor), Err(Invalid::Order(5)));
}

#[test]
fn what_proves_nothing_is_refused() {
    let (receipt, anchor) = receipt(SETTLED);
    for change in [
        |receipt: &mut Receipt| receipt.state.push(Bytes(vec![1, 2, 3])),
        |receipt: &mut Receipt| receipt.state.push(receipt.state[0].clone()),
        |receipt: &mut Receipt| receipt.anchor.state.push(Bytes(vec![])),
    ] {
        let mut changed = receipt.clone();
        change(&mut changed);
        assert_eq!(verify(&changed, anchor), Err(Invalid::Surplus));
    }
    let mut changed = receipt.clone();
    changed.block.justification.0.push(0);
    assert_eq!(verify(&changed, anchor), Err(Invalid::Undecodable("a justification")));
    let mut changed = receipt;
    changed.form = 2;
    let json = serde_json::to_string(&changed).unwrap();
    assert_eq!(Receipt::parse(&json), Err(Invalid::UnknownForm(2)));
}

#[test]
fn a_node_left_out_is_missed() {
    let (receipt, anchor) = receipt(SETTLED);
    for index in 0..receipt.state.len() {
        let mut changed = receipt.clone();
        changed.state.remove(index);
        assert!(matches!(verify(&changed, anchor), Err(Invalid::Unproven(_))), "node {index}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever byte of the file is changed, and to whatever: it is refused, or it says the same as before.
    #[test]
    fn a_changed_byte_is_refused(at: prop::sample::Index, to in 0x20_u8..0x7f) {
        let (receipt, anchor) = receipt(SETTLED);
        let mut json = serde_json::to_string(&receipt).unwrap().into_bytes();
        let at = at.index(json.len());
        json[at] = to;
        let json = String::from_utf8(json).unwrap();
        match Receipt::parse(&json) {
            Ok(read) if read == receipt => prop_assert!(verify(&read, anchor).is_ok()),
            Ok(read) => prop_assert!(verify(&read, anchor).is_err(), "{json}"),
            Err(_) => {}
        }
    }

    /// The same for the bits that the file stands for.
    #[test]
    fn a_changed_bit_is_refused(part: prop::sample::Index, at: prop::sample::Index, bit in 0_u32..8) {
        let (mut receipt, anchor) = receipt(SETTLED);
        let count = 5 + receipt.state.len() + receipt.anchor.state.len();
        let bytes = match part.index(count) {
            0 => &mut receipt.anchor.header,
            1 => &mut receipt.changes[0].header,
            2 => &mut receipt.changes[0].justification,
            3 => &mut receipt.block.header,
            4 => &mut receipt.block.justification,
            node => {
                let node = node - 5;
                let own = receipt.state.len();
                if node < own { &mut receipt.state[node] } else { &mut receipt.anchor.state[node - own] }
            }
        };
        let at = at.index(bytes.0.len());
        bytes.0[at] ^= 1_u8 << bit;
        prop_assert!(verify(&receipt, anchor).is_err());
    }
}
