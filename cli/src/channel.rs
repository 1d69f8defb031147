//! `poq channel`: deposits for orders on the express lane.

use crate::{
    account,
    amount::Amount,
    args::{ChannelCommand, OpenChannel, Shared},
    failure::{Failure, Outcome},
    key,
    names::Names,
    render,
    table::{Column, Table},
    wallet,
};
use poq_client::{
    types::{
        chain::{
            constants,
            express::events::{ChannelClosing, ChannelOpened, ChannelReleased},
            storage, tx,
        },
        Channel,
    },
    At, Client, Included, LANE,
};
use serde_json::{json, Value};
use subxt::{ext::scale_encode::EncodeAsFields, tx::StaticPayload, utils::AccountId32};

/// Orders that a deposit pays for if nothing is said.
const DEFAULT_ORDERS: u128 = 10;

/// Epochs after the last one with orders, until what is left can be released.
const EPOCHS_TO_RELEASE: u32 = 2;

/// `poq channel …`.
pub async fn run(
    client: &Client,
    command: Option<ChannelCommand>,
    shared: &Shared,
) -> Result<Outcome, Failure> {
    let at = client.best().await?;
    if !at.has_pallet(LANE) {
        return Err(Failure::Input("this chain has no express lane".into()));
    }
    match command {
        None => list(client, None, shared).await,
        Some(ChannelCommand::List { owner }) => list(client, Some(owner), shared).await,
        Some(ChannelCommand::Show { channel }) => show(&at, channel, shared).await,
        Some(ChannelCommand::Open(wanted)) => open(client, &wanted, shared).await,
        Some(ChannelCommand::TopUp { channel, amount }) => top_up(client, channel, amount, shared).await,
        Some(ChannelCommand::Close { channel }) => close(client, channel, shared).await,
        Some(ChannelCommand::Release { channel }) => release(client, channel, shared).await,
    }
}

/// A channel as it stands in a block.
struct Standing {
    id: u64,
    channel: Channel,
    /// The current epoch of the lane.
    epoch: u32,
    /// Orders that were settled or escalated, in the current epoch and in the one before.
    used: u32,
}

impl Standing {
    async fn of(at: &At, id: u64, channel: Channel) -> Result<Self, Failure> {
        let epoch = at.value(storage().express().current_epoch()).await?;
        let mut used = 0u32;
        for epoch in [epoch, epoch.saturating_sub(1)] {
            let names = at.entry(storage().express().used_names(), (epoch, id)).await?.unwrap_or_default();
            used = used.saturating_add(names.iter().map(|byte| byte.count_ones()).sum());
        }
        Ok(Self { id, channel, epoch, used })
    }

    /// Name in JSON, and what it means.
    fn state(&self) -> (&'static str, String) {
        match self.channel.last {
            None if self.epoch < self.channel.from => (
                "opening",
                format!("takes orders from epoch {} on; this is {}", self.channel.from, self.epoch),
            ),
            None => ("open", "takes orders".into()),
            Some(last) if self.epoch <= last => ("closing", format!("takes orders until epoch {last} ends")),
            Some(last) if self.epoch < last.saturating_add(EPOCHS_TO_RELEASE) => {
                let from = last.saturating_add(EPOCHS_TO_RELEASE);
                ("closing", format!("can be released from epoch {from} on; this is {}", self.epoch))
            }
            Some(_) => ("over", format!("`poq channel release {}` pays it back", self.id)),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "channel": self.id,
            "state": self.state().0,
            "owner": self.channel.owner.to_string(),
            "key": format!("0x{}", hex::encode(self.channel.key)),
            "balance": self.channel.balance.to_string(),
            "most_per_order": self.channel.most_per_order.to_string(),
            "orders_per_epoch": self.channel.orders_per_epoch,
            "orders_lately": self.used,
            "forfeited": self.channel.forfeited.to_string(),
            "first_epoch": self.channel.from,
            "last_epoch": self.channel.last,
            "epoch": self.epoch,
        })
    }
}

