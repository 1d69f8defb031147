//! What keeps this node from doing its part, and how to mend it: one line each.

use poq_runtime::{currency::POQ, AccountId, Balance};
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// Bytes that should be left on the disk with the chain's data: time enough to make room.
pub const LITTLE_DISK: u64 = 512 * 1024 * 1024;

/// Something that is wrong. Two are the same if they are equal: what changes with time does not belong here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Problem {
    /// Started with `--validator`, but the keystore lacks a kind of session key.
    NoSessionKey(SessionKey),
    /// The keystore has session keys of this kind, but the chain does not count any of them among its authors.
    NotAnAuthor(SessionKey),
    /// An engine was asked for, but no worker key is there to use it.
    NoWorkerKey,
    /// Worker keys, but the node was told to run no off-chain workers.
    NoOffchainWorkers,
    /// A worker key that no operator has named.
    UnknownWorker {
        /// The key.
        worker: AccountId,
    },
    /// An operator of this node has less stake than the minimum.
    StakeTooSmall {
        /// The operator.
        operator: AccountId,
        /// Its stake at work.
        stake: Balance,
        /// What is needed.
        least: Balance,
    },
    /// An operator of this node has taken itself out of draws.
    Chilled {
        /// The operator.
        operator: AccountId,
    },
    /// An operator of this node serves nothing that anyone can still ask for.
    NoModels {
        /// The operator.
        operator: AccountId,
    },
    /// An operator of this node was struck out of the rosters of all its models.
    NotOnARoster {
        /// The operator.
        operator: AccountId,
    },
    /// Nobody has told the driver of an engine.
    NoEngine,
    /// The engine does not answer.
    EngineDown {
        /// Its address; none if it is this node's child, which listens somewhere else after each start.
        url: Option<String>,
        /// What happened, without anything that changes from try to try.
        why: String,
    },
    /// The engine wants another token.
    EngineRefuses {
        /// Its address.
        url: String,
    },
    /// The engine is not of this node's version.
    EngineVersion {
        /// Its version.
        engine: String,
        /// This node's.
        node: &'static str,
    },
    /// The engine cannot do the work of a model that an operator serves.
    ModelMissing {
        /// The model's name, from the chain.
        model: String,
        /// Its hash in hex.
        id: String,
        /// Whom it costs slashes.
        operator: AccountId,
        /// What the engine says of it, if it has it.
        broken: Option<String>,
    },
    /// Another process works with this worker key.
    TwoProcesses {
        /// The key.
        worker: AccountId,
    },
    /// A file with a secret can be read by others.
    OpenFile {
        /// The file or folder.
        path: PathBuf,
    },
    /// Nobody to learn blocks from.
    NoPeers,
    /// The disk with the chain's data has less room than [`LITTLE_DISK`]: when it is full the node stops.
    LittleDisk {
        /// The folder of the data.
        data: PathBuf,
    },
    /// The chain's runtime is younger than this node.
    OldNode {
        /// The chain's `spec_version`.
        chain: u32,
        /// The newest that this node knows.
        node: u32,
    },
}

/// The keys of a block author.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionKey {
    /// Claims slots.
    Babe,
    /// Votes on finality.
    Grandpa,
}

impl SessionKey {
    const fn name(self) -> &'static str {
        match self {
            Self::Babe => "BABE",
            Self::Grandpa => "GRANDPA",
        }
    }

    /// Key type and scheme, as `key insert` takes them.
    const fn options(self) -> &'static str {
        match self {
            Self::Babe => "--key-type babe --scheme sr25519",
            Self::Grandpa => "--key-type gran --scheme ed25519",
        }
    }

    const fn does(self) -> &'static str {
        match self {
            Self::Babe => "authors no blocks",
            Self::Grandpa => "does not vote on finality",
        }
    }
}

