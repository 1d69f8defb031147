//! Free space on the disk of the chain's data.

use std::path::Path;

/// Least free space with which a node starts, in bytes. Its database maps files into memory, and the system ends a program that writes
/// to a mapped page on a full disk, with the words "Bus error" and no others.
const LEAST: u64 = 64 * 1024 * 1024;

/// Free bytes on the disk on which `path` is or will be; `None` if the system does not say.
pub fn free(path: &Path) -> Option<u64> {
    let existing =
        path.ancestors().find(|folder| folder.exists()).filter(|folder| !folder.as_os_str().is_empty());
    let disk = rustix::fs::statvfs(existing.unwrap_or_else(|| Path::new("."))).ok()?;
    // Some file systems say 0 blocks of 0.
    (disk.f_blocks > 0).then_some(())?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// Errors: too little free space for the chain's data at `path`.
pub fn require(data: &Path) -> anyhow::Result<()> {
    check(data, free(data))
}

fn check(data: &Path, free: Option<u64>) -> anyhow::Result<()> {
    let mebibyte = 1024 * 1024;
    match free {
        Some(free) if free < LEAST => anyhow::bail!(
            "the disk of {} is full: {} MiB are free, and a node needs {} MiB to start. Make room, or give another --base-path",
            data.display(),
            free / mebibyte,
            LEAST / mebibyte
        ),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_said() {
        let data = Path::new("DIR/chains/ID");
        assert!(check(data, Some(LEAST)).is_ok() && check(data, None).is_ok());
        let error = check(data, Some(LEAST - 1)).unwrap_err().to_string();
        assert!(error.contains("DIR/chains/ID is full: 63 MiB") && error.contains("64 MiB"), "{error}");
    }

    #[test]
    fn a_folder_that_is_not_there_yet_is_on_its_parents_disk() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free(&folder.path().join("chains/ID")).is_some_and(|free| free > 0));
        assert!(free(Path::new("not/there")).is_some());
    }
}
