//! One node of a network, with options, keys and identity of its member.

use crate::members::Member;
use anyhow::{Context as _, Result};
use harness::{programs, Setup};
use std::{
    fs,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
};

/// Options that keep a node light, because eleven share a machine: its caches are made for chains with millions of accounts.
const LIGHT: [&str; 10] = [
    "--db-cache",
    "16",
    "--trie-cache-size",
    "16777216",
    "--max-runtime-instances",
    "4",
    "--pool-limit",
    "2048",
    "--pool-kbytes",
    "20480",
];

/// A node of a network.
#[derive(Debug)]
pub struct Node {
    /// The member that runs it.
    pub member: Member,
    node: harness::Node,
}

impl Deref for Node {
    type Target = harness::Node;

    fn deref(&self) -> &Self::Target {
        &self.node
    }
}

impl DerefMut for Node {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.node
    }
}

impl Node {
    /// A node that another program may have started.
    pub fn found(member: Member, setup: Setup) -> Self {
        let setup = Setup { name: member.name.clone(), ..setup };
        Self { member, node: harness::Node::new(setup) }
    }

    /// A node that is not running yet, of the chain specified in the file `spec`, with the models in the folder `models`.
    pub fn new(member: Member, setup: Setup, spec: &Path, models: &Path) -> Self {
        let mut node = Self::found(member, Setup { own_group: true, ..setup });
        let (key, name) = (node.node_key(), node.name().to_owned());
        let role: [&std::ffi::OsStr; 2] = match node.member.is_author() {
            true => ["--validator".as_ref(), "--engine=off".as_ref()],
            false => ["--models".as_ref(), models.as_ref()],
        };
        node.setup
            .add(["--chain".as_ref(), spec.as_os_str()])
            .add(["--node-key-file".as_ref(), key.as_os_str()])
            .add(["--name", &name])
            .add(role)
            .add(LIGHT);
        node
    }

    fn node_key(&self) -> PathBuf {
        self.setup.folder.join("node-key")
    }

    /// Makes its folder and its network key, once; returns its peer id.
    pub fn make_network_key(&self) -> Result<String> {
        fs::create_dir_all(self.base()).with_context(|| format!("cannot make {}", self.base().display()))?;
        let file = self.node_key();
        if !file.exists() {
            let key: [u8; 32] = rand::random();
            programs::write_secret(&file, &hex::encode(key))?;
        }
        let arguments = ["key".as_ref(), "inspect-node-key".as_ref(), "--file".as_ref(), file.as_os_str()];
        Ok(String::from_utf8(programs::run(&self.setup.program, &arguments)?)?.trim().to_owned())
    }

    /// Inserts the keys of its member.
    pub fn insert_keys(&self, spec: &Path) -> Result<()> {
        self.member.keys().into_iter().try_for_each(|key| {
            // With the phrase, because `key insert` refuses a path alone: a phrase may have been forgotten.
            let uri = format!("{}{}", subxt_signer::DEV_PHRASE, key.uri);
            self.insert_key(spec, key.kind, key.scheme, &uri)
        })
    }

    /// Address for other nodes, as a multiaddress. `peer` is what [`Node::make_network_key`] returns.
    pub fn multiaddress(&self, peer: &str) -> String {
        format!("{}/p2p/{peer}", self.setup.listens())
    }
}
