//! Latency from the last revealed output to the settlement, on a network of real nodes with drivers and engines.
//!
//! Four authors and four operators' nodes share this machine. Where there are more quality validators than nodes, a node holds
//! several worker keys, as the development node does. Engines run the demo models.

use super::{
    cast::{self, Cast, Part},
    players::{self, Size},
    rpc::{self, Blocks},
    sign::sign,
    spec::{self, Models},
    Args,
};
use anyhow::{bail, Context as _, Result};
use pallet_proof_of_quality::{Event, Phase, RequestId, Work};
use poq_benches::report::{Figure, Report};
use poq_client::Client;
use poq_runtime::{Hash, Nonce, RuntimeEvent};
use std::{collections::HashMap, path::Path};
use testnet::{
    members::{self, Member, Part as MemberPart},
    network::{Network, Options, Place, Spec},
};

/// Sizes of committees; those above the chain's limit are left out.
const COMMITTEES: [u32; 5] = [3, 7, 15, 31, 63];

/// Inference nodes of each request.
const RESPONDERS: u32 = 2;

/// Requests measured for each size.
const TURNS: usize = 5;

/// Nodes of operators: the first for the inference nodes, the others share the quality validators.
const OPERATOR_NODES: usize = 4;

/// Blocks after which the measurement fails.
const PATIENCE: u32 = 60;

/// An open request.
#[derive(Clone, Copy, Default)]
struct Life {
    /// Number and time of the block with the latest revealed output.
    shown: Option<(u32, u64)>,
    /// Whether the outputs are complete, so that reveals are scores from now on.
    is_scored: bool,
}

/// Measures all sizes.
pub async fn measure(args: &Args, report: &mut Report) -> Result<()> {
    let bar = args.bar("latency");
    let most = spec::most_committee();
    let sizes: Vec<u32> = COMMITTEES.into_iter().filter(|size| *size <= most).collect();
    let largest = *sizes.last().context("the chain allows no committee of 3")?;
    let cast = Cast { requesters: 1, nodes: RESPONDERS as usize, validators: largest as usize };
    let folder = tempfile::tempdir()?;
    let program = args.node()?;
    let file = folder.path().join("genesis.json");
    spec::write(&program, "local", &cast, &file)?;
    let mut options = Options::new(
        args.network.clone().unwrap_or_else(|| folder.path().join("network")),
        Place::free_ports()?,
    );
    options.spec = Spec::File(file.clone());
    options.program = Some(program);
    let mut network = Network::create(options, members()).await?;
    network.equip()?;
    bar.set_message("the network starts");
    network.start().await?;
    insert_keys(&network, &cast, &file)?;
    let url = network.nodes().first().context("the network has no nodes")?.url();
    let client = rpc::connect(&url).await?;
    let mut blocks = Blocks::finalized(&client).await?;
    let mut requester = Requester { client, models: Models::of_the_demo()?, nonce: 0 };
    // Models are loaded with the first requests.
    bar.set_message("the network warms up");
    let warm_up = Size { responders: RESPONDERS, committee: largest };
    follow(&mut blocks, &mut requester, warm_up).await.context("warming up")?;
    for committee in sizes {
        bar.set_message(format!("committee of {committee}"));
        let size = Size { responders: RESPONDERS, committee };
        let lives = follow(&mut blocks, &mut requester, size).await;
        let lives = lives.with_context(|| format!("committee of {committee}"))?;
        let name =
            |what: &str| format!("latency/last output revealed to settled, committee of {committee}: {what}");
        let counted: Vec<f64> = lives.iter().map(|(blocks, _)| f64::from(*blocks)).collect();
        let millis: Vec<f64> = lives.iter().map(|(_, millis)| *millis as f64).collect();
        report.add(Figure::of(name("blocks"), &counted, "blocks").at_most(4.0));
        report.add(Figure::of(name("time of the chain"), &millis, "ms"));
    }
    bar.finish_and_clear();
    network.stop()
}

