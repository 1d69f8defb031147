//! Small disks that can be filled.

use anyhow::{Context as _, Result};
use harness::programs;
use rustix::fs::{fallocate, FallocateFlags};
use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
};

/// Name of the file that fills a disk.
const BALLAST: &str = "ballast";

/// Name of these disks in the list of mounts.
const NAME: &str = "poq-disk";

/// Sizes of the pieces that a disk is filled with, in bytes: large ones first, then pages for the rest.
const PIECES: [u64; 2] = [1024 * 1024, 4096];

/// A file system in memory. It is unmounted with this value.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts a disk of `mebibytes` at `path`. Needs root.
    pub fn mount(path: &Path, mebibytes: u32) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        let options = format!("size={mebibytes}m,mode=700");
        let words = ["-t", "tmpfs", "-o", &options, NAME].map(OsStr::new);
        programs::run("mount", &[&words[..], &[path.as_os_str()]].concat())?;
        Ok(Self { path: path.to_owned() })
    }

    /// Fills the disk; returns the bytes taken. Piece by piece, because a claim for all of it fails if another process writes meanwhile.
    pub fn fill(&self) -> Result<u64> {
        let file = File::create(self.path.join(BALLAST)).context("cannot fill a disk")?;
        let mut taken = 0u64;
        for piece in PIECES {
            while fallocate(&file, FallocateFlags::empty(), taken, piece).is_ok() {
                taken = taken.saturating_add(piece);
            }
        }
        Ok(taken)
    }

    /// Frees the bytes taken by [`Disk::fill`].
    pub fn free(&self) -> Result<()> {
        let ballast = self.path.join(BALLAST);
        if ballast.exists() {
            fs::remove_file(ballast).context("cannot free a disk")?;
        }
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _gone = unmount(&self.path);
    }
}

/// Unmounts the disks below `folder` that a killed run left mounted.
pub fn unmount_below(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
    let disks = mounts.lines().filter_map(|line| line.strip_prefix(NAME)?.split_whitespace().next());
    disks.map(Path::new).filter(|path| path.starts_with(folder)).try_for_each(unmount)
}

/// Unmounts lazily, because a process that was just killed may still hold a file.
fn unmount(path: &Path) -> Result<()> {
    programs::run("umount", &["--lazy".as_ref(), path.as_os_str()]).map(|_| ())
}
