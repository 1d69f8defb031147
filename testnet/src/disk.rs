//! Small disks, to fill.

use anyhow::{Context as _, Result};
use harness::programs;
use rustix::fs::{fallocate, FallocateFlags};
use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
};

/// The file that takes all the room.
const BALLAST: &str = "ballast";

/// What disks are called in the list of mounts.
const NAME: &str = "poq-disk";

/// How much is taken at a time, in bytes: most of it in large pieces, the rest by pages.
const PIECES: [u64; 2] = [1024 * 1024, 4096];

/// A file system in memory, of a size of its own. It is unmounted when it is dropped.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
}

impl Disk {
    /// Mounts a disk of so many mebibytes at `path`.
    ///
    /// # Errors
    /// If this user may not, or the folder cannot be made.
    pub fn mount(path: &Path, mebibytes: u32) -> Result<Self> {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
        let options = format!("size={mebibytes}m,mode=700");
        let words = ["-t", "tmpfs", "-o", &options, NAME].map(OsStr::new);
        programs::run("mount", &[&words[..], &[path.as_os_str()]].concat())?;
        Ok(Self { path: path.to_owned() })
    }

    /// Takes all the room there is, piece by piece: who asks for all at once gets nothing if another one writes meanwhile.
    /// Returns how much that was, in bytes.
    ///
    /// # Errors
    /// If a file cannot be made.
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

    /// Gives the room back.
    ///
    /// # Errors
    /// If the file cannot be removed.
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

/// Unmounts the disks below `folder` that a run left there which was killed.
///
/// # Errors
/// If one cannot be unmounted.
pub fn unmount_below(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
    let disks = mounts.lines().filter_map(|line| line.strip_prefix(NAME)?.split_whitespace().next());
    disks.map(Path::new).filter(|path| path.starts_with(folder)).try_for_each(unmount)
}

/// Lazily: a process that was killed a moment ago may still hold a file.
fn unmount(path: &Path) -> Result<()> {
    programs::run("umount", &["--lazy".as_ref(), path.as_os_str()]).map(|_| ())
}
