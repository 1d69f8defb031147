//! The driver against an engine that answers as the test says: what it asks, what it reports, what it survives.

use crate::{
    driver::{self, crypto, RESEND_AFTER},
    mock::*,
    *,
};
use codec::{Decode, Encode};
use frame_support::traits::Hooks;
use poq_primitives::{
    job::{FailureReason, GenerateJob, Job},
    keys::{EngineEndpoint, ENGINE_ENDPOINT_KEY, WORKER_KEY_TYPE},
};
use sp_core::offchain::{
    testing::{PendingRequest, TestOffchainExt, TestTransactionPoolExt},
    OffchainDbExt, OffchainWorkerExt, TransactionPoolExt,
};
use sp_keystore::{testing::MemoryKeystore, Keystore, KeystoreExt};
use sp_runtime::{
    offchain::storage_lock::{StorageLock, Time},
    KeyTypeId,
};
use std::sync::Arc;

const TOKEN: &str = "secret";

type OffchainState = Arc<parking_lot::RwLock<sp_core::offchain::testing::OffchainState>>;
type PoolState = Arc<parking_lot::RwLock<sp_core::offchain::testing::PoolState>>;

struct Bench {
    engine: OffchainState,
    pool: PoolState,
}

/// Runs a test in which operator 1 works with a key from a keystore and is the only one who can answer.
fn with_driver(test: impl FnOnce(&Bench, RequestId)) {
    reset_knobs();
    let mut externalities = storage();
    let (offchain, engine) = TestOffchainExt::with_offchain_db(externalities.offchain_db());
    let (pool, pool_state) = TestTransactionPoolExt::new();
    let keystore = MemoryKeystore::new();
    let key = keystore.sr25519_generate_new(KeyTypeId(WORKER_KEY_TYPE), None).unwrap();
    externalities.register_extension(OffchainDbExt::new(offchain.clone()));
    externalities.register_extension(OffchainWorkerExt::new(offchain));
    externalities.register_extension(TransactionPoolExt::new(pool));
    externalities.register_extension(KeystoreExt::new(keystore));
    let bench = Bench { engine, pool: pool_state };
    externalities.execute_with(|| {
        register(1, key, &[STRONG]).unwrap();
        Poq::chill(RuntimeOrigin::signed(account(2))).unwrap();
        let id = ask(Terms { responders: 2, ..terms() });
        run_until(|| !responders(id).is_empty());
        assert_eq!(responders(id).len(), 2);
        sp_io::offchain::local_storage_set(
            sp_core::offchain::StorageKind::PERSISTENT,
            ENGINE_ENDPOINT_KEY,
            &EngineEndpoint { url: "http://engine".into(), token: TOKEN.into() }.encode(),
        );
        test(&bench, id);
        invariants::check::<Test>().unwrap();
    });
}

fn job() -> Job {
    Job::Generate(GenerateJob {
        model: hex::encode(STRONG),
        prompt: "capital of Peru?".into(),
        max_tokens: 10,
        max_bytes: 64,
        temperature_milli: 0,
        seed: 1,
    })
}

impl Bench {
    /// What the engine will say to the next call, and that the call is the one for [`job`].
    fn expect(&self, request: RequestId, answer: impl FnOnce(&str) -> String) {
        let id = self.job_id(request);
        self.expect_raw(request, answer(&id).into_bytes());
    }

    fn expect_raw(&self, request: RequestId, response: Vec<u8>) {
        let id = self.job_id(request);
        self.engine.write().expect_request(PendingRequest {
            method: "PUT".into(),
            uri: format!("http://engine/v1/jobs/{id}?wait_ms=300&deadline_ms={}", deadline_of(request)),
            headers: vec![
                ("content-type".into(), "application/json".into()),
                ("authorization".into(), format!("Bearer {TOKEN}")),
            ],
            body: serde_json::to_vec(&job()).unwrap(),
            response: Some(response),
            sent: true,
            ..Default::default()
        });
    }

    fn job_id(&self, request: RequestId) -> String {
        let worker = Operators::<Test>::get(account(1)).unwrap().worker.unwrap();
        hex::encode(job().id(&duties::genesis_hash::<Test>(), request, &worker.encode()))
    }

