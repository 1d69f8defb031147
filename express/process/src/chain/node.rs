//! The chain behind a node: finalized blocks through `poq-client`, and transactions of one account.

use super::{
    Chain, ChainError, Challenge, Draw, Endpoint, Registration, Shown, Stalled, State, States, Verdict,
};
use codec::Encode;
use futures::{future::BoxFuture, FutureExt as _};
use poq_client::{
    types::chain::{
        express::events::{
            ChallengeAnswered, Challenged, ChannelClosing, ChannelOpened, ChannelReleased, ChannelToppedUp,
            EndpointClosed, EndpointForgotten, EndpointSet, EpochBegan, EpochSeeded, Escalated,
            OperatorPunished, OrderRefused, OrderSettled, RequesterPunished,
        },
        runtime_types::{
            pallet_proof_of_quality_express::challenges::Draw as ChainDraw,
            poq_primitives::express::order::OrderName as ChainName,
        },
        storage,
    },
    At, Client, Error, Included,
};
use poq_express::{
    view::{Channel, EpochView, Snapshot},
    wire::{Certificate, Equivocation},
};
use poq_primitives::express::{ChannelId, Epoch, Key, OrderName, Seat};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use subxt::{
    events::{DecodeAsEvent, Events},
    ext::scale_encode::{EncodeAsFields, Error as EncodeError, FieldIter, TypeResolver},
    tx::StaticPayload,
    SubstrateConfig,
};
use subxt_signer::sr25519::Keypair;
use tokio::{sync::watch, time::sleep};
use tokio_util::sync::CancellationToken;

/// The pallet's name in the runtime.
const PALLET: &str = "Express";

/// Pause before connecting again to a node that went away.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Finalized blocks before the newest one that are searched for escalations when the process starts.
const LOOK_BACK: u64 = 64;

/// Epochs before the current one whose snapshots are kept.
const KEPT_BEFORE: Epoch = 2;

/// The chain behind a node.
pub struct NodeChain {
    client: Arc<Mutex<Client>>,
    signer: Option<Keypair>,
    states: States,
}

/// Arguments of a call, in the encoding of the types that this process shares with the pallet.
struct Arguments(Vec<u8>);

impl EncodeAsFields for Arguments {
    fn encode_as_fields_to<R: TypeResolver>(
        &self,
        _: &mut dyn FieldIter<'_, R::TypeId>,
        _: &R,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        out.extend_from_slice(&self.0);
        Ok(())
    }
}

fn call(name: &str, arguments: impl Encode) -> StaticPayload<Arguments> {
    StaticPayload::new(PALLET, name, Arguments(arguments.encode()))
}

fn failed(error: Error) -> ChainError {
    match error {
        Error::Refused { .. } | Error::Undecodable(_) => ChainError::Refused(error.to_string()),
        other => ChainError::Try(other.to_string()),
    }
}

fn name_of(name: &ChainName) -> OrderName {
    OrderName { channel: name.channel, epoch: name.epoch, index: name.index }
}

fn draw_of(draw: &ChainDraw) -> Draw {
    match draw {
        ChainDraw::First => Draw::First,
        ChainDraw::Second => Draw::Second,
        ChainDraw::Responder => Draw::Responder,
    }
}

impl NodeChain {
    /// Connects to the node at `url`, reads the lane's finalized state, and follows it until `closing` is cancelled.
    ///
    /// # Errors
    /// [`Error`], among others if the chain has no express lane.
    pub async fn start(
        url: &str,
        signer: Option<Keypair>,
        closing: CancellationToken,
    ) -> Result<Self, Error> {
        let client = Client::connect(url).await?;
        let at = client.finalized().await?;
        if !at.has_pallet(PALLET) {
            return Err(Error::Undecodable(format!("the chain at {url} has no express lane")));
        }
        let mut state = read(&at, client.genesis(), &State::default()).await?;
        state.escalated = escalations_before(&client, &at).await;
        let (sender, states) = watch::channel(Arc::new(state));
        let shared = Arc::new(Mutex::new(client));
        let following = follow(shared.clone(), sender);
        tokio::spawn(async move { closing.run_until_cancelled(following).await });
        Ok(Self { client: shared, signer, states })
    }

