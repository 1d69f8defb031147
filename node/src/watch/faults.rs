//! The faults that the watch finds, each with its sentence and its remedy.

use poq_primitives::problem::{Problem, Severity};
use poq_runtime::{currency::POQ, AccountId, Balance};
use std::{collections::BTreeMap, fmt, path::PathBuf};

/// Free space on the disk of the chain's data below which the watch warns, in bytes. It leaves time to make room.
pub const LITTLE_DISK: u64 = 512 * 1024 * 1024;

/// A fault of this node or its operators. Equal faults are the same fault, so nothing here may change with time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Started with `--validator`, but the keystore lacks a kind of session key.
    NoSessionKey(SessionKey),
    /// The keystore has session keys of this kind, but the chain does not count any of them among its authors.
    NotAnAuthor(SessionKey),
    /// An engine was asked for, but the keystore has no worker key.
    NoWorkerKey,
    /// The keystore has worker keys, but off-chain workers are off.
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
        /// The least stake for its models.
        least: Balance,
    },
    /// An operator of this node is chilled.
    Chilled {
        /// The operator.
        operator: AccountId,
    },
    /// An operator of this node serves retired models only.
    NoModels {
        /// The operator.
        operator: AccountId,
    },
    /// An operator of this node was struck out of the rosters of all its models.
    NotOnARoster {
        /// The operator.
        operator: AccountId,
    },
    /// The off-chain database holds no address of an engine.
    NoEngine,
    /// The engine does not answer.
    EngineDown {
        /// Its address; none if it is this node's child, which listens somewhere else after each start.
        url: Option<String>,
        /// The cause, without what changes from try to try.
        why: String,
    },
    /// The engine wants another token.
    EngineRefuses {
        /// Its address.
        url: String,
    },
    /// The engine is of another version than this node.
    EngineVersion {
        /// Its version.
        engine: String,
        /// This node's version.
        node: &'static str,
    },
    /// The engine cannot do the work of a model that an operator serves.
    ModelMissing {
        /// The model's name, from the chain.
        model: String,
        /// Its hash in hex.
        id: String,
        /// The operator that is slashed for it.
        operator: AccountId,
        /// The engine's reason, if it has the model and cannot use it.
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
    /// The node has no peers.
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
        /// The newest `spec_version` that this node knows.
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

impl Fault {
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

    /// Whether it is found without reading the chain.
    pub const fn is_of_machine(&self) -> bool {
        matches!(self, Self::NoPeers | Self::LittleDisk { .. } | Self::OpenFile { .. })
    }

    /// Looks in a row that must find the fault before it is logged. A fault that mends itself in moments is not worth a line.
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

/// Options of the commands that mend something on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Options of `poq-node` that name chain and data folder: `--chain local --base-path DIR`, or `--dev`.
    pub options: String,
    /// The folder of the child engine's models.
    pub models: PathBuf,
    /// The control socket, where commands of `poq` reach the node.
    pub control: Option<PathBuf>,
}

impl Place {
    /// The option of `poq` that names this node.
    fn node(&self) -> String {
        let control = self.control.as_ref();
        control.map_or_else(String::new, |control| format!(" --node {}", control.display()))
    }
}

impl Fault {
    /// The fault as logs, metrics and clients have it.
    pub fn problem(&self, place: &Place) -> Problem {
        Problem {
            kind: self.kind().to_owned(),
            severity: self.severity(),
            subject: self.subject(),
            what: self.what(),
            remedy: self.remedy(place),
        }
    }

    /// Cost for an operator that the fault is about.
    const fn severity(&self) -> Severity {
        match self {
            Self::NoSessionKey(_)
            | Self::NotAnAuthor(_)
            | Self::EngineVersion { .. }
            | Self::OpenFile { .. }
            | Self::OldNode { .. } => Severity::Note,
            Self::TwoProcesses { .. } | Self::LittleDisk { .. } => Severity::Costs,
            _ => Severity::Stops,
        }
    }

    /// The operator, worker key, file or URL of the fault; empty if it is the node.
    fn subject(&self) -> String {
        match self {
            Self::UnknownWorker { worker } | Self::TwoProcesses { worker } => worker.to_string(),
            Self::StakeTooSmall { operator, .. }
            | Self::Chilled { operator }
            | Self::NoModels { operator }
            | Self::NotOnARoster { operator }
            | Self::ModelMissing { operator, .. } => operator.to_string(),
            Self::EngineDown { url: Some(url), .. } | Self::EngineRefuses { url } => url.clone(),
            Self::OpenFile { path } | Self::LittleDisk { data: path } => path.display().to_string(),
            _ => String::new(),
        }
    }

    /// The fault, in words.
    pub fn what(&self) -> String {
        match self {
            Self::NoSessionKey(key) => format!(
                "started as a block author, but the keystore has no {} key, so this node {}",
                key.name(),
                key.does(),
            ),
            Self::NotAnAuthor(key) => format!(
                "started as a block author, but the chain knows none of this node's {} keys as an author's, so it {}",
                key.name(),
                key.does(),
            ),
            Self::NoWorkerKey => {
                "an engine was asked for, but the keystore has no worker key, so this node works for no operator".into()
            }
            Self::NoOffchainWorkers => {
                "the keystore has worker keys, but off-chain workers are off, so no work is done".into()
            }
            Self::UnknownWorker { worker } => format!("worker key {worker} belongs to no operator"),
            Self::StakeTooSmall { operator, stake, least } => format!(
                "operator {operator} cannot be drawn: its stake of {} POQ is below the minimum of {} for the models that it serves",
                Poq(*stake),
                Poq(*least),
            ),
            Self::Chilled { operator } => format!("operator {operator} cannot be drawn, because it is chilled"),
            Self::NoModels { operator } => format!("operator {operator} serves only models that are retired"),
            Self::NotOnARoster { operator } => format!(
                "operator {operator} stands in no roster of its models, so it is not drawn: its stake fell, or an operator with more weight took its place on a full roster",
            ),
            Self::NoEngine => {
                "the keystore has worker keys, but no engine is known, so no work is done".into()
            }
            Self::EngineDown { url: None, why } => {
                format!("this node's engine does not answer ({why}), so no work is done")
            }
            Self::EngineDown { url: Some(url), why } => {
                format!("the engine at {url} does not answer ({why}), so no work is done")
            }
            Self::EngineRefuses { url } => format!("the engine at {url} refuses the token"),
            Self::EngineVersion { engine, node } => {
                format!("the engine is of version {engine} and this node of {node}")
            }
            Self::ModelMissing { model, operator, broken: None, .. } => format!(
                "operator {operator} serves {model}, but the engine has no file for it, so each duty is a miss",
            ),
            Self::ModelMissing { model, operator, broken: Some(why), .. } => format!(
                "operator {operator} serves {model}, but the engine cannot use it ({why}), so each duty is a miss",
            ),
            Self::TwoProcesses { worker } => format!(
                "another process works with worker key {worker}: its reports are in blocks, and this node did not send them. One of the two will break the other's commitments",
            ),
            Self::OpenFile { path } => format!("other users can read {}", path.display()),
            Self::NoPeers => {
                "the node has no peers, so it learns of no blocks and nothing that it sends arrives".into()
            }
            Self::LittleDisk { data } => format!(
                "the disk with {} has less than {} MiB left, and the node stops when it is full",
                data.display(),
                LITTLE_DISK / (1024 * 1024),
            ),
            Self::OldNode { chain, node } => format!(
                "the chain's runtime is of version {chain} and this node was built for {node}: it follows the chain, but what it says of operators may be wrong",
            ),
        }
    }

    /// The remedy, in words.
    fn remedy(&self, place: &Place) -> String {
        let Place { options, models, .. } = place;
        match self {
            Self::NoSessionKey(key) => format!(
                "`poq --suri-file FILE author keys{}` makes and registers one, `poq-node key insert {options} {} --suri FILE` inserts one that is made already",
                place.node(),
                key.options(),
            ),
            Self::NotAnAuthor(key) => format!(
                "insert the key that was registered (`poq-node key insert {options} {} --suri FILE`), register this node's (`poq author`), or leave --validator out",
                key.options(),
            ),
            Self::NoWorkerKey => {
                format!("`poq-node key insert {options} --key-type 'poq!' --scheme sr25519 --suri FILE`")
            }
            Self::NoOffchainWorkers => "start the node without --offchain-worker".into(),
            Self::UnknownWorker { worker } => format!(
                "`poq --suri-file FILE operator register --worker {worker} --worker-suri-file WORKER --model NAME` (bond a stake first: `poq --suri-file FILE operator bond AMOUNT`)",
            ),
            Self::StakeTooSmall { stake, least, .. } => {
                format!("`poq --suri-file FILE operator bond {}`", Poq(least.saturating_sub(*stake)))
            }
            Self::Chilled { .. } => "`poq --suri-file FILE operator resume`".into(),
            Self::NoModels { .. } => {
                "`poq models`, then `poq --suri-file FILE operator register --worker KEY --model NAME` (its key stays, so it need not agree again)".into()
            }
            Self::NotOnARoster { .. } => {
                "`poq --suri-file FILE operator bond AMOUNT`, or chill and resume".into()
            }
            Self::NoEngine => {
                "start the node with --engine auto, or with --engine URL --engine-token-file FILE".into()
            }
            Self::EngineDown { url: None, .. } => format!(
                "the lines of poq::engine above say why it does not start; `poq-worker check --models {}` looks at its models",
                models.display(),
            ),
            Self::EngineDown { url: Some(_), .. } => {
                "start it there (`poq-worker serve`), or name another with --engine URL --engine-token-file FILE".into()
            }
            Self::EngineRefuses { .. } => {
                "put the engine's own token (the file that its --token-file names) into the file of --engine-token-file and start the node again".into()
            }
            Self::EngineVersion { .. } => "install the same release of poq-worker and poq-node".into(),
            Self::ModelMissing { id, broken: None, .. } => format!(
                "`poq-worker models add SOURCE --models {}` (its id must be {id}), or register without it",
                models.display(),
            ),
            Self::ModelMissing { broken: Some(_), .. } => {
                format!("`poq-worker check --models {}` says more", models.display())
            }
            Self::TwoProcesses { .. } => "stop one, or give each operator a worker key of its own".into(),
            Self::OpenFile { path } => format!("`chmod -R go= {}`", path.display()),
            Self::NoPeers => {
                "let others reach its port (30333), or start the node with --bootnodes ADDRESS of a node of the same genesis".into()
            }
            Self::LittleDisk { .. } => {
                "make room, or start the node with --blocks-pruning 256 and a new database".into()
            }
            Self::OldNode { .. } => "install the newer release".into(),
        }
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

/// The faults found, and the number of looks that found each.
#[derive(Debug, Default)]
pub struct Board {
    looks: BTreeMap<Fault, u32>,
}

/// Changes of the board.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Faults to log now.
    pub new: Vec<Fault>,
    /// Faults that were logged and are gone.
    pub mended: Vec<Fault>,
}

impl Board {
    /// Replaces the faults of the look before by those of this one.
    pub fn look(&mut self, found: impl IntoIterator<Item = Fault>) -> Change {
        let before = std::mem::take(&mut self.looks);
        let mut change = Change::default();
        for fault in found {
            let looks = before.get(&fault).copied().unwrap_or_default().saturating_add(1);
            if looks == fault.patience() {
                change.new.push(fault.clone());
            }
            self.looks.insert(fault, looks);
        }
        let gone = before
            .into_iter()
            .filter(|(fault, looks)| *looks >= fault.patience() && !self.looks.contains_key(fault));
        change.mended = gone.map(|(fault, _)| fault).collect();
        change
    }

    /// Faults that were logged and still hold.
    pub fn said(&self) -> impl Iterator<Item = &Fault> {
        self.looks.iter().filter(|(fault, looks)| **looks >= fault.patience()).map(|(fault, _)| fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            options: "--chain local --base-path DIR".into(),
            models: "DIR/models".into(),
            control: Some("DIR/control.sock".into()),
        }
    }

    fn operator() -> AccountId {
        AccountId::new([1; 32])
    }

    fn one_of_each() -> Vec<Fault> {
        let (operator, worker) = (operator(), operator());
        vec![
            Fault::NoSessionKey(SessionKey::Babe),
            Fault::NotAnAuthor(SessionKey::Grandpa),
            Fault::NoWorkerKey,
            Fault::NoOffchainWorkers,
            Fault::UnknownWorker { worker: worker.clone() },
            Fault::StakeTooSmall { operator: operator.clone(), stake: POQ / 2, least: 1_000 * POQ },
            Fault::Chilled { operator: operator.clone() },
            Fault::NoModels { operator: operator.clone() },
            Fault::NotOnARoster { operator: operator.clone() },
            Fault::NoEngine,
            Fault::EngineDown { url: Some("http://x".into()), why: "refused".into() },
            Fault::EngineRefuses { url: "http://x".into() },
            Fault::EngineVersion { engine: "0.0.1".into(), node: "0.1.0" },
            Fault::ModelMissing { model: "m".into(), id: "00".into(), operator, broken: None },
            Fault::TwoProcesses { worker },
            Fault::OpenFile { path: "keystore".into() },
            Fault::NoPeers,
            Fault::LittleDisk { data: "DIR/chains/ID".into() },
            Fault::OldNode { chain: 3, node: 2 },
        ]
    }

    #[test]
    fn each_kind_is_listed_and_each_line_is_one_line_with_something_to_do() {
        let faults = one_of_each();
        let kinds: Vec<_> = faults.iter().map(Fault::kind).collect();
        assert_eq!(kinds, Fault::KINDS);
        for fault in &faults {
            let problem = fault.problem(&place());
            for text in [&problem.what, &problem.remedy] {
                assert!(!text.is_empty() && text.lines().count() == 1 && !text.ends_with('.'), "{text}");
            }
            let tells =
                ["`", "start the node", "install", "stop one", "put the engine's", "make room", "let others"];
            assert!(tells.iter().any(|word| problem.remedy.contains(word)), "{problem}");
            assert!(problem.what.contains(&problem.subject), "{problem}");
        }
    }

    #[test]
    fn amounts_are_what_poq_takes() {
        let problem = one_of_each()[5].problem(&place());
        let ends = "its stake of 0.5 POQ is below the minimum of 1000 for the models that it serves";
        assert!(problem.what.ends_with(ends), "{problem}");
        assert_eq!(problem.remedy, "`poq --suri-file FILE operator bond 999.5`");
        assert_eq!(problem.subject, operator().to_string());
    }

    #[test]
    fn a_fault_is_said_once_until_it_is_mended() {
        let mut board = Board::default();
        let chilled = || vec![Fault::Chilled { operator: operator() }];
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
        for _ in 1..Fault::NoEngine.patience() {
            assert_eq!(board.look([Fault::NoEngine]), Change::default());
        }
        assert_eq!(board.said().count(), 0);
        assert_eq!(board.look([]), Change::default(), "it was never said, so nothing was mended");
        for look in 1..=Fault::NoEngine.patience() {
            let new = board.look([Fault::NoEngine]).new;
            assert_eq!(new.len(), usize::from(look == Fault::NoEngine.patience()));
        }
    }
}
