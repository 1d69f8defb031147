//! The command line.

use crate::{
    amount::{parse_milli, parse_part, parse_top_p, Amount},
    names::parse_hash,
    own_node::Place,
    sync,
};
use clap::{Parser, Subcommand};
use std::{net::SocketAddr, path::PathBuf};

const EXAMPLES: &str = "\
Examples:
  poq ask \"What is the capital of Peru?\"
  poq ask \"What is 2 plus 3?\" --responders 1 --committee 3 --min-quality 0.5 --budget 2.5
  poq ask \"Name a colour.\" --json | jq -r .answer
  poq request 0                      how request 0 was answered, scored and paid
  poq requests alice                 the newest requests of an account
  poq balance; poq send ADDRESS 10   what an account has; pay another
  poq operators operator-1           why an operator was paid or not
  poq why operator-1                 why it earns nothing, and what to do first
  poq --from //Bob operator bond 1000
  poq parameters                     what work earns and what faults cost

The account that signs:
  --from NAME or //PATH takes a development account, whose secret everybody knows, on chains of type
  Development only. A real account's secret is read from a file (--suri-file FILE) or from the
  variable POQ_SURI, never from the command line. `poq` says on standard error which account signs
  before it sends anything; with --json the field `signer` does.

The chain that is signed for:
  --genesis 0x… (or POQ_GENESIS) takes no node of another chain. Without it, the first use of an
  address writes the genesis of its chain to ~/.config/proof-of-quality/chains/, and another chain
  there is an error from then on. Addresses within this machine (127.0.0.1, localhost) are not
  remembered: a development chain that starts anew has another genesis.

Width: tables are as wide as the terminal, or as the variable COLUMNS says; narrow ones become lists.

Exit codes:
  0  done; the request was settled
  1  refused by the chain, or bad input: the error's name says which, and what to do
  2  the command line is wrong
  3  the node cannot be reached
  4  the request was refunded
  5  the request was not over in time; `poq request N` shows how it goes on";

const ASK_EXAMPLES: &str = "\
Examples:
  poq ask \"What is the capital of Peru?\"
  poq ask \"What colour is the sky?\" --generator poq-demo-strong --responders 1
  poq ask \"What colour is the sky?\" --json | jq -r '.answer, .refund'
  poq ask \"What is the capital of Peru?\" --reference Lima      an audit, see `poq audit --help`

With --json it prints one object. Amounts are strings in units of 10^-12 POQ; qualities, scores and
agreements are numbers from 0 to 1; what is not known (yet) is null:
  request, state (settled, refunded, or an open phase), finalized (whether a finalized block has that
  state), refund_reason, requester, signer (only of `poq ask`), prompt,
  answer, best (index of the response), quality, generators[{id, name}], evaluator{id, name},
  sampling{max_tokens, temperature, top_p, stop[], seed}, responders, committee_size, min_quality,
  responses[{operator, operator_name, model, model_name, work, failure, output, latency, quality,
             scores[{operator, score}], paid}],
  committee[{operator, operator_name, round, weight, work, scores[], latency, agreement, paid}],
  budget, budget_parts{inference, scoring, fee}, bonus, tries, paid, fee, refund, transaction_fee,
  audited, audit_file (only with --reference), blocks{created, since, closed}
Once the request is over, paid + fee + refund is the budget, also of a refund:
  paid    to the operators: answers by quality, scores by agreement. An answer that was revealed earns at
          least the base part of its price (`base_pay` in `poq parameters`), whatever becomes of the
          request
  fee     to the chain: its part of the budget (owed once anybody was drawn), `waiting_fee` for each of
          the tries, and what answers that --min-quality holds down are worth above the base part
  refund  back to the requester
  tries   draws that were put off because operators were busy
  bonus   what each answer can earn above the price of its model: its part of what the budget is above
          the least
fee and refund are null only where waiting or --min-quality added to the fee and the node has forgotten
the block of the end (by default after 256 blocks).

An answer on the express lane is another object; it is paid when the chain settles it:
  lane (\"express\"), channel, epoch, index, answer, answers[{operator, operator_name, answer, median,
  scores[]}], budget (the most that it costs), certificate (what the committee has signed, SCALE in hex)";

const WHY_EXAMPLES: &str = "\
It reads the chain: stake, worker key, models and who else serves them, the latest duties and what
came of them, standing, and how often its models were asked for. With --node it also asks the
operator's own node, at its control socket: a node shows its keys and problems to its own user and
to root. `--node ws://127.0.0.1:9944` finds the socket of the node there, if that was started without
--base-path; otherwise the socket is DIR/chains/ID/control.sock, and the node's log says where.

