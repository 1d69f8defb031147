//! Making a receipt of what a node says.

use crate::{
    finality::{self, Header, Justification},
    keys,
    state::State,
    verify::{read, verify, voters},
    Bytes, Final, Invalid, Known, Receipt,
};
use codec::{Decode, DecodeAll as _, Encode as _};
use poq_client::Client;
use serde::{de::DeserializeOwned, Deserialize};
use sp_core::{Blake2Hasher, H256};
use sp_runtime::{generic, traits::BlakeTwo256};
use sp_trie::{LayoutV1, MemoryDB, TrieDBMutBuilder, TrieMut as _};
use std::{collections::BTreeMap, time::Duration};
use subxt::rpcs::{
    client::{rpc_params, RpcParams},
    Error as RpcError,
};
use tokio::time::timeout;

/// Longest wait for the next block that is called final.
const PATIENCE: Duration = Duration::from_secs(60);

/// Block that a receipt begins with.
#[derive(Clone, Debug)]
pub enum Anchor {
    /// The genesis block, whose state the node still has: an archive node, or one of a young chain.
    Genesis,
    /// The genesis block, whose state stands in the chain's specification: the keys and values of `genesis.raw.top`.
    Specification(BTreeMap<Vec<u8>, Vec<u8>>),
    /// A finalized block whose state the node still has.
    Block([u8; 32]),
}

/// Reason why there is no receipt. Each text is complete in itself and has no full stop.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The node does not answer, or not as a node of this chain.
    #[error(transparent)]
    Client(#[from] poq_client::Error),
    /// The chain does not have the request in its newest finalized block.
    #[error("there is no request {0} in the newest finalized block: it is not final yet, or the chain has forgotten it")]
    NoRequest(u64),
    /// The request is open, or its end is not final.
    #[error("request {0} is not over yet, or its end is not final; try again in some seconds")]
    Open(u64),
    /// The node has no proof that the block is final.
    #[error("the node has no proof yet that block {0} is final; try again in some seconds")]
    NoProof(u32),
    /// The node does not know the block.
    #[error("the node does not know block 0x{}", hex::encode(.0))]
    UnknownBlock([u8; 32]),
    /// The node has forgotten the state of a block.
    #[error(
        "the node has forgotten the state of block {0}; name the chain's specification or a newer block that the reader trusts, or ask an \
         archive node (`--state-pruning archive`)"
    )]
    Forgotten(u32),
    /// The specification is of another chain.
    #[error("the specification is not that of this chain: its state is not the one in the genesis block")]
    OtherChain,
    /// The anchor comes after the request's end.
    #[error(
        "block {anchor} is not before block {block}, in which the request is proven; name an earlier one"
    )]
    LateAnchor {
        /// Number of the anchor.
        anchor: u32,
        /// Number of the block with the proof.
        block: u32,
    },
    /// The node's answers make no receipt that verifies.
    #[error("the node's proof does not hold: {0}")]
    Invalid(#[from] Invalid),
}

/// Makes a receipt of a request that is settled or refunded, and checks it.
///
/// # Errors
/// See [`Error`].
pub async fn collect(client: &Client, id: u64, anchor: Anchor) -> Result<Receipt, Error> {
    let finalized = client.finalized().await?;
    let request = finalized.request(id).await?.ok_or(Error::NoRequest(id))?;
    let closed =
        request.phase.closed_at().and_then(|closed| u32::try_from(closed).ok()).ok_or(Error::Open(id))?;
    let node = Node(client);

    let (block, justification) = node.finality(closed).await?;
    let state = node.state(&block, &request_keys(id, request.round, request.responses.len())).await?;
    let state = State::new(block.state_root, &state)?;
    read(&state, id, &block)?;

    let (first, known) = node.anchor(anchor).await?;
    if first.number >= block.number {
        return Err(Error::LateAnchor { anchor: first.number, block: block.number });
    }
    let changes = node.changes(first.number, block.number).await?;
    let receipt = Receipt {
        form: crate::receipt::FORM,
        request: id,
        anchor: known,
        changes,
        block: Final { header: Bytes(block.encode()), justification },
        state: state.read(),
    };
    verify(&receipt, first.hash().0)?;
    Ok(receipt)
}

fn request_keys(id: u64, round: u8, responses: usize) -> Vec<Vec<u8>> {
    let single =
        [keys::storage_version(), keys::request(id), keys::time(), keys::prompt(id), keys::responses(id)];
    let outputs = (0..).take(responses).map(|index| keys::output(id, index));
    let committees = (0..=round).map(|round| keys::committee(id, round));
    single.into_iter().chain(outputs).chain(committees).collect()
}

/// A node, asked by the RPC of all Substrate nodes.
struct Node<'a>(&'a Client);

/// The answer of `grandpa_proveFinality`.
#[derive(Decode)]
struct FinalityProof {
    block: H256,
    justification: Vec<u8>,
    _headers: Vec<Header>,
}

/// The answer of `state_getReadProof`.
#[derive(Deserialize)]
struct ReadProof {
    proof: Vec<Bytes>,
}

