//! `poq-bench express`: what statements and certificates of the express lane cost, and how long agreement takes in the simulator.

use anyhow::{ensure, Context as _, Result};
use poq_benches::report::{Figure, Report};
use poq_express::{
    crypto::{Crypto as _, Sr25519},
    simulator::{certificate, delays},
};
use poq_primitives::express::{draw::RESPONDER_VRF, Digest, Key, OrderName, Signature, Verify};
use sp_core::{sr25519, Pair as _};
use std::{
    hint::black_box,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Responders and members of the orders measured.
const SIZES: [(u8, u8); 3] = [(1, 3), (2, 5), (3, 7)];

/// Repetitions of which a turn is the mean.
const REPEATS: u32 = 200;

/// Orders of each delay in the simulator.
const ORDERS: u64 = 500;

/// Options of `poq-bench express`.
#[derive(clap::Args)]
pub struct Args {
    /// Measurements of each figure
    #[arg(long, default_value_t = 7)]
    turns: usize,

    /// File for the results
    #[arg(long, value_name = "FILE", default_value = "benches/results.json")]
    out: PathBuf,
}

/// Takes every signature for right: what is left is draws and hashes.
struct Trusting;

impl Verify for Trusting {
    fn verify(&self, _: &Key, _: &Digest, _: &Signature) -> bool {
        true
    }
}

/// Measures, prints a table and writes the results.
pub fn run(args: &Args) -> Result<()> {
    let mut report = Report::default();
    let pair = |seed| Sr25519::new(sr25519::Pair::from_seed(&[seed; 32]), [seed; 32]);
    let (one, other) = (pair(1), pair(2));
    let (genesis, name) = ([3; 32], OrderName { channel: 1, epoch: 2, index: 3 });
    let digest = Digest([4; 32]);
    let (signature, vrf) = (one.sign(&digest), one.vrf(RESPONDER_VRF, &genesis, &name));
    let key = one.key();
    let mut add = |what: &str, work: &mut dyn FnMut() -> bool, most: Option<f64>| -> Result<()> {
        ensure!(work(), "{what} fails");
        let turns: Vec<f64> = (0..args.turns).map(|_| micros(work)).collect();
        let figure = Figure::of(format!("express/{what}"), &turns, "µs");
        report.add(match most {
            Some(most) => figure.at_most(most),
            None => figure,
        });
        Ok(())
    };
    add("signature, signing", &mut || one.sign(black_box(&digest)) != [0; 64], None)?;
    add("signature, verification", &mut || other.verify(&key, black_box(&digest), &signature), Some(41.0))?;
    let evaluate = &mut || one.vrf(RESPONDER_VRF, black_box(&genesis), &name).output != [0; 32];
    add("VRF, evaluation with proof", evaluate, None)?;
    let verify = &mut || other.verify_vrf(&key, RESPONDER_VRF, black_box(&genesis), &name, &vrf);
    add("VRF, verification", verify, None)?;
    for (responders, committee) in SIZES {
        let (scene, certificate) = certificate(responders, committee)?;
        let context = scene.context();
        let size = format!("(n = {responders}, k = {committee})");
        let whole = &mut || black_box(&certificate).check(&context, &other).is_ok();
        add(&format!("check of a certificate {size}"), whole, None)?;
        let draws = &mut || black_box(&certificate).check(&context, &Trusting).is_ok();
        add(&format!("check of a certificate without signatures {size}"), draws, Some(50.0))?;
    }
    for round_trip in [0, 10, 40] {
        let (p50, p99) = delays(7, Duration::from_millis(round_trip), ORDERS).context("the simulator")?;
        let mut add = |what, delay: Duration, most: f64| {
            let name = format!("express/last score to certificate in the simulator, k = 7, round trip {round_trip} ms: {what}");
            report.add(Figure::new(&name, delay.as_secs_f64() * 1_000.0, "ms").at_most(most));
        };
        add("p50", p50, 100.0);
        add("p99", p99, 250.0);
    }
    report.print();
    report.write(&args.out)
}

/// Mean time of one call.
fn micros(work: &mut dyn FnMut() -> bool) -> f64 {
    let begun = Instant::now();
    for _ in 0..REPEATS {
        black_box(work());
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(REPEATS)
}