impl Problem {
    /// Its kind, as a label of metrics and for scripts.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoSessionKey(_) => "no_session_key",
            Self::NotAnAuthor(_) => "not_an_author",
            Self::NoWorkerKey => "no_worker_key",
            Self::NoOffchainWorkers => "no_offchain_workers",
            Self::UnknownWorker { .. } => "unknown_worker",
            Self::StakeTooSmall { .. } => "stake_too_small",
            Self::Chilled { .. } => "chilled",
            Self::NoModels { .. } => "no_models",
            Self::NotOnARoster { .. } => "not_on_a_roster",
            Self::NoEngine => "no_engine",
            Self::EngineDown { .. } => "engine_down",
            Self::EngineRefuses { .. } => "engine_refuses",
            Self::EngineVersion { .. } => "engine_version",
            Self::ModelMissing { .. } => "model_missing",
            Self::TwoProcesses { .. } => "two_processes",
            Self::OpenFile { .. } => "open_file",
            Self::NoPeers => "no_peers",
            Self::LittleDisk { .. } => "little_disk",
            Self::OldNode { .. } => "old_node",
        }
    }

    /// Every kind, so that metrics show zeros.
    pub const KINDS: [&'static str; 19] = [
        "no_session_key",
        "not_an_author",
        "no_worker_key",
        "no_offchain_workers",
        "unknown_worker",
        "stake_too_small",
        "chilled",
        "no_models",
        "not_on_a_roster",
        "no_engine",
        "engine_down",
        "engine_refuses",
        "engine_version",
        "model_missing",
        "two_processes",
        "open_file",
        "no_peers",
        "little_disk",
        "old_node",
    ];

    /// Whether it is found without looking at the chain.
    pub const fn is_of_machine(&self) -> bool {
        matches!(self, Self::NoPeers | Self::LittleDisk { .. } | Self::OpenFile { .. })
    }

    /// How many looks in a row must find it before it is said: what mends itself in moments is not worth a line.
    pub const fn patience(&self) -> u32 {
        match self {
            // A child takes a while to start, and is started again when it dies.
            Self::NoEngine | Self::NoPeers | Self::EngineDown { url: None, .. } => 12,
            Self::EngineDown { .. } | Self::EngineRefuses { .. } | Self::EngineVersion { .. } => 2,
            Self::ModelMissing { .. } => 2,
            _ => 1,
        }
    }
}

/// What the commands that mend something are called with on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What names chain and data folder: `--chain local --base-path DIR`, or `--dev`.
    pub options: String,
    /// The folder of the child engine's models.
    pub models: PathBuf,
}