Examples:
  poq why operator-1
  poq why operator-1 --node ws://127.0.0.1:9944
  poq why 5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY --node DIR/chains/ID/control.sock
  poq why operator-1 --json | jq -r .first

With --json it prints one object:
  account, earns, first (what to do first), operator (as `poq operators NAME --json`),
  findings[{kind, severity (stops, costs, note), text, first_step}],
  draws[{model, id, retired, share, operators, requests_looked_at, requests_for_it,
         requests_with_it, audits_with_it}],
  node{peers, syncing, up_to_date, best_block, block_age_seconds, has_worker_key,
       problems[{kind, severity, subject, what, remedy}]}
Where the node at --url is not up to date with the chain, `earns` is null: nothing is known yet.";

const LIGHT_SPEC_EXAMPLES: &str = "\
Examples:
  poq light-spec > light.json
  poq light-spec --boot-node /dns/node.example/tcp/30334/wss/p2p/12D3KooW… > light.json

Whoever uses the file trusts the finalized block in it, and after that nobody: take it from a node of
your own. It ages: a light client needs more time with an old one. In the first two epochs of a chain
the file has the state of the genesis block, too. Browsers reach nodes that listen on a WebSocket:
`poq-node --listen-addr /ip4/0.0.0.0/tcp/30334/ws`, behind TLS for pages that are served over https.";

const CHANNEL_EXAMPLES: &str = "\
A channel is a deposit from which orders on the express lane are paid. Its key signs the orders: whoever
has it can spend the deposit, and nothing else of the account. Operators serve an order only while the
deposit covers all orders that may still be settled: those of this epoch up to it, and those of the epoch
before. So `--most` times the orders of two epochs is what a busy channel needs.

Examples:
  poq channel open 20 --most 2 --key channel.key
  poq channel                     those of the account that signs
  poq channel show 0
  poq channel top-up 0 10
  poq ask --express channel.key \"What is the capital of Peru?\"
  poq channel close 0             two epochs later: poq channel release 0

With --json, `list` and `show` print, of each:
  channel, state (opening, open, closing, over), owner, key, balance, most_per_order, orders_per_epoch,
  orders_lately (of this epoch and the one before), forfeited, first_epoch, last_epoch, epoch (now)";

const RECEIPT_EXAMPLES: &str = "\
A receipt proves to anyone, without a node: who answered, how each answer was scored and by whom, who was
paid what, and by digests which texts were asked and answered. It begins at a block that the reader
trusts, usually the genesis block, and follows GRANDPA's voters from there. It does not prove that an
answer is right, nor which model wrote it.

`poq receipt` needs the state of the block that the receipt begins with. A node forgets states, so for
the genesis block of an older chain name the chain's specification, or ask an archive node.

`poq verify` takes the genesis hash from --anchor, --genesis or POQ_GENESIS; otherwise the one that is
remembered for --url; otherwise that of the node at --url, if it is on this machine.

Exit codes of `poq verify`: 0 the receipt holds, 1 it does not, or the text of --answer is not in it.

Examples:
  poq receipt 7 > receipt.json
  poq receipt 7 --chain chain.json > receipt.json      chain.json: poq-node export-chain-spec --raw
  poq verify receipt.json --anchor 0x2c5f…
  poq verify receipt.json --answer \"Lima.\" --json | jq .best";

const AUDIT_EXAMPLES: &str = "\
An audit is a question whose answer is known. It is asked like any other, and nobody can tell it
from any other until it is revealed: the request carries a commitment to the answer key where others
carry random bytes. A revealed audit marks the account that asked, not the one that reveals: so ask
audits from several accounts that also ask real questions, in their style, and reveal them from
another.

An answer is right if it contains the words of --reference and none of the decoys. A decoy (--decoy)
is a wrong answer that a list of many answers would hold too: without decoys, an answer that names
every capital is right about each of them.

