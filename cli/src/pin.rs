//! Pinned chains: which chain an address stands for.
//!
//! A transaction is signed for the chain of the node that answers, in the words of that node. So the chain is pinned: by `--genesis`,
//! which is compared and nothing else; otherwise by the first use of an address, which writes the chain's genesis hash to a file. An
//! address within this machine is not remembered: a development chain that starts anew has another genesis each time.

use crate::{address, args::Shared, failure::Failure, names::parse_hash, render};
use poq_client::Client;
use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;
use url::{form_urlencoded::byte_serialize, Url};

/// Connects to the node at `--url`, whose chain must be the pinned one.
pub async fn connect(shared: &Shared) -> Result<Client, Failure> {
    let client = Client::connect(&shared.url).await?;
    check(&client, shared.genesis.as_ref())?;
    Ok(client)
}

/// The genesis hash of the chain that the caller trusts: the pinned one; for an address within this machine the one of its node.
pub async fn trusted(shared: &Shared) -> Result<[u8; 32], Failure> {
    if let Some(genesis) = shared.genesis {
        return Ok(genesis);
    }
    if address::way(&shared.url) == Some(address::Way::Own) {
        let client = Client::connect(&shared.url).await;
        return client.map(|client| client.genesis()).map_err(|_| no_chain(&shared.url));
    }
    let file = folder().zip(Url::parse(&shared.url).ok()).map(|(folder, url)| folder.join(file_name(&url)));
    let remembered = file.and_then(|file| fs::read_to_string(file).ok());
    remembered.and_then(|text| parse_hash(text.trim())).ok_or_else(|| no_chain(&shared.url))
}

fn no_chain(url: &str) -> Failure {
    Failure::Input(format!(
        "it is not known which chain to trust: no chain is remembered for {url}, and no node of this machine answers there. Name the \
         chain's genesis hash with --genesis"
    ))
}

/// Refuses a node of another chain than the one that is pinned by `wanted`, or else for its address.
fn check(client: &Client, wanted: Option<&[u8; 32]>) -> Result<(), Failure> {
    let (url, genesis) = (client.url(), client.genesis());
    match wanted {
        Some(wanted) if *wanted == genesis => Ok(()),
        Some(wanted) => Err(Failure::Input(format!(
            "the node at {url} is of another chain: its genesis is {}, and --genesis (or POQ_GENESIS) names {}. Nothing was sent. Name a \
             node of that chain with --url",
            hex(&genesis),
            hex(wanted)
        ))),
        None if address::way(url) == Some(address::Way::Own) => Ok(()),
        None => match (folder(), Url::parse(url)) {
            (Some(folder), Ok(url)) => remember(&folder, &url, &genesis),
            _ => {
                cannot_remember(url, &genesis, "there is no home folder");
                Ok(())
            }
        },
    }
}

/// The folder with a file for each address: `~/.config/proof-of-quality/chains`, or below `XDG_CONFIG_HOME`.
fn folder() -> Option<PathBuf> {
    let configured = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::home_dir().filter(|path| path.is_absolute()).map(|home| home.join(".config"));
    Some(configured.or_else(home)?.join("proof-of-quality/chains"))
}

/// Name of the file for an address, without what may be secret in it.
fn file_name(url: &Url) -> String {
    let mut bare = url.clone();
    // These fail only for addresses without a host, which name no node.
    let _ = bare.set_username("");
    let _ = bare.set_password(None);
    bare.set_query(None);
    bare.set_fragment(None);
    byte_serialize(bare.as_str().as_bytes()).collect()
}

