//! Network namespaces, and links between them that can be cut.
//!
//! Each node lives in a namespace of its own with two links. By *data* nodes reach each other: all these links end in a switch
//! (a namespace with two bridges, `near` and `far`). To cut a network in two is to move some links to the other bridge. By
//! *manage* only this machine reaches a node, whatever the state of the switch:
//!
//! ```text
//!   this machine ── 10.78.N.1 ──── manage ──── 10.78.N.2 ┌────────┐
//!                                                        │ node N │
//!              switch: near │ far ──── data ── 10.77.0.N └────────┘
//! ```

use anyhow::{ensure, Context as _, Result};
use harness::{process, programs, Address, Signal};
use rustix::process::geteuid;
use std::{
    env,
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

const NEEDS_ROOT: &str =
    "network namespaces need root: run this as root (nothing outside of the namespaces is touched)";

/// Prefix of all names. There is one such network on a machine at a time.
const PREFIX: &str = "poq-wires";

/// RPC port of each node in its namespace.
const RPC_PORT: u16 = 9944;

/// Port of each node for other nodes.
const P2P_PORT: u16 = 30333;

/// Namespaces with links. Namespaces, links and processes end with this value.
#[derive(Debug)]
pub struct Wires {
    count: u8,
    // Locked by one process at a time.
    _turn: File,
}

impl Wires {
    /// Checks that this user may make network namespaces.
    ///
    /// # Errors
    /// The reason why not.
    pub fn are_allowed() -> Result<()> {
        ensure!(geteuid().is_root(), NEEDS_ROOT);
        let name = format!("{PREFIX}-try-{}", std::process::id());
        ip(&["netns", "add", &name])?;
        ip(&["netns", "del", &name])
    }

    /// Lays links for `count` nodes, after removing the remains of a killed run.
    ///
    /// # Errors
    /// If this user may not, if another such network is there, or if the kernel cannot.
    pub fn lay(count: u8) -> Result<Self> {
        ensure!(geteuid().is_root(), NEEDS_ROOT);
        let turn = take_turn()?;
        let wires = Self { count, _turn: turn };
        wires.remove();
        wires.lay_switch()?;
        (0..count).try_for_each(|node| wires.lay_node(node))?;
        Ok(wires)
    }

    fn lay_switch(&self) -> Result<()> {
        let switch = switch();
        ip(&["netns", "add", &switch])?;
        for bridge in ["near", "far"] {
            ip(&["-n", &switch, "link", "add", bridge, "type", "bridge"])?;
            ip(&["-n", &switch, "link", "set", bridge, "up"])?;
        }
        Ok(())
    }

    fn lay_node(&self, node: u8) -> Result<()> {
        let (switch, namespace) = (switch(), namespace(node));
        let (port, manage) = (port(node), manage(node));
        ip(&["netns", "add", &namespace])?;
        ip(&["-n", &namespace, "link", "set", "lo", "up"])?;
        ip(&[
            "link", "add", &port, "netns", &switch, "type", "veth", "peer", "name", "data", "netns",
            &namespace,
        ])?;
        ip(&["-n", &switch, "link", "set", &port, "master", "near"])?;
        ip(&["-n", &switch, "link", "set", &port, "up"])?;
        ip(&["-n", &namespace, "address", "add", &format!("{}/24", data_address(node)), "dev", "data"])?;
        ip(&["-n", &namespace, "link", "set", "data", "up"])?;
        ip(&["link", "add", &manage, "type", "veth", "peer", "name", "manage", "netns", &namespace])?;
        ip(&["address", "add", &format!("{}/30", manage_address(node, 1)), "dev", &manage])?;
        ip(&["link", "set", &manage, "up"])?;
        ip(&[
            "-n",
            &namespace,
            "address",
            "add",
            &format!("{}/30", manage_address(node, 2)),
            "dev",
            "manage",
        ])?;
        ip(&["-n", &namespace, "link", "set", "manage", "up"])
    }

    /// Addresses of the nodes.
    pub fn addresses(&self) -> Vec<Address> {
        let address = |node| Address {
            rpc: SocketAddr::new(IpAddr::V4(manage_address(node, 2)), RPC_PORT),
            p2p: SocketAddr::new(IpAddr::V4(data_address(node)), P2P_PORT),
            namespace: Some(namespace(node)),
        };
        (0..self.count).map(address).collect()
    }

    /// Cuts the nodes `away` off from the others. Packets between the two sides are dropped silently.
    pub fn cut(&self, away: &[usize]) -> Result<()> {
        self.plug(|node| if away.contains(&usize::from(node)) { "far" } else { "near" })
    }

    /// Reconnects all nodes.
    pub fn heal(&self) -> Result<()> {
        self.plug(|_| "near")
    }

    fn plug(&self, bridge: impl Fn(u8) -> &'static str) -> Result<()> {
        let switch = switch();
        (0..self.count)
            .try_for_each(|node| ip(&["-n", &switch, "link", "set", &port(node), "master", bridge(node)]))
    }

    /// Removes all namespaces with the prefix, of this run or of a killed one.
    fn remove(&self) {
        for namespace in (0..=u8::MAX).map(namespace).chain([switch()]).filter(|name| exists(name)) {
            for id in
                ip_says(&["netns", "pids", &namespace]).split_whitespace().filter_map(|id| id.parse().ok())
            {
                process::send(id, Signal::KILL);
            }
            // Its links end with it.
            let _gone = ip(&["netns", "delete", &namespace]);
        }
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        self.remove();
    }
}

fn take_turn() -> Result<File> {
    let path = env::temp_dir().join(format!("{PREFIX}.turn"));
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.with_context(|| format!("cannot write {}", path.display()))?;
    ensure!(
        file.try_lock().is_ok(),
        "another network with namespaces runs on this machine: wait for its end"
    );
    Ok(file)
}

fn switch() -> String {
    format!("{PREFIX}-switch")
}

fn namespace(node: u8) -> String {
    format!("{PREFIX}-{node}")
}

/// The switch's end of a node's data link.
fn port(node: u8) -> String {
    format!("port{node}")
}

/// This machine's end of a node's other link.
fn manage(node: u8) -> String {
    format!("{PREFIX}-m{node}")
}

fn data_address(node: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, node.saturating_add(1))
}

fn manage_address(node: u8, end: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, node, end)
}

fn exists(namespace: &str) -> bool {
    std::path::Path::new("/run/netns").join(namespace).exists()
}

fn ip(words: &[&str]) -> Result<()> {
    programs::run("ip", words).map(|_| ()).context("links need `ip` (Debian's package iproute2)")
}

fn ip_says(words: &[&str]) -> String {
    let said = programs::run("ip", words).unwrap_or_default();
    String::from_utf8_lossy(&said).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_the_kernel() {
        // An interface's name has at most 15 bytes.
        assert!(manage(u8::MAX).len() <= 15 && port(u8::MAX).len() <= 15);
    }
}
