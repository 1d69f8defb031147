//! The control socket: a Unix socket on which the operator's own tools are served every method, unsafe ones too.
//!
//! Only the node's own user and root can connect. The file has mode 0600, and the kernel's word on who connects is asked as well,
//! so that a folder or a file system without permissions opens nothing. It lies in the folder of the chain's data, whose
//! database one process can hold at a time, and is removed when the node ends in order. One of a node that died is replaced.

use super::LOG;
use anyhow::{bail, Context as _};
use rustix::fs::Mode;
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    convert::Infallible,
    fs, io,
    os::{
        fd::OwnedFd,
        unix::{
            fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
    str::FromStr,
};
use tokio::net::UnixStream;

/// Name of the file, in the folder of the chain's data.
const FILE: &str = "control.sock";

/// Longest path of a Unix socket, in bytes.
const LONGEST: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

/// The value of `--control-socket`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlAt {
    /// Nowhere.
    Off,
    /// At this path.
    Path(PathBuf),
}

impl FromStr for ControlAt {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "none" => Self::Off,
            path => Self::Path(path.into()),
        })
    }
}

/// The place of a control socket that is not open yet.
#[derive(Debug)]
pub struct ControlSocket {
    path: PathBuf,
    /// Whether the operator chose the path. A node starts without a socket at the usual one.
    chosen: bool,
}

impl ControlSocket {
    /// The place that `--control-socket` names, or the usual one in the folder `data`; `None` without a socket.
    ///
    /// Errors: another node answers there; something that is no socket lies there; the chosen path is too long.
    pub fn take(at: Option<&ControlAt>, data: &Path) -> anyhow::Result<Option<Self>> {
        let socket = match at {
            Some(ControlAt::Off) => return Ok(None),
            Some(ControlAt::Path(path)) => Self { path: path.clone(), chosen: true },
            None => Self { path: data.join(FILE), chosen: false },
        };
        socket.refuse_other_node()?;
        let length = socket.path.as_os_str().len();
        if length <= LONGEST {
            return Ok(Some(socket));
        }
        socket
            .unusable(anyhow::anyhow!("its path has {length} bytes, and a socket's has {LONGEST} at most"))?;
        Ok(None)
    }

    /// Path of the socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the socket and begins to listen; `None` if it cannot be made at the usual path.
    ///
    /// Errors: another node answers there; the socket cannot be made at the chosen path.
    pub fn open(self) -> anyhow::Result<Option<(UnixListener, Removal)>> {
        self.refuse_other_node()?;
        match self.listen() {
            Ok(opened) => {
                let path = self.path.display();
                log::info!(target: LOG, "All RPC methods for this user's own tools: {path}");
                Ok(Some(opened))
            }
            Err(error) => self.unusable(error.into()).map(|()| None),
        }
    }

    fn refuse_other_node(&self) -> anyhow::Result<()> {
        let path = self.path.display();
        let Ok(file) = fs::symlink_metadata(&self.path) else { return Ok(()) };
        if !file.file_type().is_socket() {
            bail!("{path} is no socket: move it away, or choose another path with --control-socket");
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // A node that was stopped (SIGSTOP) is alive and accepts nothing: do not wait for it.
        socket.set_nonblocking(true)?;
        match SockAddr::unix(&self.path).and_then(|address| socket.connect(&address)) {
            Err(error)
                if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) =>
            {
                Ok(())
            }
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                Err(error).with_context(|| format!("cannot tell whether another node answers at {path}"))
            }
            Ok(()) | Err(_) => bail!(
                "another node answers at {path}: end it, or give this one another --base-path (or another --control-socket, if its data \
                 lie elsewhere)"
            ),
        }
    }

    fn listen(&self) -> io::Result<(UnixListener, Removal)> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        let private = Mode::RUSR | Mode::WUSR;
        // Linux makes the file with this mode, so that it is never open to others; elsewhere it is set below.
        let _only_on_linux = rustix::fs::fchmod(&socket, private);
        socket.bind(&SockAddr::unix(&self.path)?)?;
        fs::set_permissions(&self.path, fs::Permissions::from_mode(0o600))?;
        let file = fs::symlink_metadata(&self.path)?;
        let removal = Removal { path: self.path.clone(), file: (file.dev(), file.ino()) };
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)?;
        Ok((OwnedFd::from(socket).into(), removal))
    }

    /// Refuses to start where the path was chosen, and warns where it was not.
    fn unusable(&self, error: anyhow::Error) -> anyhow::Result<()> {
        let path = self.path.display();
        let error = error.context(format!(
            "no control socket at {path} (choose another place with --control-socket PATH, or none)"
        ));
        if self.chosen {
            return Err(error);
        }
        log::warn!(target: LOG, "{error:#}");
        Ok(())
    }
}

