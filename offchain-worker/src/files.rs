//! Writing files so that a crash leaves the old content or the new one, never a mixture.

use std::{fs::File, io, io::Write as _, path::Path};

/// Replaces `path` by `content`: a temporary file in the same folder, flushed to the disk, renamed over
/// `path`, and the folder flushed as well. The file is readable by its owner only.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = folder_of(path)?;
    let mut file = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_folder(folder)
}

/// As [`write_atomically`], but nothing is flushed: the content survives the end of this process, not that of the
/// machine.
pub fn write_unflushed(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = tempfile::Builder::new().prefix(TEMPORARY_PREFIX).tempfile_in(folder_of(path)?)?;
    file.write_all(content)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// The content of a file. What is no file (a folder, a pipe that nobody writes to, a device) is an error: reading it might
/// never end.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::metadata(path)? {
        metadata if metadata.is_file() => std::fs::read(path),
        metadata if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "is not a file")),
    }
}

/// Removes `path` for good; a file that is not there is fine.
pub fn remove_durably(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => path.parent().map_or(Ok(()), sync_folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Start of the names of files that [`write_atomically`] was writing when the process died.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

fn folder_of(path: &Path) -> io::Result<&Path> {
    path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