An account on the chain's list of auditors reveals audits, of settled and of refunded requests: `poq
audit auditors` shows the list, and the sudo key sets it. It shows what each answer deserved.
Quality validators whose scores were near gain veracity; those whose scores were grossly wrong, or
were committed to and not revealed, lose it and a part of their stake (`audit_slash`, all together
at most `audit_allowance`). Operators that earned less by these errors are paid out of it.

Examples:
  poq ask \"What is the capital of Peru?\" --reference Lima --decoy Quito --decoy Bogota --audit-file lima.json
  poq audit reveal lima.json
  poq --suri-file AUDITOR-FILE audit reveal lima.json --json | jq '.committee[] | {operator, error}'
  poq audit auditors                                       the accounts that may reveal audits
  poq --suri-file SUDO-FILE audit auditors set ADDRESS ADDRESS

The file holds what reveals the audit. Keep it secret until then, and reveal it in time: `audit_window`
in `poq parameters` says how many blocks after the end of the request.

With --json, `reveal` prints one object:
  signer, request, prompt, reference, decoys[], right, wrong, slashed, compensated,
  responses[{operator, operator_name, output, quality, truth, compensated}],
  committee[{operator, operator_name, work, scores[], error, slashed, compensated}]
and `auditors` prints {auditors[{auditor, name}]}, and `signer` where it has set them.";

const REGISTER_EXAMPLES: &str = "\
A worker key must agree to work for an operator before that operator can name it. Where its secret is
at hand, --worker-suri-file signs the consent. Where it is not, `poq operator consent` makes it on the
worker key's machine, and --consent hands it over. A key that the operator has already needs none, and
is kept if no other is named.

The stake counts in equal parts for the models, each at least `min_stake` (`poq parameters`). A model
whose roster is full takes an operator that weighs more than the last one on it.

Examples:
  poq --suri-file ACCOUNT operator register --worker-suri-file WORKER --model poq-demo-evaluator
  poq --suri-file ACCOUNT operator register --worker ADDRESS --consent HEX --model poq-demo-evaluator
  poq --suri-file ACCOUNT operator register --model poq-demo-strong       the present worker key
  poq --from bob operator register --worker //Bob//worker --model poq-demo-weak    development keys";

const CONSENT_EXAMPLES: &str = "\
The consent is a signature for one worker key, one operator and one chain, and moves no money. It
lets the operator name the worker key, now and later.

Examples:
  poq operator consent --worker-suri-file WORKER --operator ADDRESS
  poq operator consent --worker-suri-file WORKER --operator ADDRESS --genesis HASH

With --genesis (or POQ_GENESIS) it asks no node.

With --json it prints one object: worker, operator, genesis, consent.";

const KEY_EXAMPLES: &str = "\
The file holds the secret phrase, one line. Who has it has the account. Keep a copy of an account's
file off the machine; a worker key's can be made anew.

Examples:
  poq key new account                                  for --suri-file account
  poq key new worker && poq-node key insert --chain CHAIN --key-type 'poq!' --scheme sr25519 --suri worker
  poq key address worker";

const CAPACITY_EXAMPLES: &str = "\
Open work is counted in two numbers:
  tokens  as an inference node: the sum of max_tokens of the answers to generate
  pairs   as a quality validator: one for each answer that the requests to score want (--responders)
An operator that would have more than it takes is passed over in draws until it has less. Its models
share the numbers. 0 takes no work of that kind. Open duties go on, whatever the numbers.

How to choose: all duties may begin in the same block, so take what the machine does within the
shortest commit window of its models (`poq models`; a block is 2 seconds). A generator that makes 40
tokens a second and has 30 blocks does 40 x 60 = 2,400 tokens. Begin with half of that: work that is
not finished in time earns nothing, lowers standing, and is slashed if the node does not even say so.
An operator that has said nothing takes 4,096 tokens and 64 pairs on the demo's chains.

Examples:
  poq --suri-file ACCOUNT operator capacity --tokens 1200
  poq --suri-file ACCOUNT operator capacity --pairs 32 --tokens 0";

const HEALTH_EXAMPLES: &str = "\
A node is well if it answers, has caught up with the chain, has peers (where it should), its newest
block is new, and finality is not far behind. It costs the node next to nothing.

Exit codes: 0 well; 1 not well, and the line says why and what to wait for; 3 no answer within 10
seconds, from the first attempt to connect to the last answer.

With --json it prints one object; block_age_seconds is null where there is only the genesis block:
  healthy, faults[], peers, syncing, best_block, finalized_block, block_age_seconds

Example:
  poq health --json | jq .block_age_seconds";

const AUTHOR_EXAMPLES: &str = "\
An author needs session keys, which its node makes and keeps, and a place on the list, which the
chain's sudo key gives. Either counts after the session that follows the current one. One who is
proven to have made two blocks for a slot loses its place by itself.

Examples:
  poq author                                                     the authors
  poq --suri-file ACCOUNT author keys --node ws://127.0.0.1:9944   on the new author's machine
  poq --suri-file SUDO-FILE author add ADDRESS
  poq --suri-file SUDO-FILE author remove ADDRESS";

const PARAMETERS_EXAMPLES: &str = "\
Examples:
  poq parameters
  poq parameters --json > new.json        then edit it
  poq parameters check new.json
  poq parameters set new.json

In JSON, amounts are strings in units of 10^-12 POQ, parts are numbers from 0 to 1, times are blocks.
Requests that are open keep the parameters under which they were made.";

const WEB_EXAMPLES: &str = "\
The page asks questions, shows requests as they go on, and lists models, operators and the state of
the network. It runs in the browser and talks to the node at --url alone. It signs with a wallet in
the browser, or on a chain of type Development with a development account.

Examples:
  poq web                                     for a node on this machine
  poq web --listen 0.0.0.0:80 --url wss://node.example

With --json the first line is one object: page, endpoint.";

const ENGINE_EXAMPLES: &str = "\
`poq-node` starts an engine of its own, or takes one with --engine. Any other node is told by RPC.
The call is unsafe: `poq-node` takes it at its control socket (--node DIR/chains/ID/control.sock), a
node of another make at the port of its own machine. The node keeps it over restarts.

Examples:
  poq operator engine http://127.0.0.1:9955 --token-file ~/.local/share/proof-of-quality/engine-token
  poq operator engine http://127.0.0.1:9955 --token-file FILE --print | ssh NODE \\
    curl -s -H content-type:application/json -d @- http://127.0.0.1:9944";

/// Ask language models on a Proof of Quality chain, and pay by how good the answers are.
///
/// The chain never runs a model: inference nodes answer, a random committee of quality validators scores the answers, and
/// what is not owed goes back to the account that asked.
#[derive(Debug, Parser)]
#[command(name = "poq", version, after_help = EXAMPLES)]
pub struct Args {
    /// The command.
    #[command(subcommand)]
    pub command: Command,

    /// Options of all commands.
    #[command(flatten)]
    pub shared: Shared,
}

/// Options of all commands.
#[derive(Debug, clap::Args)]
pub struct Shared {
    /// Address of a node
    #[arg(long, global = true, value_name = "URL", env = "POQ_URL", default_value = "ws://127.0.0.1:9944")]
    pub url: String,

    /// Print JSON, for scripts
    #[arg(long, global = true)]
    pub json: bool,

    /// Account that signs, on chains of type Development only: a development account (alice, operator-0, //Alice) [default there: alice]
    #[arg(long, global = true, value_name = "NAME|//PATH", conflicts_with = "suri_file")]
    pub from: Option<String>,

    /// Account that signs: a file with a secret URI (phrase or seed, with a path if need be) [or the variable POQ_SURI]
    #[arg(long, global = true, value_name = "FILE")]
    pub suri_file: Option<PathBuf>,

    /// Hash of the chain's genesis block: a node of another chain is refused [default: the one of the address's first use]
    #[arg(long, global = true, value_name = "HASH", env = "POQ_GENESIS", value_parser = hash)]
    pub genesis: Option<[u8; 32]>,
}

/// A hash in hex.
fn hash(text: &str) -> Result<[u8; 32], String> {
    parse_hash(text.trim()).ok_or_else(|| "a hash is 32 bytes in hex".into())
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Ask a question, wait for the answer, and show what each operator was paid
    Ask(Box<Ask>),
    /// Show a request: answers, scores, pay
    Request {
        /// Number of the request
        id: u64,
    },
    /// Cancel a request of the account that signs, as long as nobody was drawn to answer it; the chain keeps its fee
    Cancel {
        /// Number of the request
        id: u64,
    },
    /// Print a receipt: a proof of what became of a request, as JSON
    #[command(after_help = RECEIPT_EXAMPLES)]
    Receipt(MakeReceipt),
    /// Check a receipt without a node, and show what it proves
    #[command(after_help = RECEIPT_EXAMPLES)]
    Verify(Verify),
    /// Print the chain's specification for light clients such as smoldot, with a finalized block to begin with
    #[command(after_help = LIGHT_SPEC_EXAMPLES)]
    LightSpec(LightSpec),
    /// List the newest requests, of everybody or of one account
    Requests(Requests),
    /// Show an account's balance: spendable, stake, budgets on hold
    Balance {
        /// An address, or the name of a development account [default: the account that signs]
        #[arg(value_name = "ADDRESS|NAME")]
        who: Option<String>,
    },
    /// Send tokens from the account that signs to another, and keep the sender on the chain
    Send {
        /// An address, or the name of a development account
        #[arg(value_name = "ADDRESS|NAME")]
        to: String,
        /// Amount, in POQ
        amount: Amount,
    },
    /// Make an account or a worker key in a file, or show its address; needs no node
    #[command(subcommand, after_help = KEY_EXAMPLES)]
    Key(Key),
    /// Show the chain and whether the node is up to date: version, blocks, peers, open requests, invariants
    Status,
    /// Say whether a node is well; the exit code is made for health checks
    #[command(after_help = HEALTH_EXAMPLES)]
    Health(Health),
    /// Show the models: prices, windows, rewards, operators that serve them
    Models,
    /// Show the operators, or one of them in detail: standing, latest duties and why each was paid or not
    Operators {
        /// An address, or the name that `poq operators` shows
        #[arg(value_name = "ADDRESS|NAME")]
        who: Option<String>,
    },
    /// Say why an operator earns nothing, or little, and what to do first
    #[command(after_help = WHY_EXAMPLES)]
    Why(Why),
    /// Print the chain's events as they come
    Watch,
    /// Serve the network's page for browsers, until Ctrl-C
    #[command(after_help = WEB_EXAMPLES)]
    Web(Web),
    /// Deposits for orders on the express lane: open, top up, close, release
    #[command(after_help = CHANNEL_EXAMPLES)]
    Channel {
        /// Change or show them [default: list those of the account that signs]
        #[command(subcommand)]
        command: Option<ChannelCommand>,
    },
    /// Be an operator: stake, name a worker key and models, pause, leave
    #[command(subcommand)]
    Operator(Operator),
    /// Show the block authors; set session keys; add and remove authors
    #[command(after_help = AUTHOR_EXAMPLES)]
    Author {
        /// Change or check them [default: show them]
        #[command(subcommand)]
        command: Option<AuthorCommand>,
    },
    /// Reveal known-answer audits, which `poq ask --reference` makes; show and set the auditors
    #[command(subcommand, after_help = AUDIT_EXAMPLES)]
    Audit(AuditCommand),
    /// Show the economic parameters: pay of work, cost of faults, speed of standing
    #[command(after_help = PARAMETERS_EXAMPLES)]
    Parameters {
        /// Change or check them [default: show them]
        #[command(subcommand)]
        command: Option<ParametersCommand>,
    },
}

/// The place of the page.
#[derive(Debug, clap::Args)]
pub struct Web {
    /// Address and port to serve the page at; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
}

/// Parts of a light client's specification that the caller chooses.
#[derive(Debug, clap::Args)]
pub struct LightSpec {
    /// A node to begin with, as /dns/HOST/tcp/PORT/wss/p2p/PEER for browsers; may be repeated [default: those of the
    /// chain's specification; without any there, the node that is asked]
    #[arg(long = "boot-node", value_name = "MULTIADDRESS")]
    pub boot_nodes: Vec<String>,
}

/// Parts of a receipt that the caller chooses.
#[derive(Debug, clap::Args)]
pub struct MakeReceipt {
    /// Number of the request; it must be over, and its end final
    pub id: u64,

    /// Hash of the block that the receipt begins with [default: the genesis block]
    #[arg(long, value_name = "HASH", value_parser = hash, conflicts_with = "chain")]
    pub anchor: Option<[u8; 32]>,

    /// The chain's specification, raw: it has the state of the genesis block, which nodes forget
    #[arg(long, value_name = "FILE")]
    pub chain: Option<PathBuf>,
}

/// Expectations of a receipt.
#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The receipt; `-` is standard input
    pub file: PathBuf,

    /// Hash of the block that the receipt must begin with [default: the chain's genesis block, see below]
    #[arg(long, value_name = "HASH", value_parser = hash)]
    pub anchor: Option<[u8; 32]>,

    /// A text that must be one of the answers, to the letter
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub answer: Option<String>,
}

/// Requests to list.
#[derive(Debug, clap::Args)]
pub struct Requests {
    /// Only those of this account, among the newest 1,000: an address, or the name of a development account
    #[arg(value_name = "ADDRESS|NAME")]
    pub account: Option<String>,

    /// Most requests listed
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub count: usize,
}

/// Subcommands of `poq key`.
#[derive(Debug, Subcommand)]
pub enum Key {
    /// Write a new secret phrase of 12 words into a new file that only you can read, and print the address
    New {
        /// The new file
        file: PathBuf,
    },
    /// Print the address of the secret in a file
    Address {
        /// The file
        file: PathBuf,
    },
}

/// Say why an operator earns nothing, or little, and what to do first
#[derive(Debug, clap::Args)]
pub struct Why {
    /// The operator: an address, the name that `poq operators` shows, or its worker key
    pub operator: String,

    /// The operator's own node, asked about keys, peers and what its log calls wrong: its control socket, or its address
    #[arg(long, value_name = "SOCKET|URL", env = "POQ_NODE")]
    pub node: Option<Place>,
}

/// Subcommands of `poq audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Reveal the answer key, as an auditor; show what each answer deserved and the error of each quality validator
    #[command(after_help = AUDIT_EXAMPLES)]
    Reveal {
        /// The file that `poq ask --reference` has written
        file: PathBuf,
    },
    /// Show the accounts that reveal audits, or set them
    Auditors {
        /// Change or check them [default: show them]
        #[command(subcommand)]
        command: Option<AuditorsCommand>,
    },
}

