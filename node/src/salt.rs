//! The salt secret, kept in a file beside the keystore.
//!
//! The driver derives the salts of its commitments from a secret in the off-chain database. A reveal needs the salt of its commitment,
//! and the database is lost when a chain's data are removed or synced anew. So a copy stands in a file; a node with an empty database
//! copies it back before the driver first runs.

use anyhow::Context as _;
use poq_primitives::keys::SALT_SECRET_KEY;
use sp_core::{
    bytes::{from_hex, to_hex},
    offchain::{OffchainStorage, STORAGE_PREFIX},
    H256,
};
use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

const LOG: &str = "poq::salt";

/// The file with the secret; only its owner may read it.
pub fn file(data: &Path) -> PathBuf {
    data.join("salt-secret")
}

/// Makes database and file hold the same secret; makes one if neither has it.
///
/// If they differ, the database keeps its own: open commitments were made with it. Errors: the file can be neither read nor written,
/// or does not hold 32 bytes.
pub fn keep(storage: &mut impl OffchainStorage, data: &Path) -> anyhow::Result<()> {
    let path = file(data);
    let in_database =
        storage.get(STORAGE_PREFIX, SALT_SECRET_KEY).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    match (read(&path)?, in_database) {
        (Some(filed), Some(stored)) if filed == stored => {}
        (Some(_), Some(_)) => log::warn!(
            target: LOG,
            "the secret in {} is not the one in the database, which is used; to keep a copy of that, remove the file and \
            restart",
            path.display(),
        ),
        (Some(filed), None) => {
            storage.set(STORAGE_PREFIX, SALT_SECRET_KEY, &filed);
            log::info!(target: LOG, "the database is new: work that was committed to is revealed by the secret in {}", path.display());
        }
        (None, Some(stored)) => write(&path, &stored)?,
        (None, None) => {
            let secret = H256::random().0;
            write(&path, &secret)?;
            storage.set(STORAGE_PREFIX, SALT_SECRET_KEY, &secret);
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Option<[u8; 32]>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    let secret = from_hex(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    let secret = secret.with_context(|| {
        format!("{} does not hold 32 bytes in hex; remove it, and a new secret is made", path.display())
    });
    secret.map(Some)
}

/// Writes the whole file or nothing, with mode 0600.
fn write(path: &Path, secret: &[u8; 32]) -> anyhow::Result<()> {
    let folder = path.parent().context("a file lies in a folder")?;
    let put = || -> io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        writeln!(file, "{}", to_hex(secret, false))?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    };
    put().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sp_core::offchain::storage::InMemOffchainStorage;
    use std::os::unix::fs::PermissionsExt as _;

    fn stored(storage: &InMemOffchainStorage) -> Option<Vec<u8>> {
        storage.get(STORAGE_PREFIX, SALT_SECRET_KEY)
    }

    #[test]
    fn the_secret_outlives_the_database() {
        let data = tempfile::tempdir().unwrap();
        let mut storage = InMemOffchainStorage::default();
        keep(&mut storage, data.path()).unwrap();
        let secret = stored(&storage).expect("made");
        assert_eq!(secret.len(), 32);
        assert_eq!(fs::metadata(file(data.path())).unwrap().permissions().mode() & 0o777, 0o600);

        let mut anew = InMemOffchainStorage::default();
        keep(&mut anew, data.path()).unwrap();
        assert_eq!(stored(&anew), Some(secret));
    }

    #[test]
    fn the_secret_of_an_older_node_is_filed() {
        let data = tempfile::tempdir().unwrap();
        let mut storage = InMemOffchainStorage::default();
        storage.set(STORAGE_PREFIX, SALT_SECRET_KEY, &[7; 32]);
        keep(&mut storage, data.path()).unwrap();
        assert_eq!(read(&file(data.path())).unwrap(), Some([7; 32]));
        assert_eq!(stored(&storage), Some(vec![7; 32]));
    }

    #[test]
    fn commitments_that_are_open_go_before_the_file() {
        let data = tempfile::tempdir().unwrap();
        write(&file(data.path()), &[1; 32]).unwrap();
        let mut storage = InMemOffchainStorage::default();
        storage.set(STORAGE_PREFIX, SALT_SECRET_KEY, &[7; 32]);
        keep(&mut storage, data.path()).unwrap();
        assert_eq!(stored(&storage), Some(vec![7; 32]));
        assert_eq!(read(&file(data.path())).unwrap(), Some([1; 32]), "nothing is lost");
    }

    #[test]
    fn a_file_with_something_else_is_refused_with_what_to_do() {
        let data = tempfile::tempdir().unwrap();
        fs::write(file(data.path()), "0x1234").unwrap();
        let error = keep(&mut InMemOffchainStorage::default(), data.path()).unwrap_err();
        assert!(error.to_string().contains("remove it"), "{error}");
    }
}
