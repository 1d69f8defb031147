//! Free TCP ports of the loopback.

use anyhow::{Context as _, Result};
use std::net::{Ipv4Addr, TcpListener};

/// `count` different ports that nobody listens on now. Another process may take one before it is used: where a program can choose
/// its port itself (port 0), let it.
pub fn free(count: usize) -> Result<Vec<u16>> {
    // Held together, so that none is given twice.
    let held: Vec<_> =
        (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<Result<_, _>>()?;
    held.iter().map(|socket| Ok(socket.local_addr()?.port())).collect()
}

/// One port that nobody listens on now; see [`free`].
pub fn free_one() -> Result<u16> {
    free(1)?.pop().context("the system has no free port")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ports_differ_and_can_be_bound() {
        let ports = free(20).unwrap();
        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), 20);
        assert!(TcpListener::bind((Ipv4Addr::LOCALHOST, free_one().unwrap())).is_ok());
    }
}