    fn client(&self) -> Client {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn submit(&self, call: StaticPayload<Arguments>) -> Result<Included, ChainError> {
        let signer = self.signer.as_ref().ok_or(ChainError::NoAccount)?;
        self.client().submit(call, signer).await.map_err(failed)
    }

    async fn settle(&self, certificates: &[Certificate]) -> Result<Vec<Verdict>, ChainError> {
        let at = self.client().best().await.map_err(failed)?;
        let mut open = Vec::new();
        for certificate in certificates {
            if !is_used(&at, &certificate.order.name).await.map_err(failed)? {
                open.push(certificate);
            }
        }
        let mut verdicts = BTreeMap::new();
        if !open.is_empty() {
            let included = self.submit(call("settle_batch", (open,))).await?;
            for settled in included.events::<OrderSettled>() {
                verdicts.insert(name_of(&settled.name), Verdict::Settled);
            }
            for refused in included.events::<OrderRefused>() {
                verdicts.insert(name_of(&refused.name), verdict(&format!("{:?}", refused.refusal)));
            }
        }
        let of = |certificate: &Certificate| verdicts.get(&certificate.order.name).cloned();
        Ok(certificates.iter().map(|certificate| of(certificate).unwrap_or(Verdict::Settled)).collect())
    }
}

/// A refusal of the pallet by its name.
fn verdict(refusal: &str) -> Verdict {
    match refusal {
        "NameUsed" => Verdict::Settled,
        "TooEarly" | "DepositTooSmall" | "NoLane" => Verdict::Later(refusal.to_owned()),
        other => Verdict::Never(other.to_owned()),
    }
}

impl Chain for NodeChain {
    fn states(&self) -> States {
        self.states.clone()
    }

    fn can_submit(&self) -> bool {
        self.signer.is_some()
    }

    fn settle_batch<'a>(
        &'a self,
        certificates: &'a [Certificate],
    ) -> BoxFuture<'a, Result<Vec<Verdict>, ChainError>> {
        self.settle(certificates).boxed()
    }

    fn escalate<'a>(&'a self, stalled: &'a Stalled) -> BoxFuture<'a, Result<(), ChainError>> {
        let offer = &stalled.escalation.offer;
        let arguments = (&offer.order, offer.signature, &offer.prompt, offer.salt, &stalled.responders);
        let call = call("escalate", arguments);
        async move { self.submit(call).await.map(drop) }.boxed()
    }

    fn report_equivocation<'a>(
        &'a self,
        key: Key,
        proof: &'a Equivocation,
    ) -> BoxFuture<'a, Result<(), ChainError>> {
        let call = call("report_equivocation", (key, proof));
        async move { self.submit(call).await.map(drop) }.boxed()
    }

    fn show_output<'a>(&'a self, shown: &'a Shown) -> BoxFuture<'a, Result<(), ChainError>> {
        let Shown { request, name, key, output, salt } = shown;
        let call = call("show_output", (request, name, key, output, salt));
        async move { self.submit(call).await.map(drop) }.boxed()
    }

    fn answer_challenge<'a>(
        &'a self,
        challenge: &'a Challenge,
        proof: &'a [u8; 64],
    ) -> BoxFuture<'a, Result<(), ChainError>> {
        let Challenge { key, name, draw } = challenge;
        let call = call("answer_challenge", (key, name, draw, proof));
        async move { self.submit(call).await.map(drop) }.boxed()
    }

    fn set_endpoint<'a>(&'a self, registration: &'a Registration) -> BoxFuture<'a, Result<(), ChainError>> {
        let Registration { endpoint, key, consent } = registration;
        let call = call("set_endpoint", (endpoint.address.as_bytes(), endpoint.tls, key, consent));
        async move { self.submit(call).await.map(drop) }.boxed()
    }
}

async fn is_used(at: &At, name: &OrderName) -> Result<bool, Error> {
    let names = at.entry(storage().express().used_names(), (name.epoch, name.channel)).await?;
    Ok(indices(&names.unwrap_or_default()).contains(&name.index))
}

/// Set bits: bit `index % 8` of byte `index / 8`.
fn indices(bytes: &[u8]) -> BTreeSet<u32> {
    let bits = (0u32..).zip(bytes).flat_map(|(byte, bits)| {
        let set = (0..8u32).filter(move |bit| bits >> bit & 1 == 1);
        set.map(move |bit| byte.saturating_mul(8).saturating_add(bit))
    });
    bits.collect()
}