/// Subcommands of `poq audit auditors`.
#[derive(Debug, Subcommand)]
pub enum AuditorsCommand {
    /// Set the accounts that reveal audits, in place of those that were, as the chain's sudo key
    Set {
        /// Their addresses
        #[arg(value_name = "ADDRESS", required = true)]
        accounts: Vec<String>,
    },
}

/// Subcommands of `poq channel`.
#[derive(Debug, Subcommand)]
pub enum ChannelCommand {
    /// List the channels of an account
    List {
        /// An address, or the name of a development account
        #[arg(value_name = "ADDRESS|NAME")]
        owner: String,
    },
    /// Show a channel
    Show {
        /// Number of the channel
        channel: u64,
    },
    /// Open a channel and pay its deposit
    Open(OpenChannel),
    /// Add to a channel's deposit
    TopUp {
        /// Number of the channel
        channel: u64,
        /// Amount, in POQ
        amount: Amount,
    },
    /// Take no orders after this epoch. What is left can be released two epochs later
    Close {
        /// Number of the channel
        channel: u64,
    },
    /// Pay what is left of a closed channel back to its owner
    Release {
        /// Number of the channel
        channel: u64,
    },
}

/// A new channel.
#[derive(Debug, clap::Args)]
pub struct OpenChannel {
    /// Deposit, in POQ
    pub deposit: Amount,