/// A problem as a person reads it.
pub struct Line<'a>(pub &'a Problem, pub &'a Place);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(problem, Place { options, models }) = self;
        match problem {
            Problem::NoSessionKey(key) => write!(
                f,
                "started as a block author, but the keystore has no {} key, so this node {}: `poq author keys` makes and registers one, `poq-node key insert {options} {} --suri FILE` brings one along",
                key.name(),
                key.does(),
                key.options(),
            ),
            Problem::NotAnAuthor(key) => write!(
                f,
                "started as a block author, but the chain knows none of this node's {} keys as an author's, so it {}: insert the key that was registered (`poq-node key insert {options} {} --suri FILE`), register this node's (`poq author`), or leave --validator out",
                key.name(),
                key.does(),
                key.options(),
            ),
            Problem::NoWorkerKey => write!(
                f,
                "an engine was asked for, but the keystore has no worker key, so this node works for no operator: `poq-node key insert {options} --key-type 'poq!' --scheme sr25519 --suri FILE`",
            ),
            Problem::NoOffchainWorkers => write!(
                f,
                "the keystore has worker keys, but off-chain workers are off, so no work is done: start the node without --offchain-worker",
            ),
            Problem::UnknownWorker { worker } => write!(
                f,
                "worker key {worker} belongs to no operator: `poq --suri-file FILE operator register --worker {worker} --worker-suri-file WORKER --model NAME` (bond a stake first: `poq --suri-file FILE operator bond AMOUNT`)",
            ),
            Problem::StakeTooSmall { operator, stake, least } => write!(
                f,
                "operator {operator} cannot be drawn: its stake of {} POQ is below the minimum of {} for the models that it serves: `poq --suri-file FILE operator bond {}`",
                Poq(*stake),
                Poq(*least),
                Poq(least.saturating_sub(*stake)),
            ),
            Problem::Chilled { operator } => write!(
                f,
                "operator {operator} cannot be drawn, because it is chilled: `poq --suri-file FILE operator resume`",
            ),
            Problem::NoModels { operator } => write!(
                f,
                "operator {operator} serves only models that are retired: `poq models`, then `poq --suri-file FILE operator register --worker KEY --model NAME` (its key stays, so it need not agree again)",
            ),
            Problem::NotOnARoster { operator } => write!(
                f,
                "operator {operator} stands in no roster of its models, so it is not drawn: its stake fell, or a full roster's place went to who weighs more. `poq --suri-file FILE operator bond AMOUNT`, or chill and resume",
            ),
            Problem::NoEngine => write!(
                f,
                "the keystore has worker keys, but no engine is known, so no work is done: start the node with --engine auto, or with --engine URL --engine-token-file FILE",
            ),
            Problem::EngineDown { url: None, why } => write!(
                f,
                "this node's engine does not answer ({why}), so no work is done: the lines of poq::engine above say why it does not start; `poq-worker check --models {}` looks at its models",
                models.display(),
            ),
            Problem::EngineDown { url: Some(url), why } => write!(
                f,
                "the engine at {url} does not answer ({why}), so no work is done: start it there (`poq-worker serve`), or name another with --engine URL --engine-token-file FILE",
            ),
            Problem::EngineRefuses { url } => write!(
                f,
                "the engine at {url} refuses the token: put the engine's own (the file that its --token-file names) into the file of --engine-token-file and start the node again",
            ),
            Problem::EngineVersion { engine, node } => write!(
                f,
                "the engine is of version {engine} and this node of {node}: install the same release of poq-worker and poq-node",
            ),
            Problem::ModelMissing { model, id, operator, broken: None } => write!(
                f,
                "operator {operator} serves {model}, but the engine has no file for it, so each duty is a miss: `poq-worker models add SOURCE --models {}` (its id must be {id}), or register without it",
                models.display(),
            ),
            Problem::ModelMissing { model, operator, broken: Some(why), .. } => write!(
                f,
                "operator {operator} serves {model}, but the engine cannot use it ({why}), so each duty is a miss: `poq-worker check --models {}` says more",
                models.display(),
            ),
            Problem::TwoProcesses { worker } => write!(
                f,
                "another process works with worker key {worker}: its reports are in blocks, and this node did not send them. One of the two will break the other's commitments: stop one, or give each operator a worker key of its own",
            ),
            Problem::OpenFile { path } => {
                write!(f, "other users can read {0}: `chmod -R go= {0}`", path.display())
            }
            Problem::NoPeers => f.write_str(
                "the node has no peers, so it learns of no blocks and nothing that it sends arrives: let others reach its port \
                 (30333), or start the node with --bootnodes ADDRESS of a node of the same genesis",
            ),
            Problem::LittleDisk { data } => write!(
                f,
                "the disk with {} has less than {} MiB left, and the node stops when it is full: make room, or start the node with --blocks-pruning 256 and a new database",
                data.display(),
                LITTLE_DISK / (1024 * 1024),
            ),
            Problem::OldNode { chain, node } => write!(
                f,
                "the chain's runtime is of version {chain} and this node was built for {node}: it follows the chain, but install the newer release; what it says of operators may be wrong until then",
            ),
        }
    }
}

impl Line<'_> {
    /// What is wrong, without what to do.
    pub fn what(&self) -> String {
        let line = self.to_string();
        // What to do begins after a colon, in most lines with a command.
        line.split_once(": `").map_or(line.clone(), |(what, _)| what.to_owned())
    }
}

/// An amount as people write it.
struct Poq(Balance);

impl fmt::Display for Poq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, parts) = (self.0.div_euclid(POQ), self.0.rem_euclid(POQ));
        if parts == 0 {
            return write!(f, "{whole}");
        }
        let parts = format!("{parts:012}");
        write!(f, "{whole}.{}", parts.trim_end_matches('0'))
    }
}

/// The problems there are, and which of them were said.
#[derive(Debug, Default)]
pub struct Board {
    looks: BTreeMap<Problem, u32>,
}

/// What changed on the board.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// To be said now.
    pub new: Vec<Problem>,
    /// Said once, and gone.
    pub mended: Vec<Problem>,
}