/// The channels of an account.
async fn list(client: &Client, owner: Option<String>, shared: &Shared) -> Result<Outcome, Failure> {
    let at = client.best().await?;
    let owner = match owner {
        Some(owner) => Names::load(client, &at).await?.find_account(&owner)?,
        None => account::signer(shared, client).await?.account,
    };
    let mut found = Vec::new();
    for (id, channel) in at.all(storage().express().channels(), |channel| channel.owner == owner).await? {
        found.push(Standing::of(&at, id.0, channel).await?);
    }
    found.sort_by_key(|standing| standing.id);
    if shared.json {
        render::json(&found.iter().map(Standing::to_json).collect())?;
        return Ok(Outcome::Done);
    }
    if found.is_empty() {
        render::prose(&format!("{owner} has no channel. `poq channel open AMOUNT --key FILE` opens one."))?;
        return Ok(Outcome::Done);
    }
    let mut table = Table::new(&[
        Column::number("Channel"),
        Column::number("Balance"),
        Column::number("Most per order"),
        Column::number("Orders per epoch").optional(),
        Column::words("State"),
    ]);
    for standing in &found {
        table.row([
            standing.id.to_string(),
            Amount(standing.channel.balance).to_string(),
            Amount(standing.channel.most_per_order).to_string(),
            standing.channel.orders_per_epoch.to_string(),
            standing.state().1,
        ]);
    }
    table.print()?;
    Ok(Outcome::Done)
}

/// One channel.
async fn show(at: &At, id: u64, shared: &Shared) -> Result<Outcome, Failure> {
    let channel = at.entry(storage().express().channels(), (id,)).await?;
    let channel = channel.ok_or_else(|| at.refuse_of(LANE, "UnknownChannel", &format!("{id}.")))?;
    let standing = Standing::of(at, id, channel).await?;
    if shared.json {
        render::json(&standing.to_json())?;
        return Ok(Outcome::Done);
    }
    let Standing { channel, used, .. } = &standing;
    render::facts(&[
        ("channel", id.to_string()),
        ("state", standing.state().1),
        ("owner", channel.owner.to_string()),
        ("signing key", format!("0x{}", hex::encode(channel.key))),
        ("balance", Amount(channel.balance).to_string()),
        ("forfeited", Amount(channel.forfeited).to_string()),
        ("most per order", Amount(channel.most_per_order).to_string()),
        ("orders per epoch", channel.orders_per_epoch.to_string()),
        ("orders in this epoch and the one before", used.to_string()),
    ])?;
    Ok(Outcome::Done)
}

/// Opens a channel for the account that signs. Its signing key is that in the file, which is made if it is not there.
async fn open(client: &Client, wanted: &OpenChannel, shared: &Shared) -> Result<Outcome, Failure> {
    let signer = account::signer(shared, client).await?;
    let at = client.best().await?;
    let terms = Terms::of(&at, wanted)?;
    let Terms { deposit, most, orders } = terms;
    if let Some(shortage) = wallet::shortage(&at, signer.account, deposit).await? {
        return Err(Failure::Input(shortage));
    }
    if key::make_missing(&wanted.key)? {
        render::note_line(&format!("made the channel's signing key in {}", wanted.key.display()));
    }
    let key = account::keypair_in(&wanted.key)?.public_key().0;
    let call = tx().express().open_channel(key, deposit, most, orders);
    let included = signer.submit(client, shared, call).await?;
    let opened = event::<ChannelOpened>(&included)?;
    let (id, from) = (opened.channel, opened.from);
    let done = format!(
        "opened channel {id} with {}: up to {orders} orders per epoch of up to {} each, from epoch {from} on",
        Amount(deposit),
        Amount(most)
    );
    let facts = json!({ "deposit": deposit.to_string(), "orders_per_epoch": orders, "first_epoch": from });
    report(&signer.account, id, &done, facts, &included, shared)
}

/// What a new channel takes, within the chain's limits: what the chain would refuse is refused before it costs a fee.
struct Terms {
    deposit: u128,
    most: u128,
    orders: u32,
}

