//! One figure.

use crate::samples::{median, quartiles};
use serde::{Deserialize, Serialize};

/// One figure. Absolute values are those of the machine that measured; ratios come from one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Name: the room, `/`, and the measured quantity, as in "engine/idle memory".
    pub name: String,
    /// The median.
    pub value: f64,
    /// Unit of the value and its spread.
    pub unit: String,
    /// Target, if there is one.
    pub target: Option<String>,
    /// Whether the target was met.
    pub met: Option<bool>,
    /// Program that the ratio compares with.
    pub compared_with: Option<String>,
    /// Ratio to that program; above 1 is better.
    pub ratio: Option<f64>,
    /// Lower and upper quartile of the turns, see [`quartiles`]: of up to four turns the least and the greatest. None where
    /// there was one turn.
    #[serde(default)]
    pub spread: Option<[f64; 2]>,
}

impl Figure {
    /// A figure measured once. `name` begins with its room: "chain/…".
    pub fn new(name: impl Into<String>, value: f64, unit: &str) -> Self {
        Self {
            name: name.into(),
            value,
            unit: unit.to_owned(),
            target: None,
            met: None,
            compared_with: None,
            ratio: None,
            spread: None,
        }
    }

    /// A figure measured in several turns: median and quartiles.
    pub fn of(name: impl Into<String>, turns: &[f64], unit: &str) -> Self {
        Self { spread: Some(quartiles(turns)), ..Self::new(name, median(turns), unit) }
    }

    /// Sets a target: a value of at most `most`.
    pub fn at_most(self, most: f64) -> Self {
        let (target, met) = (format!("<= {most} {}", self.unit), self.value <= most);
        Self { target: Some(target), met: Some(met), ..self }
    }

    /// Sets a target: a value of at least `least`.
    pub fn at_least(self, least: f64) -> Self {
        let (target, met) = (format!(">= {least} {}", self.unit), self.value >= least);
        Self { target: Some(target), met: Some(met), ..self }
    }

    /// Compares: `ratio` times as good as `other`.
    pub fn against(self, other: &str, ratio: f64) -> Self {
        Self { compared_with: Some(other.to_owned()), ratio: Some(ratio), ..self }
    }

    /// Sets a target: a ratio of at least `least`.
    pub fn ratio_at_least(self, least: f64) -> Self {
        let met = self.ratio.is_some_and(|ratio| ratio >= least);
        Self { target: Some(format!(">= {least}x")), met: Some(met), ..self }
    }

    /// The first part of the name.
    pub fn room(&self) -> &str {
        self.name.split_once('/').map_or("", |(room, _)| room)
    }

    /// The name within its room.
    pub fn what(&self) -> &str {
        self.name.split_once('/').map_or(self.name.as_str(), |(_, what)| what)
    }

    /// Whether all numbers are finite: JSON has no NaN, so such a file could not be read again.
    pub(super) fn is_finite(&self) -> bool {
        let numbers = [Some(self.value), self.ratio].into_iter().flatten();
        numbers.chain(self.spread.into_iter().flatten()).all(f64::is_finite)
    }
}
