//! Endpoints: where operators take orders, and with which key they sign. Owns [`Endpoints`] and [`ExpressKeys`].
//!
//! Invariants:
//! - an express key has one operator, which names it as its key or as its former one;
//! - an operator has at most two, so that proofs against the former one are still heard.

use crate::{epochs, Config, Endpoints, Error, Event, ExpressKeys, Pallet};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{ensure, BoundedVec, CloneNoBound, DebugNoBound, EqNoBound, PartialEqNoBound};
use pallet_proof_of_quality::lane;
use poq_primitives::{
    commitment::Hash32,
    express::{messages, Epoch, Key, Signature, Verify},
};
use scale_info::TypeInfo;
use sp_runtime::DispatchResult;

/// Where an operator takes orders.
#[derive(
    CloneNoBound,
    DebugNoBound,
    PartialEqNoBound,
    EqNoBound,
    Encode,
    Decode,
    DecodeWithMemTracking,
    MaxEncodedLen,
    TypeInfo,
)]
#[scale_info(skip_type_params(T))]
#[codec(mel_bound(T: Config))]
pub struct Endpoint<T: Config> {
    /// Host and port, UTF-8, such as `node.example:8443`.
    pub address: BoundedVec<u8, T::MaxAddress>,
    /// SHA-256 of the TLS certificate that it shows, so that nobody can stand in between.
    pub tls: Hash32,
    /// Its express key, which signs what it does for orders.
    pub key: Key,
    /// The key before, and the first epoch whose snapshots do not have it any more.
    pub former: Option<(Key, Epoch)>,
    /// The first epoch whose snapshots do not have it any more, if it takes no more orders.
    pub leaves: Option<Epoch>,
}

/// Sets an operator's endpoint.
pub(crate) fn set<T: Config>(
    who: T::AccountId,
    address: BoundedVec<u8, T::MaxAddress>,
    tls: Hash32,
    key: Key,
    consent: Signature,
) -> DispatchResult {
    ensure!(lane::is_operator::<T>(&who), Error::<T>::NotAnOperator);
    let is_text = core::str::from_utf8(&address).is_ok_and(|address| !address.trim().is_empty());
    ensure!(is_text, Error::<T>::InvalidAddress);
    let statement = messages::endpoint_consent(&crate::genesis_hash::<T>(), &who);
    ensure!(crate::Host.verify(&key, &statement, &consent), Error::<T>::InvalidConsent);
    ensure!(ExpressKeys::<T>::get(key).is_none_or(|operator| operator == who), Error::<T>::KeyInUse);
    let former = match Endpoints::<T>::get(&who) {
        Some(endpoint) if endpoint.key != key => {
            let now = epochs::current::<T>();
            if let Some((former, gone)) = endpoint.former {
                // While orders of its epochs can be proven against, it stays.
                ensure!(now >= gone.saturating_add(epochs::KEPT), Error::<T>::KeyChangedTwice);
                ExpressKeys::<T>::remove(former);
            }
            Some((endpoint.key, now.saturating_add(1)))
        }
        Some(endpoint) => endpoint.former,
        None => None,
    };
    ensure!(former.is_none_or(|(former, _)| former != key), Error::<T>::KeyInUse);
    ExpressKeys::<T>::insert(key, &who);
    Endpoints::<T>::insert(&who, Endpoint { address, tls, key, former, leaves: None });
    Pallet::<T>::deposit_event(Event::EndpointSet { operator: who, key });
    Ok(())
}

/// Has an operator take no more orders, or forgets it when no proof against it can come any more.
pub(crate) fn remove<T: Config>(signer: T::AccountId, who: T::AccountId) -> DispatchResult {
    let mut endpoint = Endpoints::<T>::get(&who).ok_or(Error::<T>::NoEndpoint)?;
    let now = epochs::current::<T>();
    match endpoint.leaves {
        None => {
            ensure!(signer == who || !lane::is_operator::<T>(&who), Error::<T>::NotYours);
            endpoint.leaves = Some(now.saturating_add(1));
            Endpoints::<T>::insert(&who, endpoint);
            Pallet::<T>::deposit_event(Event::EndpointClosed { operator: who });
        }
        Some(leaves) => {
            ensure!(now >= leaves.saturating_add(epochs::KEPT), Error::<T>::StillAnswerable);
            ExpressKeys::<T>::remove(endpoint.key);
            if let Some((former, _)) = endpoint.former {
                ExpressKeys::<T>::remove(former);
            }
            Endpoints::<T>::remove(&who);
            Pallet::<T>::deposit_event(Event::EndpointForgotten { operator: who });
        }
    }
    Ok(())
}

/// The express key with which an operator takes orders; `None` if it takes none.
pub(crate) fn key_of<T: Config>(who: &T::AccountId) -> Option<Key> {
    Endpoints::<T>::get(who).filter(|endpoint| endpoint.leaves.is_none()).map(|endpoint| endpoint.key)
}

/// The operator of an express key, present or former.
pub(crate) fn operator_of<T: Config>(key: &Key) -> Option<T::AccountId> {
    ExpressKeys::<T>::get(key)
}

/// The invariants.
pub(crate) fn check<T: Config>() -> Result<(), &'static str> {
    let names = |endpoint: &Endpoint<T>, key: &Key| {
        endpoint.key == *key || endpoint.former.is_some_and(|(former, _)| former == *key)
    };
    for (key, operator) in ExpressKeys::<T>::iter() {
        let endpoint = Endpoints::<T>::get(operator).ok_or("an express key has no endpoint")?;
        ensure!(names(&endpoint, &key), "an express key is not the one of its operator");
    }
    for (operator, endpoint) in Endpoints::<T>::iter() {
        let former = endpoint.former.map(|(former, _)| former);
        for key in [Some(endpoint.key), former].into_iter().flatten() {
            ensure!(ExpressKeys::<T>::get(key).as_ref() == Some(&operator), "an express key is not listed");
        }
    }
    Ok(())
}
