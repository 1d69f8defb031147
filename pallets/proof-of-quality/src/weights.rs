//! Weights of calls and of the agenda's steps.
//!
//! Not measured yet: placeholders that the benchmarks replace.

use core::marker::PhantomData;
use frame_support::weights::Weight;

macro_rules! weights {
    ($($(#[$doc:meta])* fn $name:ident($($arg:ident),*);)*) => {
        /// Weights of calls and of the agenda's steps.
        pub trait WeightInfo {
            $($(#[$doc])* fn $name($($arg: u32),*) -> Weight;)*
        }

        /// Measured weights, with the database weights of the runtime `T`.
        pub struct SubstrateWeight<T>(PhantomData<T>);

        impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
            $(fn $name($($arg: u32),*) -> Weight {
                $(let _ = $arg;)*
                Weight::from_parts(2_000_000_000, 0)
            })*
        }
    };
}

weights! {
    /// Registering a model.
    fn register_model();
    /// Retiring a model.
    fn retire_model();
    /// Bonding.
    fn bond();
    /// Registering.
    fn register();
    /// Chilling.
    fn chill();
    /// Resuming.
    fn resume();
    /// Unbonding.
    fn unbond();
    /// Withdrawing.
    fn withdraw();
    /// A request with a prompt of `b` bytes.
    fn request_inference(b);
    /// A commitment to an output.
    fn report_output_commitment();
    /// An output of `b` bytes.
    fn report_output(b);
    /// A commitment to scores.
    fn report_scores_commitment();
    /// Scores.
    fn report_scores();
    /// A failure.
    fn report_failure();
    /// New parameters.
    fn set_parameters();
    /// Opening an audit.
    fn open_audit(n, k);
    /// Looking at the agenda of one block.
    fn agenda_block();
    /// Looking at a request on the agenda.
    fn agenda_item();
    /// Drawing `n` inference nodes out of `c` candidates.
    fn draw_inference_nodes(c, n);
    /// Closing the commitments.
    fn close_answering(n);
    /// Closing the outputs.
    fn close_opening(n);
    /// Drawing `k` quality validators out of `c` candidates.
    fn draw_committee(c, k);
    /// Closing the commitments to scores.
    fn close_scoring(k);
    /// Settling.
    fn settle(n, k);
    /// Settling where as many as can be are absent.
    fn settle_with_absentees(n, k);
    /// Dismissing a committee.
    fn dismiss_committee(k);
    /// Refunding.
    fn refund(n, k);
    /// Forgetting.
    fn prune(n);
}
