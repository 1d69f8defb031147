//! Sources of models: the argument of `poq-worker models add`.

use crate::web;
use std::{fmt, path::PathBuf, str::FromStr};

/// The revision of a hub's repository unless the source names one.
const DEFAULT_REVISION: &str = "main";

/// Characters of the parts of a path on the hub.
const NAMES: &str = "names are of letters, digits and . _ - + = , ( )";

/// Source of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or a folder of this machine.
    Local(PathBuf),
    /// A file in a repository of the model hub.
    Hub(HubFile),
    /// A GGUF file on any web server.
    Url(String),
}

/// One file in a repository of the model hub: `hf:OWNER/REPO[@REVISION]/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HubFile {
    /// `OWNER/REPO`.
    pub repo: String,
    /// Branch, tag or commit. A slash in it is written `%2F`, as the hub's own addresses do.
    pub revision: String,
    /// Path in the repository; its parts are plain names.
    pub file: String,
}

impl HubFile {
    /// Another file of the same repository and revision.
    pub fn sibling(&self, file: &str) -> Self {
        Self { file: file.to_owned(), ..self.clone() }
    }

    /// This file, if its path can stand in an address as it is.
    pub fn checked(self) -> Result<Self, String> {
        match self.file.split('/').all(is_plain) {
            true => Ok(self),
            false => Err(format!("{self}: {NAMES}")),
        }
    }

    /// The repository's name without its owner.
    pub fn repo_name(&self) -> &str {
        self.repo.split_once('/').map_or(self.repo.as_str(), |(_, name)| name)
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("hf:") {
            return Ok(Self::Hub(parse_hub(rest).map_err(|error| format!("{text}: {error}"))?));
        }
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if matches!(scheme.as_deref(), Some("http" | "https")) {
            return match file_of_url(text) {
                Some(file) if file.to_ascii_lowercase().ends_with(".gguf") && web::parse(text).is_some() => {
                    Ok(Self::Url(text.to_owned()))
                }
                _ => Err(format!(
                    "{}: a web address has to end in the name of a .gguf file; an evaluator comes from the hub \
                     (hf:OWNER/REPO/FILE.onnx) or from a folder of this machine",
                    shown(text)
                )),
            };
        }
        if text.is_empty() {
            return Err("a source is a file, a folder, hf:OWNER/REPO/FILE or a web address".to_owned());
        }
        Ok(Self::Local(PathBuf::from(text)))
    }
}

impl fmt::Display for Source {
    /// The source as it is typed; of a web address only the part without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
            Self::Hub(file) => write!(f, "{file}"),
            Self::Url(url) => write!(f, "{}", shown(url)),
        }
    }
}

impl fmt::Display for HubFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hf:{}", self.repo)?;
        if self.revision != DEFAULT_REVISION {
            write!(f, "@{}", self.revision.replace('/', "%2F"))?;
        }
        write!(f, "/{}", self.file)
    }
}

fn parse_hub(text: &str) -> Result<HubFile, String> {
    const FORM: &str = "write hf:OWNER/REPO/FILE, or hf:OWNER/REPO@REVISION/FILE";
    let mut parts = text.splitn(3, '/');
    let (Some(owner), Some(repo), Some(file)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(format!("a file is missing; {FORM}"));
    };
    let (repo, revision) = repo.split_once('@').unwrap_or((repo, DEFAULT_REVISION));
    let revision = revision.replace("%2F", "/").replace("%2f", "/");
    for (what, name) in [("owner", owner), ("repository", repo)] {
        if !is_plain(name) {
            return Err(format!("{name:?} is not the name of a hub's {what}; {FORM}"));
        }
    }
    if !revision.split('/').all(is_plain) {
        return Err(format!("{revision:?} is not a revision; {FORM}"));
    }
    if let Some(part) = file.split('/').find(|part| !is_plain(part)) {
        return Err(format!("{part:?} cannot be part of a file's path; {NAMES}"));
    }
    if !is_model(file) {
        return Err(format!("{file} is no model; name a .gguf file, an .onnx file or a poq.json"));
    }
    Ok(HubFile { repo: format!("{owner}/{repo}"), revision, file: file.to_owned() })
}

fn is_model(file: &str) -> bool {
    let lower = file.to_ascii_lowercase();
    let name = file.rsplit('/').next().unwrap_or(file);
    lower.ends_with(".gguf") || lower.ends_with(".onnx") || name == super::manifest::MANIFEST
}