/// Follows finalized blocks, for ever: a node that goes away is waited for.
async fn follow(shared: Arc<Mutex<Client>>, sender: watch::Sender<Arc<State>>) {
    loop {
        let client = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Err(error) = follow_on(&client, &sender).await {
            tracing::warn!(%error, "the chain is not followed for the moment");
        }
        sleep(RECONNECT_PAUSE).await;
        match client.reconnect().await {
            Ok(again) => *shared.lock().unwrap_or_else(PoisonError::into_inner) = again,
            Err(error) => tracing::debug!(%error, "the node is still away"),
        }
    }
}

/// Follows finalized blocks on one connection.
async fn follow_on(client: &Client, sender: &watch::Sender<Arc<State>>) -> Result<(), Error> {
    let mut blocks = client.finalized_blocks().await?;
    let known = sender.borrow().clone();
    let state = read(&client.finalized().await?, client.genesis(), &known).await?;
    sender.send_replace(Arc::new(state));
    loop {
        let at = blocks.next().await?;
        let known = sender.borrow().clone();
        if let Some(state) = update(&at, &known).await? {
            sender.send_replace(Arc::new(state));
        }
    }
}

/// The whole state in a block.
async fn read(at: &At, genesis: [u8; 32], known: &State) -> Result<State, Error> {
    let mut state = State { escalated: known.escalated.clone(), ..State::default() };
    state.view.genesis = genesis;
    state.view.epochs = known.view.epochs.clone();
    read_epochs(at, &mut state).await?;
    let mut used: BTreeMap<ChannelId, BTreeMap<Epoch, BTreeSet<u32>>> = BTreeMap::new();
    for (key, names) in at.all(storage().express().used_names(), |_| true).await? {
        used.entry(key.1).or_default().insert(key.0, indices(&names));
    }
    for (key, channel) in at.all(storage().express().channels(), |_| true).await? {
        let used = used.remove(&key.0).unwrap_or_default();
        insert_channel(&mut state, key.0, channel, used);
    }
    for (_, endpoint) in at.all(storage().express().endpoints(), |_| true).await? {
        let address = String::from_utf8_lossy(&endpoint.address).into_owned();
        state.endpoints.insert(endpoint.key, Endpoint { address, tls: endpoint.tls });
    }
    for (doubt, _) in at.all(storage().express().challenges(), |_| true).await? {
        let (key, name, draw) = doubt.0;
        state.challenges.insert(Challenge { key, name: name_of(&name), draw: draw_of(&draw) });
    }
    Ok(state)
}

/// A channel as the machines see it. One whose orders have not begun is not there yet.
fn insert_channel(
    state: &mut State,
    id: ChannelId,
    channel: poq_client::types::Channel,
    used: BTreeMap<Epoch, BTreeSet<u32>>,
) {
    if channel.from > state.view.epoch {
        return;
    }
    let channel = Channel {
        owner: channel.owner.0,
        key: channel.key,
        balance: channel.balance,
        most_per_order: channel.most_per_order,
        orders_per_epoch: channel.orders_per_epoch,
        used,
        from: channel.from,
        closing: channel.last.is_some(),
    };
    state.view.channels.insert(id, channel);
}

/// Reads the current epoch, and the seeds and snapshots that are not known.
async fn read_epochs(at: &At, state: &mut State) -> Result<(), Error> {
    let now = at.value(storage().express().current_epoch()).await?;
    let first = now.saturating_sub(KEPT_BEFORE);
    state.view.epoch = now;
    state.view.epochs.retain(|epoch, _| (first..=now).contains(epoch));
    state.escalated.retain(|name, _| name.epoch >= first);
    let mut new = BTreeMap::new();
    for epoch in first..=now {
        if state.view.epochs.contains_key(&epoch) {
            continue;
        }
        let info = at.entry(storage().express().epochs(), (epoch,)).await?;
        if let Some(seed) = info.and_then(|info| info.seed) {
            new.insert(epoch, EpochView { seed, snapshots: BTreeMap::new() });
        }
    }
    if !new.is_empty() {
        for (key, seats) in at.all(storage().express().snapshots(), |_| true).await? {
            let Some(epoch) = new.get_mut(&key.0) else { continue };
            let seats = seats.into_iter().map(|seat| Seat {
                operator: seat.operator.0,
                key: seat.key,
                until: seat.until,
                vote: seat.vote,
            });
            let seats: Snapshot = seats.collect();
            epoch.snapshots.insert(key.1, seats);
        }
    }
    state.view.epochs.extend(new);
    Ok(())
}

