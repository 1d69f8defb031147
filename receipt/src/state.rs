//! Proofs of state: nodes of a trie that lead from the root in a header to values.

use crate::{Bytes, Invalid};
use sp_core::{Blake2Hasher, H256};
use sp_trie::{recorder::Recorder, LayoutV1, MemoryDB, StorageProof, Trie, TrieDBBuilder};
use std::collections::BTreeSet;

type Layout = LayoutV1<Blake2Hasher>;

/// A part of a state, proven by its nodes.
pub(crate) struct State {
    root: H256,
    nodes: BTreeSet<Vec<u8>>,
    trie: MemoryDB<Blake2Hasher>,
    /// The nodes that were read.
    read: Recorder<Blake2Hasher>,
}

impl State {
    /// The part of the state with this root that the nodes are of.
    pub fn new(root: H256, nodes: &[Bytes]) -> Result<Self, Invalid> {
        let count = nodes.len();
        let nodes: BTreeSet<_> = nodes.iter().map(|node| node.0.clone()).collect();
        if nodes.len() != count {
            return Err(Invalid::Surplus);
        }
        let trie = StorageProof::new(nodes.iter().cloned()).into_memory_db();
        Ok(Self { root, nodes, trie, read: Recorder::default() })
    }

    /// The value under `key`; `None` if the proof shows that there is none.
    pub fn value(&self, key: &[u8], what: &'static str) -> Result<Option<Vec<u8>>, Invalid> {
        let mut recorder = self.read.as_trie_recorder(self.root);
        let trie = TrieDBBuilder::<Layout>::new(&self.trie, &self.root).with_recorder(&mut recorder).build();
        trie.get(key).map_err(|_| Invalid::Unproven(what))
    }

    /// The digest of the value under `key`, for which the value itself need not be there.
    pub fn digest(&self, key: &[u8], what: &'static str) -> Result<Option<[u8; 32]>, Invalid> {
        let mut recorder = self.read.as_trie_recorder(self.root);
        let trie = TrieDBBuilder::<Layout>::new(&self.trie, &self.root).with_recorder(&mut recorder).build();
        let hash = trie.get_hash(key).map_err(|_| Invalid::Unproven(what))?;
        Ok(hash.map(|hash| hash.0))
    }

    /// The nodes that were read, in their order as bytes.
    pub fn read(&self) -> Vec<Bytes> {
        self.read.to_storage_proof().into_nodes().into_iter().map(Bytes).collect()
    }

    /// Whether every node was read: what proves nothing could be anything.
    pub fn check_all_read(&self) -> Result<(), Invalid> {
        if self.read.to_storage_proof().into_nodes() == self.nodes {
            Ok(())
        } else {
            Err(Invalid::Surplus)
        }
    }
}
