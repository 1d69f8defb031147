//! The chain that is signed for: pinned by a hash, or by the first use of an address; and the account that signs.

use crate::common::{parse, text, Node};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A user with a folder for configuration.
struct User<'a> {
    config: &'a Path,
    url: String,
}

impl User<'_> {
    fn poq(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_poq"));
        command.env_remove("POQ_SURI").env_remove("POQ_GENESIS").env("XDG_CONFIG_HOME", self.config);
        command.env("POQ_URL", &self.url).args(args).output().unwrap()
    }

    /// Standard error of a command that ends with this code.
    fn said(&self, code: i32, args: &[&str]) -> String {
        let output = self.poq(args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        said
    }

    fn files(&self) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.config.join("proof-of-quality/chains"));
        folder.map_or_else(|_| Vec::new(), |entries| entries.map(|entry| entry.unwrap().path()).collect())
    }
}

const TRANSFER: [&str; 5] = ["--from", "bob", "send", "charlie", "1"];

const NO_TLS: &str = "warning: this transaction goes to a remote node without TLS";

#[test]
fn a_chain_is_pinned_and_the_account_that_signs_is_said() {
    let node = Node::start_with(&["--engine", "off", "--rpc-external"]);
    let folder = tempfile::tempdir().unwrap();
    let port = node.url().rsplit(':').next().unwrap().to_owned();
    let near = User { config: folder.path(), url: format!("ws://127.0.0.1:{port}") };
    // An address that is not within this machine by its looks, and leads to the same node.
    let far = User { config: folder.path(), url: format!("ws://0.0.0.0:{port}") };
    let bob = parse(&near.poq(&["--from", "bob", "balance", "--json"]).stdout)["account"].clone();
    let bob = bob.as_str().unwrap();

    // Within this machine nothing is remembered.
    let said = near.said(0, &TRANSFER);
    assert!(said.starts_with(&format!("signing as {bob} (the development account bob)\n")), "{said}");
    assert!(!said.contains(NO_TLS), "{said}");
    assert!(near.files().is_empty());
    let sent = near.poq(&[&TRANSFER[..], &["--json"]].concat());
    assert_eq!(parse(&sent.stdout)["signer"], bob);
    assert!(!text(&sent.stderr).contains("signing as"), "{}", text(&sent.stderr));

    // The first use of another address, and those after it.
    let first = far.said(0, &["models"]);
    assert!(first.starts_with("first use of 0.0.0.0: its chain, genesis 0x"), "{first}");
    assert_eq!(far.said(0, &["models"]), "");
    let [file] = far.files().try_into().unwrap();
    let genesis = fs::read_to_string(&file).unwrap();
    let said = far.said(0, &TRANSFER);
    assert!(said.contains(&format!("signing as {bob}")) && said.contains(NO_TLS), "{said}");
    let said = far.said(0, &[&TRANSFER[..], &["--json"]].concat());
    assert!(said.starts_with(NO_TLS) && !said.contains("signing as"), "{said}");

    // Another chain than the one of the first use.
    let another = format!("0x{}", "07".repeat(32));
    fs::write(&file, &another).unwrap();
    for args in [&["models"][..], &TRANSFER] {
        let said = far.said(1, args);
        assert!(said.starts_with("error: another chain answers at 0.0.0.0 now"), "{said}");
        assert!(said.contains(genesis.trim()) && said.contains(&file.display().to_string()), "{said}");
    }

    // A hash says which chain it must be, whatever the file says.
    let pinned = |genesis: &str| [&["--genesis", genesis][..], &TRANSFER].concat().join(" ");
    for (user, hash, code) in [(&far, genesis.trim(), 0), (&far, &another, 1), (&near, &another, 1)] {
        let args = pinned(hash);
        let said = user.said(code, &args.split(' ').collect::<Vec<_>>());
        assert_eq!(said.contains("is of another chain"), code == 1, "{said}");
    }
    assert!(near.said(1, &["--genesis", &another, "health"]).contains("is of another chain"));
    assert!(near.said(2, &["--genesis", "0x07", "status"]).contains("32 bytes in hex"));
}