/// Compares the chain with the one of the first use of this address, or makes it the first use.
fn remember(folder: &Path, url: &Url, genesis: &[u8; 32]) -> Result<(), Failure> {
    let file = folder.join(file_name(url));
    let read = match fs::read_to_string(&file) {
        Err(error) if is_missing(&error) => match write_new(folder, &file, genesis) {
            Ok(()) => {
                render::note_line(&format!(
                    "first use of {}: its chain, genesis {}, is remembered in {}",
                    host(url),
                    hex(genesis),
                    file.display()
                ));
                return Ok(());
            }
            // Another command came first.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::read_to_string(&file),
            Err(error) => {
                cannot_remember(host(url), genesis, &format!("cannot write {}: {error}", file.display()));
                return Ok(());
            }
        },
        read => read,
    };
    let shown = file.display();
    let text = read.map_err(|error| {
        Failure::Input(format!("cannot read {shown}, which says which chain is at {}: {error}", host(url)))
    })?;
    match parse_hash(text.trim()) {
        Some(known) if known == *genesis => Ok(()),
        Some(known) => Err(Failure::Input(format!(
            "another chain answers at {0} now: its genesis is {1}, and at the first use it was {2}. Nothing was sent. If its operators say \
             that the chain began anew, remove {shown}; to use both, name the one that is meant with --genesis. Otherwise do not trust \
             this node",
            host(url),
            hex(genesis),
            hex(&known)
        ))),
        None => Err(Failure::Input(format!("{shown} holds no genesis hash (32 bytes in hex): remove it"))),
    }
}

fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Writes the file as a whole or not at all, and over no other.
fn write_new(folder: &Path, file: &Path, genesis: &[u8; 32]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut beside = NamedTempFile::new_in(folder)?;
    writeln!(beside, "{}", hex(genesis))?;
    beside.as_file().sync_all()?;
    beside.persist_noclobber(file).map(|_| ()).map_err(|failed| failed.error)
}

fn cannot_remember(place: &str, genesis: &[u8; 32], why: &str) {
    render::warning_line(&format!(
        "the chain at {place} is not remembered ({why}): --genesis {} accepts no other",
        hex(genesis)
    ));
}

/// The host, which is what of an address is surely no secret.
fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default()
}

/// A hash in hex, as `--genesis` takes it.
pub fn hex(hash: &[u8; 32]) -> String {
    format!("0x{}", hex::encode(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn the_first_use_of_an_address_is_remembered_and_another_chain_there_refused() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("not/yet/there");
        let (one, two) = (url("wss://node.example:9944"), url("wss://node.example:9945"));
        for _ in 0..2 {
            assert_eq!(remember(&folder, &one, &[1; 32]), Ok(()));
            assert_eq!(remember(&folder, &two, &[2; 32]), Ok(()));
        }
        let said = remember(&folder, &one, &[2; 32]).unwrap_err().to_string();
        let file = folder.join(file_name(&one));
        for words in [&*"01".repeat(32), &"02".repeat(32), "--genesis", &file.display().to_string()] {
            assert!(said.contains(words), "{words} is missing: {said}");
        }
        assert_eq!(remember(&folder, &one, &[1; 32]), Ok(()), "the refusal has changed nothing");
        fs::remove_file(&file).unwrap();
        assert_eq!(remember(&folder, &one, &[2; 32]), Ok(()), "what the error says to do works");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing is left beside");
    }

    #[test]
    fn a_broken_file_is_an_error_and_a_folder_that_cannot_be_written_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let one = url("ws://node.example");
        let file = folder.path().join(file_name(&one));
        fs::write(&file, "0x12").unwrap();
        let said = remember(folder.path(), &one, &[1; 32]).unwrap_err().to_string();
        assert!(said.contains("holds no genesis hash") && said.contains("remove it"), "{said}");
        // A file in the place of the folder: also root cannot write there.
        assert_eq!(remember(&file.join("chains"), &one, &[1; 32]), Ok(()));
    }

    #[test]
    fn a_file_is_named_by_the_address_without_its_secrets() {
        let name = file_name(&url("wss://user:secret@node.example/path/a?key=secret#x"));
        assert_eq!(name, "wss%3A%2F%2Fnode.example%2Fpath%2Fa");
        assert_ne!(file_name(&url("wss://node.example/a/b")), file_name(&url("wss://node.example/a%2Fb")));
    }
}