    /// File with the secret URI of the key that signs the orders; a new key is made if there is no such file
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,

    /// The most that one order may cost, in POQ [default: a tenth of the deposit]
    #[arg(long = "most", value_name = "AMOUNT")]
    pub most_per_order: Option<Amount>,

    /// Most orders in an epoch [default: half of what the deposit pays for]
    #[arg(long, value_name = "N")]
    pub orders: Option<u32>,
}

/// Subcommands of `poq author`.
#[derive(Debug, Subcommand)]
pub enum AuthorCommand {
    /// Have a node make session keys, and set them for the account that signs
    Keys {
        /// The node that is to author: its control socket, or its address [default: the one at --url]
        #[arg(long, value_name = "SOCKET|URL", env = "POQ_NODE")]
        node: Option<Place>,
    },
    /// Put an account with session keys on the list, as the chain's sudo key
    Add {
        /// Address of the author
        #[arg(value_name = "ADDRESS")]
        account: String,
    },
    /// Set the part of fees that the author of a block earns, as the chain's sudo key; the rest is burnt
    Share {
        /// The part, from 0 to 0.5
        #[arg(value_name = "PART", value_parser = parse_part)]
        part: u32,
    },
    /// Take an author off the list, as the chain's sudo key
    Remove {
        /// Address of the author
        #[arg(value_name = "ADDRESS")]
        account: String,
    },
}

