//! Challenges: whoever doubts that a draw was made with the VRF output of a key asks for the proof. Owns [`Challenges`].
//!
//! Parties check the proofs of each other's VRFs before they do anything, so a false output needs the collusion of all that take part. The
//! chain does not check them, to save time; it hears doubts. The key must show the proof within `ChallengeBlocks`, and has the bond of who
//! doubted for its trouble; or it is punished as for an equivocation, and the bond goes back.
//!
//! Invariant: the pot holds the bonds of all open challenges.

use crate::{
    channels, earnings, endpoints, epochs, money, offences, BalanceOf, Challenges, Channels, Config, Error,
    Event, Pallet,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::ensure;
use frame_system::pallet_prelude::BlockNumberFor;
use poq_primitives::express::{
    draw::{vrf_input, ANSWER_VRF, RESPONDER_VRF, SCORE_VRF, VRF_LABEL},
    messages, second_draw_hash, Key, Order, OrderName, Signature, Verify, VrfOutput,
};
use scale_info::TypeInfo;
use sp_core::{
    crypto::VrfPublic,
    sr25519::{
        self,
        vrf::{VrfSignature, VrfTranscript},
    },
};
use sp_runtime::{
    traits::{Get, Saturating, Zero},
    DispatchResult,
};

/// Which VRF of an order.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub enum Draw {
    /// The channel's that draws responders.
    First,
    /// The channel's that draws the committee.
    Second,
    /// A responder's.
    Responder,
}

/// The statement by which a key used a VRF output in an order.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo)]
pub enum Use {
    /// The order itself, signed by the channel's key.
    First(Signature),
    /// The order, signed by the channel's key, and the output whose hash it has.
    Second(Signature, VrfOutput),
    /// An answer, signed by the responder's key.
    Responder {
        /// Commitment to its output.
        output: messages::Commitment,
        /// The VRF output.
        vrf: VrfOutput,
        /// The signature.
        signature: Signature,
    },
}

/// A doubt that waits for a proof.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct Challenge<AccountId, Balance, BlockNumber> {
    /// The output that was used.
    pub vrf: VrfOutput,
    /// Who doubts.
    pub challenger: AccountId,
    /// Its bond.
    pub bond: Balance,
    /// Last block in which the proof counts.
    pub until: BlockNumber,
}

/// [`Challenge`] with the chain's types.
pub type ChallengeOf<T> = Challenge<<T as frame_system::Config>::AccountId, BalanceOf<T>, BlockNumberFor<T>>;

/// What a challenge is about.
pub type Doubt = (Key, OrderName, Draw);

/// Asks a key for the proof of a VRF output that it used.
pub(crate) fn challenge<T: Config>(
    challenger: T::AccountId,
    key: Key,
    order: &Order<BalanceOf<T>>,
    usage: &Use,
) -> DispatchResult {
    let (name, genesis) = (order.name, crate::genesis_hash::<T>());
    ensure!(epochs::is_kept::<T>(name.epoch), Error::<T>::TooOld);
    let digest = order.digest(&genesis);
    let (draw, vrf, statement, signature) = match usage {
        Use::First(signature) => (Draw::First, order.first_draw, digest, signature),
        Use::Second(signature, vrf) => {
            let is_its = second_draw_hash(&genesis, &name, vrf) == order.second_draw;
            ensure!(is_its, Error::<T>::NotAProof);
            (Draw::Second, *vrf, digest, signature)
        }
        Use::Responder { output, vrf, signature } => {
            (Draw::Responder, *vrf, messages::answer(&genesis, &digest, &key, output, vrf), signature)
        }
    };
    ensure!(crate::Host.verify(&key, &statement, signature), Error::<T>::NotAProof);
    match draw {
        Draw::First | Draw::Second => {
            let channel = Channels::<T>::get(name.channel).ok_or(Error::<T>::UnknownChannel)?;
            ensure!(channel.key == key, Error::<T>::UnknownKey);
        }
        Draw::Responder => {
            ensure!(endpoints::operator_of::<T>(&key).is_some(), Error::<T>::UnknownKey);
        }
    }
    let doubt = (key, name, draw);
    ensure!(!Challenges::<T>::contains_key(doubt), Error::<T>::AlreadyChallenged);
    ensure!(!offences::is_punished::<T>(&key, &name), Error::<T>::Punished);
    let bond = T::ChallengeBond::get();
    money::pay_in::<T>(&challenger, bond)?;
    let now = frame_system::Pallet::<T>::block_number();
    let until = now.saturating_add(T::ChallengeBlocks::get().min(epochs::length::<T>()));
    Challenges::<T>::insert(doubt, Challenge { vrf, challenger, bond, until });
    Pallet::<T>::deposit_event(Event::Challenged { key, name, draw, until });
    Ok(())
}

