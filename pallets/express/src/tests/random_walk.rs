//! A walk through random calls and blocks. After each step the invariants hold, and no money comes or goes.

use crate::{mock::*, *};
use poq_primitives::express::{messages, prompt_hash, Equivocation, Order, OrderName};
use rand::{seq::IndexedRandom, Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PROMPT: &[u8] = b"What is the capital of Peru?";

struct Walk {
    rng: ChaCha8Rng,
    /// Certificates that were made, settled or not.
    certificates: Vec<CertificateOf<Test>>,
    settled: u32,
    escalated: u32,
}

impl Walk {
    fn random_order(&mut self) -> Option<Order<Balance>> {
        let channels: Vec<_> = Channels::<Test>::iter_keys().collect();
        let channel = *channels.choose(&mut self.rng)?;
        let epoch = CurrentEpoch::<Test>::get().checked_sub(self.rng.random_range(0..3))?;
        let is_ready = Epochs::<Test>::get(epoch).is_some_and(|info| info.seed.is_some());
        let has_lane = Snapshots::<Test>::contains_key(epoch, GENERATOR)
            && Snapshots::<Test>::contains_key(epoch, JUDGE);
        if !is_ready || !has_lane {
            return None;
        }
        let name = OrderName { channel, epoch, index: self.rng.random_range(0..8) };
        let mut order = order(name, self.rng.random_range(1..=2), self.rng.random_range(3..=5));
        order.budget = self.rng.random_range(100..=MOST + 100);
        order.prompt = prompt_hash(&GENESIS, &name, PROMPT, &[8; 32]);
        Some(order)
    }

    fn play(&mut self, order: &Order<Balance>) -> Play {
        let mut answers: Vec<_> = (0..order.responders)
            .map(|_| [Some(true), Some(true), Some(false), None].choose(&mut self.rng).copied().unwrap())
            .collect();
        answers[0] = Some(true);
        let scores = (0..order.committee)
            .map(|_| Some(self.rng.random_range(0..=100)).filter(|score| *score > 10))
            .collect();
        Play { answers, scores }
    }

    fn certificate(&mut self) -> Option<CertificateOf<Test>> {
        if !self.certificates.is_empty() && self.rng.random_bool(0.2) {
            return self.certificates.choose(&mut self.rng).cloned();
        }
        let order = self.random_order()?;
        let play = self.play(&order);
        // Picks can run out in a small roster.
        if responders_of(&order).len() < play.answers.len() {
            return None;
        }
        let certificate = certify(order, &play);
        self.certificates.push(certificate.clone());
        Some(certificate)
    }

    fn step(&mut self) {
        let who = self.rng.random_range(0..4);
        let n = *[1, 2, 3, 11, 12, 13].choose(&mut self.rng).unwrap();
        // What is refused has changed nothing; the invariants say whether that is so.
        let _ = frame_support::storage::with_storage_layer(|| match self.rng.random_range(0..16) {
            0..=4 => {
                next_block();
                Ok(())
            }
            5..=8 => {
                let batch: Vec<_> =
                    (0..self.rng.random_range(1..4)).filter_map(|_| self.certificate()).collect();
                System::reset_events();
                let result = settle(batch);
                self.settled +=
                    events().iter().filter(|event| matches!(event, Event::OrderSettled { .. })).count()
                        as u32;
                result
            }
            9 => {
                let (deposit, most) = (self.rng.random_range(500..100_000), self.rng.random_range(0..=MOST));
                // `certify` signs for channel `c` with the key of `ASKER + c`.
                let key = public(ASKER + NextChannel::<Test>::get());
                let orders = self.rng.random_range(0..22);
                Express::open_channel(signed(ASKER + who), key, deposit, most, orders)
            }
            10 => Express::top_up(
                signed(ASKER + who),
                self.rng.random_range(0..4),
                self.rng.random_range(0..3_000),
            ),
            11 => Express::close_channel(signed(ASKER), self.rng.random_range(0..4)),
            12 => Express::release_channel(signed(ASKER), self.rng.random_range(0..4)),
            13 => Express::claim(signed(n)),
            14 => match self.random_order() {
                Some(order) if responders_of(&order).len() == usize::from(order.responders) => {
                    let certificate = certify(order.clone(), &Play::all(order.responders.into(), &[50; 3]));
                    let (prompt, parts) =
                        (PROMPT.to_vec().try_into().unwrap(), certificate.responders.try_into().unwrap());
                    let result =
                        Express::escalate(signed(7), order, certificate.signature, prompt, [8; 32], parts);
                    self.escalated += u32::from(result.is_ok());
                    result
                }
                _ => Ok(()),
            },
            _ => match self.random_order() {
                Some(order) => {
                    let digest = order.digest(&GENESIS);
                    let answer = |output| {
                        let signed = messages::answer(&GENESIS, &digest, &public(n), &output, &[1; 32]);
                        (output, [1; 32], sign(n, &signed))
                    };
                    let proof = Equivocation::Answers { order, answers: [answer([1; 32]), answer([2; 32])] };
                    Express::report_equivocation(signed(ASKER), public(n), proof)
                }
                None => Ok(()),
            },
        });
    }
}

#[test]
fn invariants_hold_whatever_happens() {
    let steps = if std::env::var_os("POQ_QUICK").is_some() { 1_000 } else { 4_000 };
    for seed in 0..3 {
        run(|| {
            let mut walk =
                Walk { rng: ChaCha8Rng::seed_from_u64(seed), certificates: vec![], settled: 0, escalated: 0 };
            open_lane();
            let before = Balances::total_issuance() + Slashed::get() + Fees::get();
            for step in 0..steps {
                walk.step();
                Express::do_check().unwrap_or_else(|error| panic!("seed {seed}, step {step}: {error}"));
                let now = Balances::total_issuance() + Slashed::get() + Fees::get();
                assert_eq!(now, before, "seed {seed}, step {step}: money came or went");
            }
            assert!(
                walk.settled > 20 && walk.escalated > 1,
                "{} settled, {} escalated",
                walk.settled,
                walk.escalated
            );
        });
    }
}