    /// The reports that were submitted since the last call.
    fn submitted(&self) -> Vec<ReportOf<Test>> {
        let transactions = std::mem::take(&mut self.pool.write().transactions);
        transactions
            .into_iter()
            .flat_map(|bytes| match Extrinsic::decode(&mut &bytes[..]).unwrap().function {
                RuntimeCall::Poq(Call::report_work { reports }) => reports.into_inner(),
                other => panic!("not a report: {other:?}"),
            })
            .collect()
    }

    /// Does what the pool would: puts the reports into a block.
    fn include(&self, reports: &[ReportOf<Test>]) {
        let worker = Operators::<Test>::get(account(1)).unwrap().worker.unwrap();
        let reports: ReportsOf<Test> = reports.to_vec().try_into().unwrap();
        Poq::report_work(RuntimeOrigin::signed(worker), reports).unwrap();
        frame_system::Pallet::<Test>::inc_account_nonce(worker);
    }
}

/// Milliseconds to the last block that takes a report.
fn deadline_of(request: RequestId) -> u64 {
    (phase(request).until().unwrap() - System::block_number()) * 6_000
}

fn done(id: &str) -> String {
    format!(r#"{{"id":"{id}","state":"done","result":{{"kind":"generate","text":"Lima.","tokens":2}}}}"#)
}

fn run() {
    driver::run::<Test>(System::block_number());
}

#[test]
fn asks_commits_and_reveals() {
    with_driver(|bench, id| {
        bench.expect(id, |job| format!(r#"{{"id":"{job}","state":"running"}}"#));
        run();
        assert!(bench.submitted().is_empty(), "the job is not done");

        bench.expect(id, done);
        run();
        let reports = bench.submitted();
        assert!(matches!(reports[..], [Report { kind: ReportKind::CommitOutput { .. }, .. }]), "{reports:?}");
        bench.include(&reports);
        commit_output(3, id, b"x").unwrap();
        next_block();

        bench.expect(id, done);
        run();
        let reports = bench.submitted();
        let [Report { kind: ReportKind::RevealOutput { output, .. }, .. }] = &reports[..] else {
            panic!("{reports:?}")
        };
        assert_eq!(&output[..], b"Lima.");
        bench.include(&reports);
        assert_eq!(requests::work_of::<Test>(&account(1), id, Role::InferenceNode), Some(Work::Revealed));
        // Nothing more to do: the engine is not even asked.
        run();
    });
}

#[test]
fn one_transaction_in_flight_and_again_when_it_is_lost() {
    with_driver(|bench, id| {
        bench.expect(id, done);
        run();
        assert_eq!(bench.submitted().len(), 1);
        // The transaction is lost. It is not sent again while it may still come.
        for _ in 0..RESEND_AFTER - 1 {
            System::set_block_number(System::block_number() + 1);
            bench.expect(id, done);
            run();
            assert!(bench.submitted().is_empty());
        }
        System::set_block_number(System::block_number() + 1);
        bench.expect(id, done);
        run();
        assert_eq!(bench.submitted().len(), 1);
    });
}

#[test]
fn on_another_block_of_the_same_height_what_else_is_due_goes_out_at_once() {
    with_driver(|bench, id| {
        bench.expect(id, |job| {
            format!(
                r#"{{"id":"{job}","state":"failed","error":{{"code":"model_unavailable","message":"no file"}}}}"#
            )
        });
        run();
        assert!(matches!(bench.submitted()[..], [Report { kind: ReportKind::Fail { .. }, .. }]));
        // The block was given up for another, on which the report would be this one.
        bench.expect(id, done);
        run();
        assert!(matches!(bench.submitted()[..], [Report { kind: ReportKind::CommitOutput { .. }, .. }]));
        // And what is on its way is not sent again.
        bench.expect(id, done);
        run();
        assert_eq!(bench.submitted(), []);
    });
}

#[test]
fn a_run_waits_for_the_one_before_but_not_for_ever() {
    let lock_for = |milliseconds| {
        let duration = sp_runtime::offchain::Duration::from_millis(milliseconds);
        StorageLock::<Time>::with_deadline(b"poq/lock", duration).try_lock().unwrap().forget();
    };
    with_driver(|bench, id| {
        lock_for(500);
        bench.expect(id, done);
        run();
        assert_eq!(bench.submitted().len(), 1, "after the wait");
    });
    with_driver(|bench, _| {
        lock_for(5_000);
        run();
        assert_eq!(bench.submitted(), [], "the engine is not even asked");
    });
}

#[test]
fn the_salt_is_the_same_after_a_restart() {
    with_driver(|bench, id| {
        bench.expect(id, done);
        run();
        let first = bench.submitted();
        System::set_block_number(System::block_number() + u64::from(RESEND_AFTER));
        bench.expect(id, done);
        run();
        assert_eq!(first, bench.submitted());
    });
}

#[test]
fn failures_are_reported_with_their_reason() {
    with_driver(|bench, id| {
        bench.expect(id, |job| {
            format!(
                r#"{{"id":"{job}","state":"failed","error":{{"code":"model_unavailable","message":"no file"}}}}"#
            )
        });
        run();
        let reports = bench.submitted();
        assert_eq!(reports[0].kind, ReportKind::Fail { reason: FailureReason::ModelUnavailable });
        bench.include(&reports);
        run();
        assert!(bench.submitted().is_empty(), "failed is over");
    });
}

#[test]
fn nonsense_costs_a_try_and_nothing_else() {
    with_driver(|bench, id| {
        let nonsense: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b"not json".to_vec(),
            b"{}".to_vec(),
            vec![0xff; 100],
            vec![b'x'; 300 * 1024],
            done(&"00".repeat(32)).into_bytes(),
            format!(
                r#"{{"id":"{}","state":"done","result":{{"kind":"score","scores":[1]}}}}"#,
                bench.job_id(id)
            )
            .into_bytes(),
        ];
        for response in nonsense {
            bench.expect_raw(id, response);
            run();
            assert!(bench.submitted().is_empty());
        }
        bench.expect(id, done);
        run();
        assert_eq!(bench.submitted().len(), 1, "and goes on");
    });
}

#[test]
fn an_output_that_is_too_long_or_empty_is_a_failure() {
    for (text, reason) in
        [("x".repeat(65), FailureReason::Internal), (String::new(), FailureReason::EmptyOutput)]
    {
        with_driver(|bench, id| {
            bench.expect(id, |job| {
                format!(
                    r#"{{"id":"{job}","state":"done","result":{{"kind":"generate","text":"{text}","tokens":2}}}}"#
                )
            });
            run();
            assert_eq!(bench.submitted()[0].kind, ReportKind::Fail { reason });
        });
    }
}

#[test]
fn work_that_no_block_can_take_in_time_any_more_is_left() {
    with_driver(|bench, id| {
        let Phase::Answering { until } = phase(id) else { panic!() };
        // A report of now comes with the next block at the earliest. The engine is not even asked.
        run_to(until);
        run();
        assert!(bench.submitted().is_empty());
        AgendaWeightOf::set(frame_support::weights::Weight::zero());
        run_to(until + 1);
        run();
        assert!(bench.submitted().is_empty());
    });
}

#[test]
fn what_is_not_done_in_the_last_block_but_one_is_reported_as_failed() {
    let running = |job: &str| format!(r#"{{"id":"{job}","state":"running"}}"#);
    with_driver(|bench, id| {
        let Phase::Answering { until } = phase(id) else { panic!() };
        run_to(until - 2);
        bench.expect(id, running);
        run();
        assert_eq!(bench.submitted(), [], "there is time");
        run_to(until - 1);
        bench.expect(id, running);
        run();
        let reports = bench.submitted();
        assert_eq!(reports[0].kind, ReportKind::Fail { reason: FailureReason::DeadlineExceeded });
        next_block();
        bench.include(&reports);
        run_until(|| phase(id).is_closed());
        assert_eq!(Operators::<Test>::get(account(1)).unwrap().slashed, 0, "late is not silent");
    });
    // Without an engine there is nothing else to say, and with work that is fixed nothing to take back.
    with_driver(|bench, id| {
        let Phase::Answering { until } = phase(id) else { panic!() };
        sp_io::offchain::local_storage_clear(sp_core::offchain::StorageKind::PERSISTENT, ENGINE_ENDPOINT_KEY);
        run_to(until - 1);
        run();
        let expected = ReportKind::Fail { reason: FailureReason::ModelUnavailable };
        assert_eq!(bench.submitted()[0].kind, expected);
    });
    with_driver(|bench, id| {
        bench.expect(id, done);
        run();
        bench.include(&bench.submitted());
        commit_output(3, id, b"x").unwrap();
        let Phase::RevealingAnswers { until } = phase(id) else { panic!() };
        run_to(until - 1);
        bench.expect(id, running);
        run();
        assert_eq!(bench.submitted(), [], "a commitment has to be opened");
    });
}

#[test]
fn reveals_go_first_then_what_is_due_first() {
    with_driver(|bench, first| {
        // Three requests: the first to be opened, the third with less time left than the second.
        bench.expect(first, done);
        run();
        bench.include(&bench.submitted());
        let second = ask_and_draw(Terms { responders: 2, ..terms() });
        Models::<Test>::mutate(STRONG, |model| model.as_mut().unwrap().windows.commit = 2);
        Models::<Test>::mutate(WEAK, |model| model.as_mut().unwrap().windows.commit = 2);
        let third = ask_and_draw(Terms { responders: 2, ..terms() });
        commit_output(3, first, b"x").unwrap();
        assert!(phase(third).until() < phase(second).until());
        assert!(phase(first).until() > phase(third).until());
        // The test engine takes calls in this order only.
        for request in [first, third, second] {
            bench.expect(request, done);
        }
        run();
        let reports: Vec<_> = bench.submitted().iter().map(|report| report.request).collect();
        assert_eq!(reports, [first, second, third], "in one batch");
    });
}

#[test]
fn what_only_the_next_block_can_take_goes_alone() {
    with_driver(|bench, id| {
        let Phase::Answering { until } = phase(id) else { panic!() };
        let later = ask(Terms { responders: 2, ..terms() });
        run_to(until - 1);
        assert!(matches!(phase(later), Phase::Answering { .. }));
        for request in [id, later] {
            bench.expect(request, done);
        }
        run();
        let reports = bench.submitted();
        assert_eq!(reports.iter().map(|report| report.request).collect::<Vec<_>>(), [id]);
        bench.include(&reports);
        next_block();
        bench.expect(later, done);
        run();
        let reports = bench.submitted();
        assert_eq!(reports.iter().map(|report| report.request).collect::<Vec<_>>(), [later]);
    });
}

#[test]
fn waits_until_a_duty_is_buried() {
    with_driver(|bench, id| {
        DriverDepthOf::set(2);
        run();
        System::set_block_number(System::block_number() + 1);
        run();
        System::set_block_number(System::block_number() + 1);
        bench.expect(id, done);
        run();
        assert_eq!(bench.submitted().len(), 1);
    });
}

#[test]
fn an_operator_may_choose_the_depth() {
    with_driver(|bench, id| {
        sp_io::offchain::local_storage_set(
            sp_core::offchain::StorageKind::PERSISTENT,
            poq_primitives::keys::DEPTH_KEY,
            &1u32.encode(),
        );
        run();
        System::set_block_number(System::block_number() + 1);
        bench.expect(id, done);
        run();
        assert_eq!(bench.submitted().len(), 1);
    });
}

#[test]
fn without_duties_keys_or_an_engine_it_does_nothing() {
    with_driver(|bench, _| {
        sp_io::offchain::local_storage_clear(sp_core::offchain::StorageKind::PERSISTENT, ENGINE_ENDPOINT_KEY);
        Poq::offchain_worker(System::block_number());
        assert!(bench.submitted().is_empty());
        // The key is nobody's worker key any more.
        register(1, account(888), &[STRONG]).unwrap();
        Poq::offchain_worker(System::block_number());
        assert!(bench.submitted().is_empty());
    });
}

#[test]
fn worker_keys_are_of_type_poq() {
    use sp_application_crypto::RuntimeAppPublic;
    assert_eq!(crypto::app::Public::ID.0, *b"poq!");
}