/// News of a block, by its events.
#[derive(Default)]
struct News {
    channels: BTreeSet<ChannelId>,
    /// Whether endpoints, epochs or challenges changed: then the whole state is read.
    is_large: bool,
    escalated: Vec<(OrderName, u64)>,
}

fn all<E: DecodeAsEvent>(events: &Events<SubstrateConfig>) -> impl Iterator<Item = E> + use<'_, E> {
    events.find::<E>().filter_map(Result::ok)
}

impl News {
    fn of(events: &Events<SubstrateConfig>) -> Self {
        let mut news = Self::default();
        news.channels.extend(all::<ChannelOpened>(events).map(|event| event.channel));
        news.channels.extend(all::<ChannelToppedUp>(events).map(|event| event.channel));
        news.channels.extend(all::<ChannelClosing>(events).map(|event| event.channel));
        news.channels.extend(all::<ChannelReleased>(events).map(|event| event.channel));
        news.channels.extend(all::<OrderSettled>(events).map(|event| event.name.channel));
        news.channels.extend(all::<RequesterPunished>(events).map(|event| event.name.channel));
        news.escalated = escalations(events).collect();
        news.channels.extend(news.escalated.iter().map(|(name, _)| name.channel));
        let has_any = [
            all::<EndpointSet>(events).next().is_some(),
            all::<EndpointClosed>(events).next().is_some(),
            all::<EndpointForgotten>(events).next().is_some(),
            all::<EpochBegan>(events).next().is_some(),
            all::<EpochSeeded>(events).next().is_some(),
            all::<Challenged>(events).next().is_some(),
            all::<ChallengeAnswered>(events).next().is_some(),
            all::<OperatorPunished>(events).next().is_some(),
        ];
        news.is_large = has_any.contains(&true);
        news
    }
}

fn escalations(events: &Events<SubstrateConfig>) -> impl Iterator<Item = (OrderName, u64)> + use<'_> {
    all::<Escalated>(events).map(|event| (name_of(&event.name), event.request))
}

/// The state after a block; `None` if the block has no news for the lane.
async fn update(at: &At, known: &State) -> Result<Option<State>, Error> {
    let news = News::of(&at.events().await?);
    if news.is_large {
        let mut state = read(at, known.view.genesis, known).await?;
        state.escalated.extend(news.escalated);
        return Ok(Some(state));
    }
    if news.channels.is_empty() {
        return Ok(None);
    }
    let mut state = known.clone();
    for id in news.channels {
        state.view.channels.remove(&id);
        let Some(channel) = at.entry(storage().express().channels(), (id,)).await? else { continue };
        let mut used = BTreeMap::new();
        let now = state.view.epoch;
        for epoch in now.saturating_sub(KEPT_BEFORE)..=now {
            let names = at.entry(storage().express().used_names(), (epoch, id)).await?;
            used.insert(epoch, indices(&names.unwrap_or_default()));
        }
        insert_channel(&mut state, id, channel, used);
    }
    state.escalated.extend(news.escalated);
    Ok(Some(state))
}

/// Escalations in the blocks before this one, as far as the node still has their state.
async fn escalations_before(client: &Client, at: &At) -> BTreeMap<OrderName, u64> {
    let mut found = BTreeMap::new();
    for number in at.number().saturating_sub(LOOK_BACK)..=at.number() {
        let Ok(at) = client.at_number(number).await else { continue };
        if let Ok(events) = at.events().await {
            found.extend(escalations(&events));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_indices() {
        assert_eq!(indices(&[0b1000_0001, 0b10]), BTreeSet::from([0, 7, 9]));
        assert!(indices(&[]).is_empty());
    }

    #[test]
    fn only_a_refusal_for_good_gives_a_certificate_up() {
        assert_eq!(verdict("NameUsed"), Verdict::Settled);
        assert_eq!(verdict("TooEarly"), Verdict::Later("TooEarly".into()));
        assert!(matches!(verdict("Certificate(NoQuorum)"), Verdict::Never(_)));
    }
}
