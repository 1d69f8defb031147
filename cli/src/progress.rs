//! One live line for each phase of a request, on standard error: standard output is for the answer.

use crate::types::{Phase, RequestView, Work};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{self, IsTerminal, Write},
    mem::{discriminant, Discriminant},
    time::Duration,
};

/// How often the spinner moves.
const TICK: Duration = Duration::from_millis(120);

/// Shows how a request comes along.
pub struct Progress {
    bar: Option<ProgressBar>,
    plain: bool,
    phase: Option<Discriminant<Phase>>,
    latest: String,
}

impl Progress {
    /// A spinner on a terminal, plain lines elsewhere, nothing if `quiet`.
    pub fn new(quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = (terminal && !quiet).then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, plain: !terminal && !quiet, phase: None, latest: String::new() }
    }

    /// Says something that is over.
    pub fn say(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.println(format!("✓ {text}"));
        } else if self.plain {
            // Nobody can be told that standard error is closed.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Says something that goes on.
    pub fn wait(&mut self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
        self.latest = text.to_owned();
    }

    /// Shows the request as it stands in block `block`.
    pub fn show(&mut self, request: &RequestView, block: u64) {
        let entered = self.phase.replace(discriminant(&request.phase)) != self.phase.as_ref().copied();
        if entered && !self.latest.is_empty() {
            self.say(&self.latest);
        }
        self.wait(&format!("block {block}: {}", describe(request)));
    }
}

impl Drop for Progress {
    /// Takes the live line away, however the command ends.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Who is waited for.
fn describe(request: &RequestView) -> String {
    let answers = |done: fn(&Work) -> bool| {
        let done = request.responses.iter().filter(|response| done(&response.work)).count();
        format!("{done} of {}", request.responses.len())
    };
    let scores = |done: fn(&Work) -> bool| {
        let members = request.committees.last().map(Vec::as_slice).unwrap_or_default();
        format!("{} of {}", members.iter().filter(|member| done(&member.work)).count(), members.len())
    };
    let shown = |work: &Work| *work == Work::Shown;
    match request.phase {
        Phase::Requested => "inference nodes are drawn".into(),
        Phase::Answering { .. } => {
            format!("inference nodes answer: {} committed", answers(Work::is_committed))
        }
        Phase::Opening { .. } => format!("answers are shown: {}", answers(shown)),
        Phase::Selecting => "a committee of quality validators is drawn".into(),
        Phase::Scoring { .. } => format!("the committee scores: {} committed", scores(Work::is_committed)),
        Phase::Revealing { .. } => format!("scores are revealed: {}", scores(shown)),
        Phase::Settled { .. } => "settled".into(),
        Phase::Refunded { reason, .. } => format!("refunded: {}", reason.meaning()),
    }
}