impl Node<'_> {
    async fn ask<Answer: DeserializeOwned>(
        &self,
        method: &str,
        params: RpcParams,
    ) -> Result<Answer, RpcError> {
        self.0.raw().request(method, params).await
    }

    async fn header(&self, hash: H256) -> Result<Header, Error> {
        let header: Option<generic::Header<u32, BlakeTwo256>> =
            self.ask("chain_getHeader", rpc_params![hash]).await.map_err(poq_client::Error::of)?;
        let header = header.ok_or(Error::UnknownBlock(hash.0))?;
        Ok(Header::read(&header.encode())?)
    }

    /// A block with a justification: this one, or a later one under the same voters.
    async fn finality(&self, number: u32) -> Result<(Header, Bytes), Error> {
        let proof: Option<Bytes> = match self.ask("grandpa_proveFinality", rpc_params![number]).await {
            Ok(proof) => proof,
            Err(RpcError::User(_)) => None,
            Err(error) => return Err(poq_client::Error::of(error).into()),
        };
        // A node has none as long as the voters of the genesis block are in office.
        let Some(Bytes(proof)) = proof else { return self.next_final(number).await };
        let proof = FinalityProof::decode_all(&mut &proof[..])
            .map_err(|_| Invalid::Undecodable("the node's proof of finality"))?;
        Ok((self.header(proof.block).await?, Bytes(proof.justification)))
    }

    /// The next block that the voters call final, if it is this one or a later one.
    async fn next_final(&self, number: u32) -> Result<(Header, Bytes), Error> {
        let (subscribe, unsubscribe) =
            ("grandpa_subscribeJustifications", "grandpa_unsubscribeJustifications");
        let told = self.0.raw().subscribe::<Bytes>(subscribe, rpc_params![], unsubscribe);
        let mut told = told.await.map_err(poq_client::Error::of)?;
        let next = async {
            while let Some(justification) = told.next().await {
                let Bytes(justification) = justification.map_err(poq_client::Error::of)?;
                let read = Justification::decode(&mut &justification[..]);
                let commit = read.map_err(|_| Invalid::Undecodable("the node's justification"))?.commit;
                if commit.target_number >= number {
                    return Ok((self.header(commit.target_hash).await?, Bytes(justification)));
                }
            }
            Err(Error::NoProof(number))
        };
        timeout(PATIENCE, next).await.unwrap_or(Err(Error::NoProof(number)))
    }

    /// Nodes of the state's trie that lead to these keys.
    async fn state(&self, block: &Header, keys: &[Vec<u8>]) -> Result<Vec<Bytes>, Error> {
        let keys: Vec<_> = keys.iter().cloned().map(Bytes).collect();
        match self.ask::<ReadProof>("state_getReadProof", rpc_params![keys, block.hash()]).await {
            Ok(read) => Ok(read.proof),
            Err(RpcError::User(_)) => Err(Error::Forgotten(block.number)),
            Err(error) => Err(poq_client::Error::of(error).into()),
        }
    }

    /// The anchor, with the proof of its voters.
    async fn anchor(&self, anchor: Anchor) -> Result<(Header, Known), Error> {
        let hash = match &anchor {
            Anchor::Block(hash) => H256(*hash),
            Anchor::Genesis | Anchor::Specification(_) => H256(self.0.genesis()),
        };
        let header = self.header(hash).await?;
        let state = match anchor {
            Anchor::Specification(top) => from_specification(&header, &top)?,
            Anchor::Genesis | Anchor::Block(_) => {
                let nodes = self.state(&header, &[keys::voters(), keys::voters_set()]).await?;
                State::new(header.state_root, &nodes)?
            }
        };
        voters(&state)?;
        let known = Known { header: Bytes(header.encode()), state: state.read() };
        Ok((header, known))
    }

    /// The blocks between these two that changed the voters.
    async fn changes(&self, after: u32, before: u32) -> Result<Vec<Final>, Error> {
        let (mut changes, mut at) = (Vec::new(), after);
        loop {
            let (block, justification) = self.finality(at.saturating_add(1)).await?;
            if block.number >= before {
                return Ok(changes);
            }
            // It is the last of its voters, or there would be a later one.
            if block.number <= at || finality::change(&block)?.is_none() {
                return Err(Invalid::NoChange(block.number).into());
            }
            at = block.number;
            changes.push(Final { header: Bytes(block.encode()), justification });
        }
    }
}

/// The state of the genesis block, made of the values in the chain's specification.
fn from_specification(genesis: &Header, top: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<State, Error> {
    let (mut nodes, mut root) = (MemoryDB::<Blake2Hasher>::default(), H256::default());
    {
        let mut trie = TrieDBMutBuilder::<LayoutV1<Blake2Hasher>>::new(&mut nodes, &mut root).build();
        for (key, value) in top {
            trie.insert(key, value).map_err(|_| Error::OtherChain)?;
        }
    }
    if root != genesis.state_root {
        return Err(Error::OtherChain);
    }
    let nodes: Vec<_> =
        nodes.drain().into_values().filter(|(_, count)| *count > 0).map(|(node, _)| Bytes(node)).collect();
    Ok(State::new(root, &nodes)?)
}