impl Terms {
    fn of(at: &At, wanted: &OpenChannel) -> Result<Self, Failure> {
        let limits = constants().express();
        let deposit = wanted.deposit.0;
        let most = wanted.most_per_order.map_or(deposit / DEFAULT_ORDERS, |most| most.0);
        let refused = |name: &str, why: String| Err(at.refuse_of(LANE, name, &why).into());
        let least = at.constant(limits.min_deposit())?.max(most);
        if deposit < least {
            return refused(
                "DepositTooSmall",
                format!("The deposit is {}, and {} at least.", wanted.deposit, Amount(least)),
            );
        }
        // Without a price for an order, as without a deposit, there is nothing to count.
        let Some(covered) = deposit.checked_div(most) else {
            return refused("InvalidMostPerOrder", String::new());
        };
        let highest = at.constant(limits.max_orders_per_epoch())?;
        // So that the deposit covers two epochs: operators count those of the epoch before until they are settled.
        let half = u32::try_from(covered / 2).unwrap_or(highest);
        let orders = wanted.orders.unwrap_or_else(|| half.clamp(1, highest));
        if orders == 0 || orders > highest {
            return refused("InvalidOrdersPerEpoch", format!("{orders} orders, and at most {highest}."));
        }
        Ok(Self { deposit, most, orders })
    }
}

async fn top_up(client: &Client, id: u64, amount: Amount, shared: &Shared) -> Result<Outcome, Failure> {
    let (signer, at) = (account::signer(shared, client).await?, client.best().await?);
    if let Some(shortage) = wallet::shortage(&at, signer.account, amount.0).await? {
        return Err(Failure::Input(shortage));
    }
    let call = tx().express().top_up(id, amount.0);
    let included = submit(client, &signer, id, call, shared).await?;
    let done = format!("added {amount} to channel {id}");
    report(&signer.account, id, &done, json!({ "amount": amount.0.to_string() }), &included, shared)
}

async fn close(client: &Client, id: u64, shared: &Shared) -> Result<Outcome, Failure> {
    let signer = account::signer(shared, client).await?;
    let included = submit(client, &signer, id, tx().express().close_channel(id), shared).await?;
    let last = event::<ChannelClosing>(&included)?.last;
    let release = last.saturating_add(EPOCHS_TO_RELEASE);
    let done = format!(
        "channel {id} takes no orders after epoch {last}; `poq channel release {id}` pays what is left back, from epoch {release} on"
    );
    let facts = json!({ "last_epoch": last, "release_epoch": release });
    report(&signer.account, id, &done, facts, &included, shared)
}

async fn release(client: &Client, id: u64, shared: &Shared) -> Result<Outcome, Failure> {
    let signer = account::signer(shared, client).await?;
    let included = submit(client, &signer, id, tx().express().release_channel(id), shared).await?;
    let released = event::<ChannelReleased>(&included)?;
    let done =
        format!("channel {id} is released: {} went back to {}", Amount(released.refund), released.owner);
    let facts = json!({ "refund": released.refund.to_string(), "forfeited": released.forfeited.to_string() });
    report(&signer.account, id, &done, facts, &included, shared)
}

async fn submit<C: EncodeAsFields>(
    client: &Client,
    signer: &account::Signer,
    id: u64,
    call: StaticPayload<C>,
    shared: &Shared,
) -> Result<Included, Failure> {
    let errors = ["UnknownChannel", "NotYours", "ChannelClosing", "ChannelOpen"];
    let refused = errors.map(|error| (error, format!("Channel {id}.")));
    let included = signer.submit(client, shared, call).await;
    included.map_err(|failure| failure.with(&refused))
}

fn event<E: subxt::events::DecodeAsEvent>(included: &Included) -> Result<E, Failure> {
    let missing = || Failure::Unexpected("the transaction was included without its event".into());
    included.event().ok_or_else(missing)
}

fn report(
    signer: &AccountId32,
    id: u64,
    done: &str,
    mut facts: Value,
    included: &Included,
    shared: &Shared,
) -> Result<Outcome, Failure> {
    if shared.json {
        if let Some(facts) = facts.as_object_mut() {
            facts.insert("signer".into(), signer.to_string().into());
            facts.insert("channel".into(), id.into());
            facts.insert("transaction_fee".into(), included.fee.to_string().into());
        }
        render::json(&facts)?;
    } else {
        render::prose(&format!("{done} (fee {})", Amount(included.fee)))?;
    }
    Ok(Outcome::Done)
}
