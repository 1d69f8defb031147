//! The arithmetic that a network is run in: 32-bit floats, or bf16 where that is faster and the scores stay the same.
//!
//! ONNX Runtime with 32-bit floats is the reference. On processors that multiply bf16, OpenVINO runs the same file
//! faster. Whether it does is measured when the evaluator is loaded, and so is the distance of its scores from the
//! reference's; if either is not good enough, the reference is used.

use crate::onnx;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Largest distance of a bf16 score from the reference's, in parts per million. It is a fiftieth of the least distance at
/// which a chain's consensus takes a score for worth nothing (`tolerance_least`, 5% unless governance changes it).
pub const MOST_DIFFERENCE_PPM: u32 = 1_000;

/// Longest time that bf16 may take to be chosen, in thousandths of the reference's: a gain below a tenth is noise.
pub const MOST_TIME_PERMILLE: u32 = 900;

/// Smallest size of a network's files, in bytes, for which bf16 is tried. Smaller networks take a few milliseconds, and
/// loading OpenVINO takes a second.
pub const LEAST_BYTES: u64 = 16 * 1024 * 1024;

/// Largest size, in bytes. Both forms are in memory while they are compared.
pub const MOST_BYTES: u64 = 4 * 1024 * 1024 * 1024;

/// Time after which no further length of input is timed. Scores are compared at all lengths.
pub(super) const MEASURING: Duration = Duration::from_secs(3);

/// Lengths of input that are measured, in tokens, as far as the network takes them.
pub(super) const MEASURED_LENGTHS: [usize; 4] = [64, 128, 256, 512];

/// Timed runs of each length and arithmetic, in turns; the shortest counts.
pub(super) const MEASURED_RUNS: usize = 3;

/// Which arithmetic an evaluator may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// The reference: 32-bit floats.
    #[default]
    Fp32,
    /// bf16 where it is measured to be faster and to give the same scores, else 32-bit floats.
    Auto,
}

/// The arithmetic that a loaded evaluator runs in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arithmetic {
    /// ONNX Runtime with the weights as they are in the file.
    Reference(Why),
    /// OpenVINO with bf16.
    Bf16(Measured),
    /// llama.cpp.
    Llama,
}

/// The reason for running the reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The settings ask for it.
    Set,
    /// The network is so small that bf16 gains nothing.
    Small,
    /// The network is too large to have it in memory twice.
    Large,
    /// The processor cannot multiply bf16.
    Processor,
    /// There is no ONNX Runtime with OpenVINO on this machine.
    NoOpenVino,
    /// OpenVINO does not run this network; its reason in one line.
    Fails(String),
    /// bf16 is not faster by a tenth.
    NotFaster(Measured),
    /// The scores in bf16 are too far from the reference's.
    Differs(Measured),
}

/// bf16 beside the reference, both measured when the evaluator was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Its time, in thousandths of the reference's.
    pub time_permille: u32,
    /// Largest distance of a score, in parts per million.
    pub difference_ppm: u32,
}

impl Measured {
    /// The arithmetic that these figures speak for.
    pub(super) fn verdict(self) -> Arithmetic {
        if self.difference_ppm > MOST_DIFFERENCE_PPM {
            Arithmetic::Reference(Why::Differs(self))
        } else if self.time_permille > MOST_TIME_PERMILLE {
            Arithmetic::Reference(Why::NotFaster(self))
        } else {
            Arithmetic::Bf16(self)
        }
    }

    fn in_words(self) -> String {
        let (time, difference) = (f64::from(self.time_permille) / 1e3, f64::from(self.difference_ppm) / 1e6);
        format!("in {time:.2} of the reference's time, scores within {difference:.6}")
    }
}