/// Subcommands of `poq parameters`.
#[derive(Debug, Subcommand)]
pub enum ParametersCommand {
    /// Show whether the chain would take them, and the changes
    Check {
        /// The output of `poq parameters --json`, edited
        file: PathBuf,
    },
    /// Set them, as the chain's sudo key, for requests to come
    Set {
        /// The output of `poq parameters --json`, edited
        file: PathBuf,
    },
}

/// Ask a question, wait for the answer, and show what each operator was paid
#[derive(Debug, clap::Args)]
#[command(after_help = ASK_EXAMPLES)]
pub struct Ask {
    /// The question; it becomes public. `-` reads it from standard input
    #[arg(allow_hyphen_values = true, required_unless_present = "chat")]
    pub question: Option<String>,

    /// The prompt that question, system message and conversation are together.
    #[arg(skip)]
    pub prompt: String,

    /// A system message: how to answer
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,

    /// The conversation before the question, as JSON: [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    #[arg(long, value_name = "FILE")]
    pub chat: Option<PathBuf>,

    /// A generator that may answer; may be given more than once [default: all that somebody serves and whose context has room]
    #[arg(long = "generator", value_name = "NAME|HASH")]
    pub generators: Vec<String>,

    /// The evaluator that scores [default: the first that somebody serves]
    #[arg(long, value_name = "NAME|HASH")]
    pub evaluator: Option<String>,

    /// Answers wanted, each from another inference node [default: 2, or fewer if fewer can be drawn]
    #[arg(long, value_name = "N")]
    pub responders: Option<u32>,

    /// Quality validators wanted [default: 5, or fewer if fewer can be drawn, but never below the chain's min_committee]
    #[arg(long, value_name = "K")]
    pub committee: Option<u32>,

