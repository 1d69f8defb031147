//! Problems that keep a node from its part. `poq-node` finds them; its log and metrics show them, and its RPC method `poq_problems`
//! returns those of now.

use alloc::string::String;
use codec::{Decode, DecodeWithMemTracking, Encode};
use core::fmt;
use serde::{Deserialize, Serialize};

/// Cost of a problem for an operator. Ordered, the worst first.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Encode,
    Decode,
    DecodeWithMemTracking,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is earned while it lasts.
    Stops,
    /// It costs pay or stake.
    Costs,
    /// Good to know.
    Note,
}

/// A problem and its remedy.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, Serialize, Deserialize)]
pub struct Problem {
    /// Kind, for scripts and labels: lower case, words joined by `_`. `docs/operate.md` lists all.
    pub kind: String,
    /// Cost for an operator that the problem is about.
    pub severity: Severity,
    /// The operator, worker key (both as SS58 addresses), file or URL that the problem is about; empty if it is the node.
    pub subject: String,
    /// The fault, without a full stop.
    pub what: String,
    /// The remedy, without a full stop; commands stand in backquotes.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}