impl Board {
    /// Takes what a look has found in place of what the look before had.
    pub fn look(&mut self, found: impl IntoIterator<Item = Problem>) -> Change {
        let before = std::mem::take(&mut self.looks);
        let mut change = Change::default();
        for problem in found {
            let looks = before.get(&problem).copied().unwrap_or_default().saturating_add(1);
            if looks == problem.patience() {
                change.new.push(problem.clone());
            }
            self.looks.insert(problem, looks);
        }
        let gone = before
            .into_iter()
            .filter(|(problem, looks)| *looks >= problem.patience() && !self.looks.contains_key(problem));
        change.mended = gone.map(|(problem, _)| problem).collect();
        change
    }

    /// What was said and still holds.
    pub fn said(&self) -> impl Iterator<Item = &Problem> {
        self.looks.iter().filter(|(problem, looks)| **looks >= problem.patience()).map(|(problem, _)| problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { options: "--chain local --base-path DIR".into(), models: "DIR/models".into() }
    }

    fn operator() -> AccountId {
        AccountId::new([1; 32])
    }

    fn one_of_each() -> Vec<Problem> {
        let (operator, worker) = (operator(), operator());
        vec![
            Problem::NoSessionKey(SessionKey::Babe),
            Problem::NotAnAuthor(SessionKey::Grandpa),
            Problem::NoWorkerKey,
            Problem::NoOffchainWorkers,
            Problem::UnknownWorker { worker: worker.clone() },
            Problem::StakeTooSmall { operator: operator.clone(), stake: POQ / 2, least: 1_000 * POQ },
            Problem::Chilled { operator: operator.clone() },
            Problem::NoModels { operator: operator.clone() },
            Problem::NotOnARoster { operator: operator.clone() },
            Problem::NoEngine,
            Problem::EngineDown { url: Some("http://x".into()), why: "refused".into() },
            Problem::EngineRefuses { url: "http://x".into() },
            Problem::EngineVersion { engine: "0.0.1".into(), node: "0.1.0" },
            Problem::ModelMissing { model: "m".into(), id: "00".into(), operator, broken: None },
            Problem::TwoProcesses { worker },
            Problem::OpenFile { path: "keystore".into() },
            Problem::NoPeers,
            Problem::LittleDisk { data: "DIR/chains/ID".into() },
            Problem::OldNode { chain: 3, node: 2 },
        ]
    }

    #[test]
    fn each_kind_is_listed_and_each_line_is_one_line_with_something_to_do() {
        let problems = one_of_each();
        let kinds: Vec<_> = problems.iter().map(Problem::kind).collect();
        assert_eq!(kinds, Problem::KINDS);
        for problem in &problems {
            let line = Line(problem, &place()).to_string();
            assert_eq!(line.lines().count(), 1, "{line}");
            let tells = ["`", "start the node", "install", "stop one", "put the engine's", "make room"];
            assert!(tells.iter().any(|word| line.contains(word)), "{line}");
        }
    }

    #[test]
    fn amounts_are_what_poq_takes() {
        let problem = &one_of_each()[5];
        let place = place();
        let line = Line(problem, &place);
        assert!(
            line.what().ends_with("below the minimum of 1000 for the models that it serves"),
            "{}",
            line.what()
        );
        let line = line.to_string();
        assert!(line.contains("its stake of 0.5 POQ is below the minimum of 1000 for the models"), "{line}");
        assert!(line.ends_with("operator bond 999.5`"), "{line}");
    }

    #[test]
    fn a_problem_is_said_once_until_it_is_mended() {
        let mut board = Board::default();
        let chilled = || vec![Problem::Chilled { operator: operator() }];
        assert_eq!(board.look(chilled()).new, chilled());
        assert_eq!(board.look(chilled()), Change::default());
        assert_eq!(board.said().count(), 1);
        assert_eq!(board.look([]).mended, chilled());
        assert_eq!(board.look([]), Change::default());
        assert_eq!(board.look(chilled()).new, chilled());
    }

    #[test]
    fn what_mends_itself_in_moments_is_not_said() {
        let mut board = Board::default();
        for _ in 1..Problem::NoEngine.patience() {
            assert_eq!(board.look([Problem::NoEngine]), Change::default());
        }
        assert_eq!(board.said().count(), 0);
        assert_eq!(board.look([]), Change::default(), "it was never said, so nothing was mended");
        for look in 1..=Problem::NoEngine.patience() {
            let new = board.look([Problem::NoEngine]).new;
            assert_eq!(new.len(), usize::from(look == Problem::NoEngine.patience()));
        }
    }
}