/// Removes the socket's file when it is dropped, if it is still the same.
#[derive(Debug)]
pub struct Removal {
    path: PathBuf,
    /// Device and inode.
    file: (u64, u64),
}

impl Drop for Removal {
    fn drop(&mut self) {
        let is_same = |file: &fs::Metadata| (file.dev(), file.ino()) == self.file;
        if fs::symlink_metadata(&self.path).is_ok_and(|file| is_same(&file)) {
            let _already_gone = fs::remove_file(&self.path);
        }
    }
}

/// Whether the process at the other end runs as the node's user or as root.
pub fn is_own(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|caller| caller.uid() == own || caller.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &Path) -> ControlAt {
        ControlAt::Path(path.to_owned())
    }

    fn open(path: &Path) -> (UnixListener, Removal) {
        let socket = ControlSocket::take(Some(&at(path)), Path::new("/")).unwrap();
        socket.unwrap().open().unwrap().unwrap()
    }

    #[test]
    fn it_is_the_owners_and_goes_with_the_node() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let opened = open(&path);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = ControlSocket::take(None, folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("another node answers at {}", path.display())), "{error}");
        drop(opened);
        assert!(!path.exists());

        // A dead node leaves its socket, which the next one replaces.
        let (listener, removal) = open(&path);
        std::mem::forget(removal);
        drop(listener);
        let before = open(&path);
        // The end of a node whose socket was replaced leaves the new one.
        fs::remove_file(&path).unwrap();
        let _next = open(&path);
        drop(before);
        assert!(path.exists());
    }

    #[test]
    fn it_replaces_nothing_but_a_socket() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, "a letter").unwrap();
        let error = ControlSocket::take(None, folder.path()).unwrap_err().to_string();
        assert!(error.contains("is no socket"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"a letter");
    }

    #[test]
    fn the_longest_path_works_and_a_longer_one_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let spare = LONGEST - folder.path().as_os_str().len() - 1;
        let path = folder.path().join("s".repeat(spare));
        let _opened = open(&path);
        let longer = folder.path().join("t".repeat(spare + 1));
        let error = ControlSocket::take(Some(&at(&longer)), Path::new("/")).unwrap_err();
        assert!(format!("{error:#}").contains(&format!("{} bytes", LONGEST + 1)), "{error:#}");
        // At the usual path the node starts without one.
        let data = folder.path().join("d".repeat(spare));
        assert!(ControlSocket::take(None, &data).unwrap().is_none());
    }

    #[test]
    fn none_is_none() {
        assert_eq!("none".parse(), Ok(ControlAt::Off));
        assert_eq!("./none".parse(), Ok(at(Path::new("./none"))));
        assert!(ControlSocket::take(Some(&ControlAt::Off), Path::new("/")).unwrap().is_none());
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing").join(FILE);
        let socket = |at: Option<&ControlAt>, data: &Path| ControlSocket::take(at, data).unwrap().unwrap();
        assert!(socket(Some(&at(&missing)), Path::new("/")).open().is_err());
        assert!(socket(None, &folder.path().join("missing")).open().unwrap().is_none());
    }
}
