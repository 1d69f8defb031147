//! Free TCP ports of the loopback.
//!
//! They lie below those that the system gives to outgoing connections. One of these may stay taken for a minute after its connection has
//! ended, and a program that is started again cannot have its port back then.

use anyhow::{ensure, Result};
use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, RandomState},
    net::{Ipv4Addr, TcpListener},
};

/// First port that is tried.
const FIRST: u16 = 10_000;

/// Number of ports that may be tried. Linux gives those from 32,768 on to outgoing connections.
const COUNT: u16 = 22_000;

/// `count` different ports that nobody listens on now. Another process may take one before it is used: where a program can choose
/// its port itself (port 0), let it.
pub fn free(count: usize) -> Result<Vec<u16>> {
    // Begins anywhere, because others look for ports at the same time.
    let begin = RandomState::new().hash_one(()) % u64::from(COUNT);
    let offsets = (begin..).take(COUNT.into()).map(|place| place % u64::from(COUNT));
    let ports = offsets.filter_map(|offset| FIRST.checked_add(u16::try_from(offset).ok()?));
    let free = ports.filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    let found: BTreeSet<u16> = free.take(count).collect();
    ensure!(found.len() == count, "the system has no {count} free ports from {FIRST} on");
    Ok(found.into_iter().collect())
}

/// One port that nobody listens on now; see [`free`].
pub fn free_one() -> Result<u16> {
    Ok(free(1)?.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let ports = free(20).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 20);
        assert!(ports.iter().all(|port| (FIRST..32_768).contains(port)), "{ports:?}");
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, free_one().unwrap())).is_ok());
    }
}
