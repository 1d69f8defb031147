//! Proofs of state: nodes of a trie that lead from the root in a header to values.

use crate::{Bytes, Invalid};
use alloc::{boxed::Box, collections::BTreeSet, vec::Vec};
use core::cell::RefCell;
use hash256_std_hasher::Hash256StdHasher;
use sp_core::{Hasher, H256};
use sp_trie::{LayoutV1, MemoryDB, Recorder, StorageProof, Trie as _, TrieDB, TrieDBBuilder, TrieError};

type Layout = LayoutV1<Blake2>;

/// BLAKE2b-256, as `sp_core::Blake2Hasher`, which Wasm does not have.
#[derive(Debug)]
pub(crate) struct Blake2;

impl Hasher for Blake2 {
    type Out = H256;
    type StdHasher = Hash256StdHasher;
    const LENGTH: usize = 32;

    fn hash(bytes: &[u8]) -> H256 {
        H256(sp_crypto_hashing::blake2_256(bytes))
    }
}

/// A part of a state, proven by its nodes.
pub(crate) struct State {
    root: H256,
    nodes: BTreeSet<Vec<u8>>,
    trie: MemoryDB<Blake2>,
    /// The nodes that were read.
    read: RefCell<BTreeSet<Vec<u8>>>,
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
        Ok(Self { root, nodes, trie, read: RefCell::default() })
    }

    /// The value under `key`; `None` if the proof shows that there is none.
    pub fn value(&self, key: &[u8], what: &'static str) -> Result<Option<Vec<u8>>, Invalid> {
        self.look(what, |trie| trie.get(key))
    }

    /// The digest of the value under `key`, for which the value itself need not be there.
    pub fn digest(&self, key: &[u8], what: &'static str) -> Result<Option<[u8; 32]>, Invalid> {
        self.look(what, |trie| trie.get_hash(key)).map(|hash| hash.map(|hash| hash.0))
    }

    /// Reads the trie and notes the nodes that it takes.
    fn look<Found>(
        &self,
        what: &'static str,
        read: impl FnOnce(&TrieDB<'_, '_, Layout>) -> Result<Found, Box<TrieError<Layout>>>,
    ) -> Result<Found, Invalid> {
        let mut recorder = Recorder::<Layout>::new();
        let found = {
            let trie =
                TrieDBBuilder::<Layout>::new(&self.trie, &self.root).with_recorder(&mut recorder).build();
            read(&trie).map_err(|_| Invalid::Unproven(what))
        };
        self.read.borrow_mut().extend(recorder.drain().into_iter().map(|record| record.data));
        found
    }

    /// The nodes that were read, in their order as bytes.
    #[cfg(feature = "collect")]
    pub fn read(&self) -> Vec<Bytes> {
        self.read.borrow().iter().cloned().map(Bytes).collect()
    }

    /// Whether every node was read: what proves nothing could be anything.
    pub fn check_all_read(&self) -> Result<(), Invalid> {
        if *self.read.borrow() == self.nodes {
            Ok(())
        } else {
            Err(Invalid::Surplus)
        }
    }
}