/// Shows the proof. The bond is the key's owner's.
pub(crate) fn answer<T: Config>(doubt: Doubt, proof: &[u8; 64]) -> DispatchResult {
    let challenge = Challenges::<T>::get(doubt).ok_or(Error::<T>::NoChallenge)?;
    ensure!(is_proof::<T>(&doubt, &challenge.vrf, proof), Error::<T>::NotAProof);
    Challenges::<T>::remove(doubt);
    let (key, name, draw) = doubt;
    match (draw, endpoints::operator_of::<T>(&key)) {
        (Draw::Responder, Some(operator)) => earnings::credit::<T>(&operator, challenge.bond),
        (Draw::First | Draw::Second, _) if Channels::<T>::contains_key(name.channel) => {
            channels::credit::<T>(name.channel, challenge.bond)
        }
        // Who is gone leaves it to nobody in particular.
        _ => money::pay_chain::<T>(Zero::zero(), challenge.bond)?,
    }
    Pallet::<T>::deposit_event(Event::ChallengeAnswered { key, name, draw });
    Ok(())
}

/// Punishes a key that has shown no proof in time.
pub(crate) fn punish<T: Config>(doubt: Doubt) -> DispatchResult {
    let challenge = Challenges::<T>::get(doubt).ok_or(Error::<T>::NoChallenge)?;
    ensure!(frame_system::Pallet::<T>::block_number() > challenge.until, Error::<T>::StillAnswerable);
    Challenges::<T>::remove(doubt);
    money::pay_out::<T>(&challenge.challenger, challenge.bond)?;
    let (key, name, draw) = doubt;
    match draw {
        Draw::Responder if endpoints::operator_of::<T>(&key).is_some() => {
            offences::punish_operator::<T>(&key, &name)
        }
        Draw::First | Draw::Second if Channels::<T>::contains_key(name.channel) => {
            offences::punish_channel::<T>(&key, &name)
        }
        // Who is gone has nothing left to lose.
        _ => Ok(()),
    }
}

/// Whether this proves the output to be that of the key's VRF.
fn is_proof<T: Config>((key, name, draw): &Doubt, vrf: &VrfOutput, proof: &[u8; 64]) -> bool {
    let domain = match draw {
        Draw::First => ANSWER_VRF,
        Draw::Second => SCORE_VRF,
        Draw::Responder => RESPONDER_VRF,
    };
    let input = vrf_input(domain, &crate::genesis_hash::<T>(), name);
    let transcript = VrfTranscript::new(VRF_LABEL, &[(b"input", &input)]).into_sign_data();
    let Ok(signature) = VrfSignature::decode(&mut &(vrf, proof).encode()[..]) else { return false };
    sr25519::Public::from_raw(*key).vrf_verify(&transcript, &signature)
}

/// Bonds in the pot.
pub(crate) fn total<T: Config>() -> BalanceOf<T> {
    let bonds = Challenges::<T>::iter_values().map(|challenge| challenge.bond);
    bonds.fold(Zero::zero(), |sum: BalanceOf<T>, bond| sum.saturating_add(bond))
}