    /// An answer with a lower quality, 0.0 to 1.0, that is also clearly worse than its operator's usual (by `tolerance_most`) earns
    /// only the base part of its price. What it is worth above that goes to the chain
    #[arg(long, value_name = "Q", default_value = "0", value_parser = parse_part)]
    pub min_quality: u32,

    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub max_tokens: u32,

    /// Sampling temperature; 0 always takes the likeliest token
    #[arg(long, value_name = "T", default_value = "0", value_parser = parse_milli)]
    pub temperature: u32,

    /// Sample from the likeliest tokens that have this part of the probability together, 0.001 to 1
    #[arg(long, value_name = "P", default_value = "1", value_parser = parse_top_p)]
    pub top_p: u16,

    /// End the answer before this text; up to four times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,

    /// Seed of the sampler
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u32,

    /// Most to spend, in POQ [default: the chain's estimate]. More is a bonus for the inference nodes, by quality, and goes
    /// first when operators are busy
    #[arg(long, value_name = "POQ")]
    pub budget: Option<Amount>,

    /// Ask on the express lane, paid from the channel whose key is in this file: answered and scored in the time that the models
    /// take, and read by the drawn operators only. What the lane cannot take is asked on the chain path. See `poq channel --help`
    #[arg(long, value_name = "FILE", env = "POQ_EXPRESS_CHANNEL", conflicts_with = "reference")]
    pub express: Option<PathBuf>,

    /// Give up waiting after this many seconds, at most a year; the request goes on
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    pub timeout: u64,

    /// Do not ask before spending (nobody is asked on development chains nor in scripts)
    #[arg(long, short)]
    pub yes: bool,

    /// Make it an audit: an answer is right if it contains these words and no decoy. See `poq audit --help`
    #[arg(long, value_name = "TEXT", help_heading = AUDIT)]
    pub reference: Option<String>,

    /// A wrong answer that a list of many would hold too: an answer with it is wrong; may be given more than once
    #[arg(long = "decoy", value_name = "TEXT", requires = "reference", help_heading = AUDIT)]
    pub decoys: Vec<String>,

    /// Score that a right answer deserves [default: 0.9]
    #[arg(long, value_name = "Q", value_parser = parse_part, requires = "reference", help_heading = AUDIT)]
    pub right: Option<u32>,

    /// Score that a wrong answer deserves [default: 0.1]
    #[arg(long, value_name = "Q", value_parser = parse_part, requires = "reference", help_heading = AUDIT)]
    pub wrong: Option<u32>,

    /// New file for the answer key, which reveals the audit [default: audit-COMMITMENT.json]
    #[arg(long, value_name = "FILE", requires = "reference", help_heading = AUDIT)]
    pub audit_file: Option<PathBuf>,
}

/// Heading of the options of audits.
const AUDIT: &str = "Audit";

/// Bounds of a node that is well
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Health {
    /// Highest age of the newest block
    #[arg(long, value_name = "SECONDS", default_value_t = sync::BLOCK_AGE)]
    pub block_age: u64,

    /// Most blocks by which the finalized block is behind the best
    #[arg(long, value_name = "BLOCKS", default_value_t = sync::FINALITY_LAG)]
    pub finality_lag: u64,
}

/// Subcommands of `poq operator`.
#[derive(Debug, Subcommand)]
pub enum Operator {
    /// On the chain
    #[command(flatten)]
    Call(OperatorCall),
    /// Set the address of the engine at a node that starts none itself
    #[command(after_help = ENGINE_EXAMPLES)]
    Engine(EngineArgs),
    /// Sign, with a worker key, that it works for an operator, for `poq operator register --consent`
    #[command(after_help = CONSENT_EXAMPLES)]
    Consent(Consent),
}

/// Calls of an operator to the chain: each is one signed transaction.
#[derive(Debug, Subcommand)]
pub enum OperatorCall {
    /// Put balance on hold as stake
    Bond {
        /// Amount, in POQ
        amount: Amount,
    },
    /// Name the worker key and the models to serve, in place of those named before
    #[command(after_help = REGISTER_EXAMPLES)]
    Register(Register),
    /// Be drawn no more; open duties go on. Places on full rosters are kept for a while against operators that weigh less
    Chill,
    /// Be drawn again
    Resume,
    /// Set the most open work at a time; a number that is not given stays as it is
    #[command(after_help = CAPACITY_EXAMPLES)]
    Capacity {
        /// Tokens to generate, as an inference node
        #[arg(long, value_name = "N", required_unless_present = "pairs")]
        tokens: Option<u32>,
        /// Pairs of question and answer to score, as a quality validator
        #[arg(long, value_name = "N")]
        pairs: Option<u32>,
    },
    /// Send stake on its way out
    Unbond {
        /// Amount, in POQ
        amount: Amount,
    },
    /// Take out the stake whose time has come
    Withdraw,
    /// Take what was earned on the express lane
    Claim,
}

