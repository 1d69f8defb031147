//! Phases: from where work is done to where the next is.

use crate::{
    duties::{RequestId, Work},
    requests::{self, Phase, Request},
    Config,
};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::traits::{One, Saturating};

/// Blocks after which a seed can be there that was not known before: that of the parent of a block, known since that parent,
/// is younger than what happened two blocks before. A draw is not tried earlier, because to try costs as much as to draw.
const SEED_AFTER: u32 = 2;

/// Ends a phase in which everyone has acted, and `done` of `of` as they should. Where that only opens the next it is done
/// here and now; what moves money is left to the agenda of this block.
pub(crate) fn end_phase<T: Config>(id: RequestId, request: &mut Request<T>, done: usize, of: u32) {
    let now = frame_system::Pallet::<T>::block_number();
    match request.phase {
        Phase::Answering { .. } if done > 0 => enter_revealing_answers::<T>(id, request, now),
        Phase::RevealingAnswers { .. } if done > 0 => enter_selecting::<T>(id, request, of == 1, now),
        Phase::Scoring { .. } if done >= quorum(request.committee) => {
            enter_revealing_scores::<T>(id, request, now)
        }
        _ => requests::schedule::<T>(id, request, now),
    }
}

/// Begins with the answers: with commitments to them, if there are several.
pub(crate) fn enter_answering<T: Config>(
    id: RequestId,
    request: &mut Request<T>,
    sole: bool,
    now: BlockNumberFor<T>,
) {
    let windows = request.answer_windows;
    let (phase, until) = if sole {
        let until = now.saturating_add(windows.commit).saturating_add(windows.reveal);
        (Phase::RevealingAnswers { until }, until)
    } else {
        let until = now.saturating_add(windows.commit);
        (Phase::Answering { until }, until)
    };
    requests::enter::<T>(id, request, phase, until.saturating_add(One::one()));
}

/// Goes on to the reveals of the answers.
pub(crate) fn enter_revealing_answers<T: Config>(
    id: RequestId,
    request: &mut Request<T>,
    now: BlockNumberFor<T>,
) {
    // From here on the outputs cannot change, only be withheld, which is slashed.
    request.fixed_at = now;
    let until = now.saturating_add(request.answer_windows.reveal);
    requests::enter::<T>(id, request, Phase::RevealingAnswers { until }, until.saturating_add(One::one()));
}

/// Goes on to the draw of a committee. The output of a `sole` inference node is fixed only now: there was no commitment to it.
pub(crate) fn enter_selecting<T: Config>(
    id: RequestId,
    request: &mut Request<T>,
    sole: bool,
    now: BlockNumberFor<T>,
) {
    if sole {
        request.fixed_at = now;
    }
    let due = first_draw::<T>(request.fixed_at).max(now.saturating_add(One::one()));
    requests::enter::<T>(id, request, Phase::Selecting, due);
}

/// Goes on to the reveals of the scores.
pub(crate) fn enter_revealing_scores<T: Config>(
    id: RequestId,
    request: &mut Request<T>,
    now: BlockNumberFor<T>,
) {
    let until = now.saturating_add(request.score_windows.reveal);
    requests::enter::<T>(id, request, Phase::RevealingScores { until }, until.saturating_add(One::one()));
}

/// The first block in which there can be a seed that was not known in block `fixed`.
pub(crate) fn first_draw<T: Config>(fixed: BlockNumberFor<T>) -> BlockNumberFor<T> {
    fixed.saturating_add(SEED_AFTER.into())
}

/// Scores that a committee of `size` must reveal for a consensus: more than half.
pub(crate) fn quorum(size: u32) -> usize {
    (size as usize / 2).saturating_add(1)
}

/// Marks the work of which nothing came when a phase of commitments or, with `revealing`, of reveals closes.
pub(crate) fn close<'a>(work: impl Iterator<Item = &'a mut Work>, revealing: bool) {
    for work in work.filter(|work| !work.has_acted(revealing)) {
        *work = match work {
            Work::Committed(_) => Work::NotRevealed,
            _ => Work::NotCommitted,
        };
    }
}