/// Whether `name` can stand in an address and in a path as it is.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-+=,()".contains(&byte);
    !name.is_empty() && name.len() <= 255 && !name.starts_with('.') && name.bytes().all(plain)
}

/// The last part of an address's path.
pub fn file_of_url(url: &str) -> Option<&str> {
    let path = url.split(['?', '#']).next()?;
    let (_, rest) = path.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    path.rsplit('/').next().filter(|name| !name.is_empty())
}

/// A web address without the parts that may hold a secret: user, password, query.
pub fn shown(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = plain.split_once("://") else { return plain.to_owned() };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.rsplit('@').next().unwrap_or(host);
    format!("{scheme}://{host}/{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hub(text: &str) -> HubFile {
        match text.parse() {
            Ok(Source::Hub(file)) => file,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn sources_are_told_apart() {
        let file = hub("hf:owner/repo/a/b.gguf");
        assert_eq!(
            (file.repo.as_str(), file.revision.as_str(), file.file.as_str()),
            ("owner/repo", "main", "a/b.gguf")
        );
        assert_eq!(file.repo_name(), "repo");
        assert_eq!(hub("hf:o/r@v1.0/m.onnx").revision, "v1.0");
        assert_eq!(hub("hf:o/r@refs%2Fpr%2F1/m.onnx").revision, "refs/pr/1");
        assert_eq!(hub("hf:o/r/poq.json").file, "poq.json");
        assert!(matches!("https://x.org/m.gguf?key=1".parse(), Ok(Source::Url(_))));
        assert!(matches!("HTTP://x.org/m.gguf".parse(), Ok(Source::Url(_))));
        assert!(matches!("models/m.gguf".parse(), Ok(Source::Local(_))));
    }

    #[test]
    fn what_is_no_source_is_explained() {
        for (text, said) in [
            ("hf:", "a file is missing"),
            ("hf:owner", "a file is missing"),
            ("hf:owner/repo", "a file is missing"),
            ("hf:owner/repo/", "cannot be part"),
            ("hf:/repo/m.gguf", "hub's owner"),
            ("hf:owner/@v1/m.gguf", "hub's repository"),
            ("hf:owner/repo@/m.gguf", "not a revision"),
            ("hf:owner/repo@a%2F..%2Fb/m.gguf", "not a revision"),
            ("hf:owner/repo/../m.gguf", "cannot be part"),
            ("hf:owner/repo/a//m.gguf", "cannot be part"),
            ("hf:owner/repo/a b.gguf", "cannot be part"),
            ("hf:owner/repo/m.gguf?x", "cannot be part"),
            ("hf:owner/repo/model.safetensors", "is no model"),
            ("https://x.org/", ".gguf"),
            ("https://x.org/page.html", ".gguf"),
            ("https://x y/m.gguf", ".gguf"),
            ("", "a source is"),
        ] {
            let error = text.parse::<Source>().unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn an_address_is_shown_without_its_secrets() {
        assert_eq!(shown("https://me:secret@x.org/a/m.gguf?sig=secret#s"), "https://x.org/a/m.gguf");
        assert_eq!(shown("http://x.org"), "http://x.org/");
        let error = "https://me:secret@x.org/a?key=secret".parse::<Source>().unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }

    proptest! {
        #[test]
        fn hub_files_read_back(
            owner in "[A-Za-z0-9][A-Za-z0-9_.-]{0,20}",
            repo in "[A-Za-z0-9][A-Za-z0-9_.-]{0,20}",
            revision in "[a-z0-9][a-z0-9.-]{0,8}(/[a-z0-9]{1,5}){0,2}",
            file in "([A-Za-z0-9][A-Za-z0-9_.-]{0,9}/){0,3}[A-Za-z0-9_-]{1,9}\\.(gguf|onnx)",
        ) {
            let file = HubFile { repo: format!("{owner}/{repo}"), revision, file };
            prop_assert_eq!(file.to_string().parse::<Source>(), Ok(Source::Hub(file)));
        }

        #[test]
        fn noise_never_panics_and_never_leaves_the_repository(noise in "\\PC*") {
            for text in [noise.clone(), format!("hf:{noise}"), format!("hf:o/r/{noise}.gguf"), format!("http://{noise}")] {
                if let Ok(Source::Hub(file)) = text.parse() {
                    prop_assert!(!file.file.split('/').any(|part| part == ".." || part.is_empty()));
                }
            }
        }
    }
}
