//! From the last output revealed to settled, on a network of real nodes with their drivers and engines.
//!
//! Four authors and four operators' nodes share this machine. Where there are more quality validators than nodes, a node holds
//! several worker keys, as the development node does. Engines run the demo's models.

use super::{
    cast::{self, Cast, Part},
    players::{self, Size},
    rpc::{Blocks, Rpc},
    sign::sign,
    spec::{self, Models},
    Args,
};
use anyhow::{bail, ensure, Context as _, Result};
use network::{
    client::Client,
    members::{self, Member, Part as MemberPart},
    network::{Network, Options, Place, Spec},
};
use pallet_proof_of_quality::{types::Work, Event, Phase, RequestId};
use poq_benches::report::{Figure, Report};
use poq_runtime::RuntimeEvent;
use sp_core::Pair as _;

/// Committees, as far as the chain allows them.
const COMMITTEES: [u32; 5] = [3, 7, 15, 31, 63];

/// Inference nodes of each request.
const RESPONDERS: u32 = 2;

/// Requests of each size, one after another.
const TURNS: usize = 5;

/// Nodes of operators: the first for the inference nodes, the others share the quality validators.
const OPERATOR_NODES: usize = 4;

/// Blocks after which a request is given up.
const PATIENCE: u32 = 60;

/// When things happened to a request, by number and time of the blocks.
#[derive(Clone, Copy, Default)]
struct Life {
    shown: Option<(u32, u64)>,
    settled: Option<(u32, u64)>,
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
    let mut options = Options::new(folder.path().join("network"), Place::free_ports()?);
    options.spec = Spec::File(file);
    options.program = Some(program);
    let mut network = Network::create(options, members()).await?;
    network.equip()?;
    bar.set_message("the network starts");
    network.start().await?;
    insert_keys(&network, &cast).await?;
    let url = network.nodes().first().context("the network has no nodes")?.url();
    let rpc = Rpc::connect(&url).await?;
    let mut blocks = rpc.finalized_blocks().await?;
    let mut nonce = 0;
    for committee in sizes {
        let mut lives = Vec::new();
        for turn in 0..TURNS {
            bar.set_message(format!("committee of {committee}, request {} of {TURNS}", turn + 1));
            let size = Size { responders: RESPONDERS, committee };
            let call = players::request_call(nonce.into(), size, &Models::of_the_demo()?)?;
            rpc.submit(&sign(call, &cast::pair(Part::Requester, 0), nonce, rpc.genesis)).await?;
            let life = follow(&mut blocks, nonce.into()).await;
            lives.push(life.with_context(|| format!("request {nonce}, committee of {committee}"))?);
            nonce += 1;
        }
        let name = |what: &str| format!("latency/last output revealed to settled, committee of {committee}: {what}");
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
async fn insert_keys(network: &Network, cast: &Cast) -> Result<()> {
    let nodes: Vec<_> = network.nodes().iter().filter(|node| node.member.is_operator()).collect();
    let [answering, scoring @ ..] = nodes.as_slice() else { bail!("the network has no operators") };
    let answers = (0..cast.nodes).map(|number| (*answering, Part::InferenceWorker, number));
    let scores = scoring.iter().cycle().zip(0..cast.validators);
    let scores = scores.map(|(node, number)| (*node, Part::ScoringWorker, number));
    for (node, part, number) in answers.chain(scores) {
        let client = Client::connect(&node.url()).await?;
        let public = format!("0x{}", hex::encode(cast::pair(part, number).public()));
        let words = ["poq!".to_owned(), suri(part, number), public];
        client.call("author_insertKey", words.into_iter().map(Into::into).collect()).await?;
    }
    Ok(())
}

/// Waits until a request is settled; returns blocks and milliseconds since the last of its outputs was shown.
async fn follow(blocks: &mut Blocks, id: RequestId) -> Result<(u32, u64)> {
    let mut life = Life::default();
    let mut scoring = false;
    for _ in 0..PATIENCE {
        let block = blocks.next().await?;
        let now = (block.number, block.millis);
        for event in &block.events {
            let RuntimeEvent::ProofOfQuality(event) = event else { continue };
            match event {
                Event::PhaseEntered { request, phase: Phase::Selecting } if *request == id => scoring = true,
                Event::WorkReported { request, work: Work::Shown, .. } if *request == id && !scoring => {
                    life.shown = Some(now);
                }
                Event::Settled { request, .. } if *request == id => life.settled = Some(now),
                Event::Refunded { request, reason, .. } if *request == id => bail!("refunded: {reason:?}"),
                _ => {}
            }
        }
        if let (Some((shown, since)), Some((settled, until))) = (life.shown, life.settled) {
            ensure!(settled >= shown, "it was settled before its outputs were shown");
            return Ok((settled.saturating_sub(shown), until.saturating_sub(since)));
        }
    }
    bail!("it is not settled after {PATIENCE} blocks")
}
