//! Disks: what is not on disk is not said.

use crate::stub::{asker, key, terms, until, within, RawClient, TestChain, TestEngine, TestOperator, World};
use hyper::StatusCode;
use poq_express::{crypto::Crypto as _, step::Record, wire::Certificate};
use poq_express_process::{
    ask::Fallback,
    disk::{Change, Disk, DiskError, Redb},
    driver::DriverError,
    serve::ServeError,
    transport::{hello::Caller, Limits, HELLO},
};
use poq_primitives::express::{ChannelId, Epoch, OrderName};
use std::sync::{
    atomic::{AtomicBool, Ordering},
    Arc,
};

/// A database on a disk that a test can fill up: then writes fail as they do with `ENOSPC`.
struct Full {
    disk: Redb,
    is_full: Arc<AtomicBool>,
}

impl Disk for Full {
    fn write(&self, changes: &[Change]) -> Result<(), DiskError> {
        if self.is_full.load(Ordering::SeqCst) {
            return Err(DiskError::Database("No space left on device (os error 28)".into()));
        }
        self.disk.write(changes)
    }

    fn records(&self) -> Result<Vec<(OrderName, Record)>, DiskError> {
        self.disk.records()
    }

    fn records_of(&self, name: &OrderName) -> Result<Vec<Record>, DiskError> {
        self.disk.records_of(name)
    }

    fn certificates(&self) -> Result<Vec<Certificate>, DiskError> {
        self.disk.certificates()
    }

    fn epoch(&self) -> Result<Epoch, DiskError> {
        self.disk.epoch()
    }

    fn take_index(&self, channel: ChannelId, epoch: Epoch) -> Result<u32, DiskError> {
        self.disk.take_index(channel, epoch)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_with_a_full_disk_stops_and_has_signed_nothing() {
    let (chain, engine) = (TestChain::new(4), TestEngine::default());
    let (url, folder) = (engine.start().await, tempfile::tempdir().unwrap());
    let is_full = Arc::new(AtomicBool::new(true));
    let mut operators = Vec::new();
    for number in 1..=4 {
        let folder = folder.path().join(number.to_string());
        let disk = Full { disk: Redb::open(&folder).unwrap(), is_full: is_full.clone() };
        let disk = Arc::new(disk);
        operators
            .push(TestOperator::start_with(number, &chain, &url, &folder, disk, Limits::default()).await);
    }
    let disk = Arc::new(Redb::open(&folder.path().join("requester")).unwrap());
    let asker = asker(&chain, disk).await;
    let order = terms(1, 3);
    let asking = asker.ask(&order, b"why?".to_vec());
    tokio::pin!(asking);
    // The responder is asked, and cannot keep the order.
    let failed = async {
        loop {
            if let Some(index) = operators.iter().position(|operator| operator.is_finished()) {
                return index;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let index = tokio::select! {
        early = &mut asking => panic!("{early:?}"),
        index = within("the responder stops", failed) => index,
    };
    let failed = operators.remove(index);
    let (key, address) = (failed.key, failed.address);
    let error = failed.failure().await;
    assert!(matches!(error, ServeError::Driver(DriverError::Disk(_))), "{error}");
    assert!(
        error.to_string().contains("No space left") && error.to_string().contains("free space"),
        "{error}"
    );
    assert!(engine.asked.lock().unwrap().is_empty(), "no work, and so no signature");
    let closed = async { while tokio::net::TcpStream::connect(address).await.is_ok() {} };
    within("it takes no connections", closed).await;
    // With room on the disk it starts again, and the order goes through.
    is_full.store(false, Ordering::SeqCst);
    let number = (1..=4).find(|number| crate::stub::key(*number).key() == key).unwrap();
    let folder = folder.path().join(number.to_string());
    let _again = TestOperator::start(number, &chain, &url, &folder).await;
    assert!(within("an answer", asking).await.unwrap().best().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requester_with_a_full_disk_asks_nobody() {
    let world = World::new(4).await;
    let is_full = Arc::new(AtomicBool::new(true));
    let disk = Redb::open(&world.folder.path().join("requester")).unwrap();
    let asker = asker(&world.chain, Arc::new(Full { disk, is_full })).await;
    let stopped = within("an end", asker.ask(&terms(1, 3), b"why?".to_vec())).await;
    assert!(matches!(stopped, Err(Fallback::Stopped)), "{stopped:?}");
    until("it is known to have stopped", || !asker.is_running()).await;
    let received: u64 = world.operators.iter().flatten().map(|all| all.metrics.received.get()).sum();
    assert_eq!(received, 0);
}

/// Under a view that is older than the records a machine would forget its orders, and might sign something else for them.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_waits_for_the_epoch_of_its_records() {
    let (chain, url) = (TestChain::new(4), TestEngine::default().start().await);
    let folder = tempfile::tempdir().unwrap();
    Redb::open(folder.path()).unwrap().write(&[Change::Epoch(6)]).unwrap();
    let operator = TestOperator::start(1, &chain, &url, folder.path()).await;
    let caller = Caller::Operator(key(2).key());
    // The listener is there, and nobody answers.
    let early = tokio::time::timeout(std::time::Duration::from_millis(300), RawClient::to(&operator)).await;
    assert!(early.is_err(), "no handshake yet");
    chain.change(|state| state.view.epoch = 6);
    let mut client = within("a connection", RawClient::to(&operator)).await;
    let hello = client.signed(&key(2), caller);
    assert_eq!(client.post(HELLO, hello).await, Some(StatusCode::OK));
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_forgotten_epochs_leave_the_disk() {
    let mut world = World::new(5).await;
    let asker = world.asker().await;
    within("an answer", asker.ask(&terms(1, 3), b"why?".to_vec())).await.unwrap();
    until("it is settled", || world.chain.used().contains(&0)).await;
    let orders = |world: &World| {
        let gauges = world.operators.iter().flatten().map(|operator| operator.metrics.orders.get());
        gauges.sum::<i64>()
    };
    assert!(orders(&world) >= 4);
    world.chain.change(|state| {
        let seats = state.view.epochs.remove(&5).unwrap();
        state.view.epoch = 8;
        state.view.epochs.insert(8, seats);
    });
    until("all is forgotten", || orders(&world) == 0).await;
    drop(asker);
    for index in 0..5 {
        world.operators[index].take().unwrap().stop().await;
        let folder = world.folder.path().join((index + 1).to_string());
        let disk = Redb::open(&folder).unwrap();
        assert!(disk.records().unwrap().is_empty() && disk.certificates().unwrap().is_empty());
    }
}