/// The authors of the chain `local`, and nodes for operators, each with its first key.
fn members() -> Vec<Member> {
    let operators = (0..OPERATOR_NODES).map(|index| {
        let (part, number) = match index.checked_sub(1) {
            None => (Part::InferenceWorker, 0),
            Some(number) => (Part::ScoringWorker, number),
        };
        let uri = suri(part, number);
        let account = *AsRef::<[u8; 32]>::as_ref(&cast::account(part, number));
        let part = MemberPart::Operator { uri, account, scores: index > 0 };
        Member { name: format!("operator-{index}"), part }
    });
    members::all().into_iter().filter(Member::is_author).chain(operators).collect()
}

fn suri(part: Part, number: usize) -> String {
    format!("0x{}", hex::encode(cast::seed(part, number)))
}

/// Gives the operators' nodes the worker keys of all operators.
fn insert_keys(network: &Network, cast: &Cast, spec: &Path) -> Result<()> {
    let nodes: Vec<_> = network.nodes().iter().filter(|node| node.member.is_operator()).collect();
    let [answering, scoring @ ..] = nodes.as_slice() else { bail!("the network has no operators") };
    let answers = (0..cast.nodes).map(|number| (*answering, Part::InferenceWorker, number));
    let scores = scoring.iter().cycle().zip(0..cast.validators);
    let scores = scores.map(|(node, number)| (*node, Part::ScoringWorker, number));
    for (node, part, number) in answers.chain(scores) {
        node.insert_key(spec, "poq!", "sr25519", &suri(part, number))?;
    }
    Ok(())
}

/// The only requester, which signs with increasing nonces.
struct Requester {
    client: Client,
    models: Models,
    nonce: Nonce,
}

impl Requester {
    /// Asks, and returns the request's number, which is known because nobody else asks.
    async fn ask(&mut self, size: Size) -> Result<RequestId> {
        let id = RequestId::from(self.nonce);
        let call = players::request_call(id, size, &self.models)?;
        let genesis = Hash::from(self.client.genesis());
        let signed = sign(call, &cast::pair(Part::Requester, 0), self.nonce, genesis);
        rpc::submit(&self.client, &signed).await?;
        self.nonce = self.nonce.saturating_add(1);
        Ok(id)
    }
}

/// Asks once in each block and follows all requests to their end; returns blocks and milliseconds from the last revealed output to
/// the settlement of each.
async fn follow(blocks: &mut Blocks, requester: &mut Requester, size: Size) -> Result<Vec<(u32, u64)>> {
    let mut lives: HashMap<RequestId, Life> = HashMap::new();
    let mut took = Vec::new();
    for _ in 0..PATIENCE {
        let block = blocks.next().await?;
        let now = (block.number, block.millis);
        for event in &block.events {
            let RuntimeEvent::ProofOfQuality(event) = event else { continue };
            match event {
                Event::WorkReported { request, work: Work::Revealed, .. } => {
                    // Outputs are revealed before scores.
                    if let Some(life) = lives.get_mut(request).filter(|life| !life.is_scored) {
                        life.shown = Some(now);
                    }
                }
                Event::PhaseEntered { request, phase: Phase::Selecting } => {
                    if let Some(life) = lives.get_mut(request) {
                        life.is_scored = true;
                    }
                }
                Event::Settled { request, .. } => {
                    let life = lives.get(request).context("a request is settled that nobody made")?;
                    let (shown, since) = life.shown.context("a request is settled without an output")?;
                    took.push((now.0.saturating_sub(shown), now.1.saturating_sub(since)));
                }
                Event::Refunded { request, reason, .. } => bail!("request {request} is refunded: {reason:?}"),
                _ => {}
            }
        }
        if took.len() >= TURNS {
            return Ok(took);
        }
        if lives.len() < TURNS {
            lives.insert(requester.ask(size).await?, Life::default());
        }
    }
    bail!("only {} of {TURNS} requests are settled after {PATIENCE} blocks", took.len())
}