impl Arithmetic {
    /// One line for people.
    pub fn in_words(&self) -> String {
        let why = match self {
            Self::Llama => return "llama.cpp".to_owned(),
            Self::Bf16(measured) => return format!("OpenVINO bf16 {}", measured.in_words()),
            Self::Reference(why) => why,
        };
        let why = match why {
            Why::Set => "bf16 is off".to_owned(),
            Why::Small => "small enough without bf16".to_owned(),
            Why::Large => "too large to try bf16".to_owned(),
            Why::Processor => "this processor has no bf16".to_owned(),
            Why::NoOpenVino => "bf16 needs ONNX Runtime with OpenVINO: run scripts/setup.sh".to_owned(),
            Why::Fails(error) => format!("OpenVINO does not run it: {error}"),
            Why::NotFaster(measured) => format!("bf16 is not faster: {}", measured.in_words()),
            Why::Differs(measured) => format!("bf16 differs too much: {}", measured.in_words()),
        };
        format!("ONNX Runtime ({why})")
    }
}

/// Whether OpenVINO is worth loading for a network of `bytes`, or why not. Nothing is loaded here.
pub(super) fn worth_trying(precision: Precision, bytes: u64) -> Result<(), Why> {
    if precision == Precision::Fp32 {
        return Err(Why::Set);
    }
    if bytes < LEAST_BYTES {
        return Err(Why::Small);
    }
    if bytes > MOST_BYTES {
        return Err(Why::Large);
    }
    if has_bf16() {
        Ok(())
    } else {
        Err(Why::Processor)
    }
}

/// Whether a network of `bytes` is loaded with OpenVINO as well.
pub fn is_tried(precision: Precision, bytes: u64) -> bool {
    worth_trying(precision, bytes).is_ok() && onnx::find_openvino().is_some()
}

/// Whether the processor multiplies bf16.
#[cfg(target_arch = "x86_64")]
pub fn has_bf16() -> bool {
    // Every processor with AMX for bf16 has this as well.
    std::arch::is_x86_feature_detected!("avx512bf16")
}

/// Whether the processor multiplies bf16.
#[cfg(not(target_arch = "x86_64"))]
pub fn has_bf16() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_turns_at_the_bounds() {
        let verdict = |time_permille, difference_ppm| Measured { time_permille, difference_ppm }.verdict();
        let (time, difference) = (MOST_TIME_PERMILLE, MOST_DIFFERENCE_PPM);
        assert!(matches!(verdict(time, difference), Arithmetic::Bf16(_)));
        assert!(matches!(verdict(time + 1, difference), Arithmetic::Reference(Why::NotFaster(_))));
        assert!(matches!(verdict(time, difference + 1), Arithmetic::Reference(Why::Differs(_))));
        assert!(matches!(verdict(time + 1, difference + 1), Arithmetic::Reference(Why::Differs(_))));
    }

    #[test]
    fn openvino_is_loaded_only_where_it_may_help() {
        assert_eq!(worth_trying(Precision::Fp32, LEAST_BYTES), Err(Why::Set));
        assert_eq!(worth_trying(Precision::Auto, LEAST_BYTES - 1), Err(Why::Small));
        assert_eq!(worth_trying(Precision::Auto, MOST_BYTES + 1), Err(Why::Large));
        for bytes in [LEAST_BYTES, MOST_BYTES] {
            let expected = if has_bf16() { Ok(()) } else { Err(Why::Processor) };
            assert_eq!(worth_trying(Precision::Auto, bytes), expected);
        }
    }

    #[test]
    fn a_reader_is_told_which_arithmetic_and_why() {
        let measured = Measured { time_permille: 570, difference_ppm: 380 };
        let said = Arithmetic::Bf16(measured).in_words();
        assert_eq!(said, "OpenVINO bf16 in 0.57 of the reference's time, scores within 0.000380");
        for (why, word) in [
            (Why::Set, "is off"),
            (Why::NoOpenVino, "scripts/setup.sh"),
            (Why::Fails("no such layer".into()), "no such layer"),
            (Why::Differs(measured), "0.000380"),
        ] {
            let said = Arithmetic::Reference(why).in_words();
            assert!(said.starts_with("ONNX Runtime (") && said.contains(word), "{said}");
        }
    }
}