/// Worker key and models of an operator.
#[derive(Debug, clap::Args)]
pub struct Register {
    /// The worker key (sr25519, key type `poq!`): an address, 32 bytes in hex, or a development key [default: the key of
    /// --worker-suri-file, or the present one]
    #[arg(long, value_name = "PUBKEY|//PATH")]
    pub worker: Option<String>,

    /// File with the worker key's secret URI, which signs its consent
    #[arg(long, value_name = "FILE", conflicts_with = "consent")]
    pub worker_suri_file: Option<PathBuf>,

    /// The worker key's consent, made elsewhere by `poq operator consent`: 64 bytes in hex
    #[arg(long, value_name = "HEX", requires = "worker")]
    pub consent: Option<String>,

    /// A model to serve; may be given more than once
    #[arg(long = "model", value_name = "NAME|HASH", required = true)]
    pub models: Vec<String>,
}

/// A worker key's consent to work for an operator.
#[derive(Debug, clap::Args)]
pub struct Consent {
    /// File with the worker key's secret URI
    #[arg(long, value_name = "FILE")]
    pub worker_suri_file: PathBuf,

    /// The operator's account: an address or 32 bytes in hex
    #[arg(long, value_name = "ADDRESS")]
    pub operator: String,
}

/// Address and token of an engine.
#[derive(Debug, clap::Args)]
pub struct EngineArgs {
    /// Base address of the engine
    #[arg(value_name = "ENGINE-URL")]
    pub engine: String,

    /// File with the engine's token
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,

    /// The node: its control socket, or its address [default: the one at --url]
    #[arg(long, value_name = "SOCKET|URL", env = "POQ_NODE")]
    pub node: Option<Place>,

    /// Print the JSON-RPC call instead of making it. It holds the token
    #[arg(long)]
    pub print: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_quality_above_one_is_a_wrong_command_line() {
        assert!(Args::try_parse_from(["poq", "ask", "x", "--min-quality", "1.1"]).is_err());
        assert!(Args::try_parse_from(["poq", "ask", "x", "--min-quality", "0.5"]).is_ok());
    }

    #[test]
    fn an_answer_key_needs_a_reference() {
        assert!(Args::try_parse_from(["poq", "ask", "x", "--right", "1"]).is_err());
        assert!(Args::try_parse_from(["poq", "ask", "x", "--reference", "y", "--right", "1"]).is_ok());
    }

    #[test]
    fn a_decoy_needs_a_reference() {
        assert!(Args::try_parse_from(["poq", "ask", "x", "--decoy", "z"]).is_err());
        let decoys = ["--decoy", "z", "--decoy", "w"];
        let args = [&["poq", "ask", "x", "--reference", "y"][..], &decoys].concat();
        let Command::Ask(ask) = Args::try_parse_from(args).unwrap().command else {
            panic!("another command")
        };
        assert_eq!(ask.decoys, ["z", "w"]);
    }

    #[test]
    fn a_capacity_names_one_number_at_least() {
        let capacity = |args: &[&str]| {
            let args = Args::try_parse_from([&["poq", "operator", "capacity"], args].concat());
            match args.map(|args| args.command) {
                Ok(Command::Operator(Operator::Call(OperatorCall::Capacity { tokens, pairs }))) => {
                    Some((tokens, pairs))
                }
                _ => None,
            }
        };
        assert_eq!(capacity(&["--tokens", "0"]), Some((Some(0), None)));
        assert_eq!(capacity(&["--pairs", "8"]), Some((None, Some(8))));
        assert_eq!(capacity(&["--pairs", "8", "--tokens", "4096"]), Some((Some(4_096), Some(8))));
        for bad in [&[][..], &["8"], &["--pairs", "-1"], &["--pairs", "4294967296"]] {
            assert_eq!(capacity(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_consent_is_made_here_or_brought_and_not_both() {
        let register = |args: &[&str]| {
            let usual = ["poq", "operator", "register", "--model", "m"];
            Args::try_parse_from([&usual[..], args].concat()).is_ok()
        };
        assert!(register(&[]) && register(&["--worker", "w"]) && register(&["--worker-suri-file", "f"]));
        assert!(register(&["--worker", "w", "--consent", "0x00"]));
        assert!(!register(&["--consent", "0x00"]), "of which key?");
        assert!(!register(&["--worker", "w", "--worker-suri-file", "f", "--consent", "0x00"]));
    }

    #[test]
    fn an_account_comes_from_one_place() {
        assert!(Args::try_parse_from(["poq", "--from", "alice", "--suri-file", "f", "status"]).is_err());
    }
}
