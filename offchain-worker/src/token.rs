//! The bearer token: who knows it may give the engine work.

use rand::RngCore as _;
use sha2::{Digest as _, Sha256};
use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    str::FromStr,
};

/// The bearer token of an engine: 16 to 256 visible ASCII characters. It never appears in `Debug` output, in
/// a log or in an argument list.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The text is too short, too long, or has characters that an HTTP header cannot carry.
    #[error("a token has 16 to 256 visible ASCII characters and no spaces")]
    Invalid,
    /// The file cannot be read or written.
    #[error("token file {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// The file holds no token.
    #[error(
        "token file {}: a token has 16 to 256 visible ASCII characters; remove the file to get a new one",
        path.display()
    )]
    InvalidFile {
        /// The file.
        path: PathBuf,
    },
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let well_formed =
            (16..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(TokenError::Invalid)
        }
    }
}

impl Token {
    /// A new token of 256 random bits.
    pub fn random() -> Self {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        Self(hex::encode(bytes))
    }

    /// Reads the token in the file `path`; if there is no such file, makes one (mode 0600) with a random
    /// token.
    pub fn load_or_create(path: &Path) -> Result<Self, TokenError> {
        match Self::create(path) {
            Err(TokenError::File { error, .. }) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::load(path)
            }
            created => created,
        }
    }

    /// Reads the token in the file `path`. Space around it is ignored; a file that others may read is warned
    /// about.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let at = |error| TokenError::File { path: path.to_owned(), error };
        let mode = fs::metadata(path).map_err(at)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "other users may read the token file; `chmod 600` it");
        }
        let text = fs::read_to_string(path).map_err(at)?;
        text.trim().parse().map_err(|_| TokenError::InvalidFile { path: path.to_owned() })
    }

    fn create(path: &Path) -> Result<Self, TokenError> {
        let at = |error| TokenError::File { path: path.to_owned(), error };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(at)?;
        }
        let token = Self::random();
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(at)?;
        writeln!(file, "{}", token.0).and_then(|()| file.sync_all()).map_err(at)?;
        Ok(token)
    }

    /// The token itself, for an `Authorization` header.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `offered` is this token. Takes the same time wherever the two differ.
    pub fn matches(&self, offered: &str) -> bool {
        // Digests have one length and cannot be steered, so neither length nor position of a difference can
        // be timed.
        let (own, offered) = (Sha256::digest(&self.0), Sha256::digest(offered));
        own.iter().zip(offered.iter()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(<hidden>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_file_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sub/token");
        let made = Token::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Token::load_or_create(&path).unwrap(), made);
        assert_ne!(Token::random(), made);
    }

    #[test]
    fn bad_tokens_are_refused() {
        for bad in ["", "short", "has a space in the middle", "umlaut-äöü-0123456789", &"x".repeat(257)] {
            assert!(bad.parse::<Token>().is_err(), "{bad:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, "short\n").unwrap();
        assert!(matches!(Token::load_or_create(&path), Err(TokenError::InvalidFile { .. })));
    }

    #[test]
    fn matching_is_exact_and_debug_is_silent() {
        let token: Token = "0123456789abcdef".parse().unwrap();
        assert!(token.matches("0123456789abcdef"));
        for other in ["0123456789abcdeg", "0123456789abcde", "0123456789abcdef0", ""] {
            assert!(!token.matches(other));
        }
        assert!(!format!("{token:?}").contains("0123"));
    }
}
