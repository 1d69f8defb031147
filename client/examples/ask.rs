//! Asks a question as Alice on a development chain, and prints the answer: `poq-node --dev`, then
//! `cargo run --example ask -- "What is the capital of Peru?" ws://127.0.0.1:9944`.

use poq_client::{
    types::{ModelKind, Phase, Sampling, Terms},
    Client, Error, News,
};
use std::{env, process::ExitCode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    let question = args.next().unwrap_or_else(|| "What is the capital of Peru?".into());
    let node = args.next().unwrap_or_else(|| "ws://127.0.0.1:9944".into());
    match ask(&question, &node).await {
        Ok(answer) => {
            println!("{answer}");
            ExitCode::SUCCESS
        }
        // Each kind of failure can be told apart.
        Err(Error::Refused { name, docs }) => {
            eprintln!("the chain refuses: {name} ({docs})");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn ask(question: &str, node: &str) -> Result<String, Error> {
    let mut client = Client::connect(node).await?;
    let at = client.best().await?;
    let models = at.models().await?;
    let of = |kind: ModelKind| {
        models
            .iter()
            .filter(move |model| model.kind == kind && !model.roster.is_empty())
            .map(|model| model.id)
    };
    let mut terms = Terms {
        generators: of(ModelKind::Generator).collect(),
        evaluator: of(ModelKind::Evaluator).next().unwrap_or_default(),
        sampling: Sampling { max_tokens: 64, temperature_milli: 0, seed: 0 },
        responders: 2,
        committee: at.parameters().await?.min_committee,
        min_quality: 0,
        budget: 0,
        audit: poq_client::random()?,
    };
    terms.budget = at.estimate_budget(&terms).await?.total();

    let asked = client.ask(question, terms, &poq_client::keypair("//Alice")?).await?;
    let request = client
        .follow(&asked, |news| match news {
            News::Stands { request, block } => eprintln!("block {block}: {}", request.phase.name()),
            News::NodeGone => eprintln!("the node is gone; waiting for it"),
        })
        .await?;
    Ok(match request.phase {
        Phase::Settled { best, .. } => {
            let response = request.responses.get(best as usize);
            response
                .map(|response| String::from_utf8_lossy(&response.output).into_owned())
                .unwrap_or_default()
        }
        _ => format!("no answer: the request is {}", request.phase.name()),
    })
}
