//! The verifier of receipts for other languages, as WebAssembly without imports.
//!
//! A caller starts an instance for each call, writes its texts (UTF-8) to places that `poq_reserve` gives, and calls
//! `poq_verify` or `poq_digest` with the place and the length of each. The result is the place of
//! four bytes, the length in little-endian order, and that many bytes of UTF-8. Nothing is given back: the memory ends with the instance.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

use alloc::{
    format,
    string::{String, ToString as _},
};
use poq_receipt::{report, Receipt};
use serde_json::json;

/// Checks a receipt against the hash of the block that it must begin with. The answer is JSON: `{"proven": …}` with what
/// [`poq_receipt::report`] says, or `{"invalid": "reason"}`.
pub fn verify(receipt: &str, anchor: &str) -> String {
    let proven = trusted(anchor).and_then(|anchor| {
        let receipt = Receipt::parse(receipt).map_err(|error| error.to_string())?;
        poq_receipt::verify(&receipt, anchor).map_err(|error| error.to_string())
    });
    match proven {
        Ok(proven) => json!({ "proven": report(&proven) }),
        Err(reason) => json!({ "invalid": reason }),
    }
    .to_string()
}

/// Digest of a text as the state holds it: `0x` and hex digits.
pub fn digest(text: &str) -> String {
    format!("0x{}", hex::encode(poq_receipt::digest(text)))
}

fn trusted(anchor: &str) -> Result<[u8; 32], String> {
    let mut hash = [0; 32];
    let digits = anchor.strip_prefix("0x").unwrap_or_default();
    hex::decode_to_slice(digits, &mut hash)
        .map_err(|_| format!("the anchor is a block's hash, 0x and 64 hex digits, not \"{anchor}\""))?;
    Ok(hash)
}

/// What other languages call.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "memory that the caller wrote, and names that it finds")]
mod abi {
    use alloc::{vec, vec::Vec};

    #[global_allocator]
    static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        core::arch::wasm32::unreachable()
    }

    /// Place for a text of `length` bytes.
    #[no_mangle]
    pub extern "C" fn poq_reserve(length: usize) -> *mut u8 {
        vec![0_u8; length].leak().as_mut_ptr()
    }

    /// [`verify`](crate::verify), with texts at places that [`poq_reserve`] gave.
    ///
    /// # Safety
    /// As many bytes must have been reserved at each place.
    #[no_mangle]
    pub unsafe extern "C" fn poq_verify(
        receipt: *const u8,
        receipt_length: usize,
        anchor: *const u8,
        anchor_length: usize,
    ) -> *const u8 {
        // SAFETY: the caller reserved both.
        let (receipt, anchor) = unsafe { (text(receipt, receipt_length), text(anchor, anchor_length)) };
        give(&match (receipt, anchor) {
            (Some(receipt), Some(anchor)) => crate::verify(receipt, anchor),
            _ => r#"{"invalid":"not a receipt: it is not UTF-8"}"#.into(),
        })
    }

    /// [`digest`](crate::digest) of a text at a place that [`poq_reserve`] gave; empty if it is not UTF-8.
    ///
    /// # Safety
    /// As many bytes must have been reserved at the place.
    #[no_mangle]
    pub unsafe extern "C" fn poq_digest(place: *const u8, length: usize) -> *const u8 {
        // SAFETY: the caller reserved it.
        let text = unsafe { text(place, length) };
        give(&text.map(crate::digest).unwrap_or_default())
    }

    /// # Safety
    /// As many bytes must have been reserved at the place.
    unsafe fn text<'a>(place: *const u8, length: usize) -> Option<&'a str> {
        // SAFETY: the caller reserved it.
        core::str::from_utf8(unsafe { core::slice::from_raw_parts(place, length) }).ok()
    }

    fn give(text: &str) -> *const u8 {
        let length = (text.len() as u32).to_le_bytes();
        let given: Vec<u8> = length.iter().chain(text.as_bytes()).copied().collect();
        given.leak().as_ptr()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_receipt_is_said() {
        let hash = format!("0x{}", "11".repeat(32));
        assert!(verify("{}", &hash).contains("not a receipt: missing field `form`"));
        assert!(verify(r#"{"form": 2}"#, &hash).contains("the receipt has form 2"));
        for anchor in ["", "0x11", &hash[2..], "genesis"] {
            assert!(verify("{}", anchor).contains("the anchor is a block's hash"), "{anchor}");
        }
    }

    #[test]
    fn a_digest_is_hex() {
        assert_eq!(digest("Lima"), format!("0x{}", hex::encode(poq_receipt::digest("Lima"))));
    }
}
