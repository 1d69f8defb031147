//! A walk: blocks of the documents, run in order by one shell, in a clone and a home of its own.
//!
//! It runs in network and process namespaces of its own, for which root is needed or a kernel that lets users make them. So the ports
//! that the documents name are free, whatever else runs here, and every process that a block starts ends with the walk.

use super::{
    blocks::{Block, Run},
    checkout,
};
use crate::common::examples;
use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};
use tempfile::TempDir;

/// Longest wait of a walk for a block in the background to get ready, in seconds. Generous: tests never measure time.
const PATIENCE: &str = "300";

/// Longest duration of a walk, in seconds. It is less than the test runner's patience, so that a walk that hangs says where.
const LIMIT: &str = "1000";

/// The beginning of every walk. A command that fails ends the walk, and then the output of its blocks is shown.
const BEGINNING: &str = r#"set -Eeuo pipefail
exec 3>&1 </dev/null

begin() {
    at=$2 out="$WALK/$1.out"
    echo "walking: $at" >&3
}
ended() {
    local status=$?
    ((status == 0)) || { echo "--- $at failed with exit status $status" && tail -n 100 "$WALK"/*.out; } >&3
}
trap ended EXIT
# Ends all processes of the walk but the shell, whose command then has failed.
(sleep "$WALK_LIMIT" && echo "--- the walk took more than $WALK_LIMIT seconds" >&3 && kill -KILL -1) &

says() {
    grep -qE -- "$1" "$out" || { echo "--- no line of what $at printed matches: $1" >&3 && return 1; }
}
await() {
    local process=$1 end=$((SECONDS + WALK_PATIENCE))
    until grep -qE -- "$2" "$out"; do
        kill -0 "$process" 2>/dev/null || { echo "--- $at ended before it printed: $2" >&3 && return 1; }
        ((SECONDS < end)) || { echo "--- $at did not print in $WALK_PATIENCE seconds: $2" >&3 && return 1; }
        sleep 0.5
    done
}
"#;

/// Variables of cargo and make that describe this test, not the machine. Build scripts that see them would run again.
const OF_THIS_RUN: [&str; 10] = [
    "CARGO_BIN_",
    "CARGO_CRATE_",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_",
    "CARGO_TARGET_TMPDIR",
    "MAKE",
    "MFLAGS",
    "NEXTEST",
    "POQ_",
];

/// One walk at a time in this program: each starts a network.
static TURN: Mutex<()> = Mutex::new(());

/// Runs the steps of a walk, which must all succeed.
pub fn take(name: &str, steps: &[(&Block, &Run)]) {
    if let Err(why) = namespaces_are_allowed() {
        println!("SKIPPED, nothing was tested: this user can make no namespaces here: {why}");
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let place = Place::new();
    let script = place.folder.path().join("walk.sh");
    fs::write(&script, self::script(steps)).unwrap();
    let mut command = in_namespaces(&["bash", "-c", "ip link set lo up && exec bash \"$0\""]);
    place.equip(&mut command);
    let output = command.arg(&script).output().expect("unshare runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the walk `{name}` did not arrive: {}\n{said}{error}", output.status);
    println!("{said}");
}

/// The steps as one script, which is all that a walk does.
fn script(steps: &[(&Block, &Run)]) -> String {
    let mut script = BEGINNING.to_owned();
    for (number, (block, run)) in steps.iter().enumerate() {
        let says = run.says.as_deref().map(quoted);
        script += &format!("\nbegin {number} {}\n", quoted(&block.place));
        script += &match (run.background, says) {
            (true, says) => {
                format!("{{\n{}}} >\"$out\" 2>&1 &\nawait $! {}\n", block.code, says.unwrap_or_default())
            }
            (false, says) => {
                let says = says.map(|says| format!("says {says}\n")).unwrap_or_default();
                format!("exec >\"$out\" 2>&1\n{}exec >&3 2>&3\n{says}", block.code)
            }
        };
    }
    script
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A command in namespaces of its own; its processes end with it.
fn in_namespaces(words: &[&str]) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
    if !is_root {
        command.args(["--user", "--map-current-user", "--keep-caps"]);
    }
    command.arg("--").args(words).stdin(Stdio::null());
    command
}

fn namespaces_are_allowed() -> Result<(), String> {
    let output =
        in_namespaces(&["ip", "link", "set", "lo", "up"]).output().map_err(|error| error.to_string())?;
    let error = || String::from_utf8_lossy(&output.stderr).trim().to_owned();
    output.status.success().then_some(()).ok_or_else(error)
}

/// The clone and the home of a walk.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("poq-walk-").tempdir().expect("a folder");
        let place = Self { folder };
        for folder in ["clone/examples/dapp", "clone/sdk/typescript", "home/.cache", "tmp", "out"] {
            fs::create_dir_all(place.path(folder)).unwrap();
        }
        symlink(cache(), place.path("home/.cache/proof-of-quality")).unwrap();
        place.lay_clone();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A clone into which blocks may write. It consists of links into this checkout; but the folders that `npm` fills are copies, and
    /// `make` works in the checkout itself, because cargo would compile everything again for another folder.
    fn lay_clone(&self) {
        link_all(&checkout(), &self.path("clone"), &["examples", "sdk", "Makefile", "target"]);
        link_all(&checkout().join("examples"), &self.path("clone/examples"), &["dapp"]);
        examples::copy(&self.path("clone/examples/dapp"));
        link_all(&checkout().join("sdk"), &self.path("clone/sdk"), &["typescript"]);
        examples::copy_package(&self.path("clone/sdk/typescript"));
        let makefile = format!(
            ".DEFAULT:\n\t@$(MAKE) --no-print-directory -C {} $@\n",
            quoted(checkout().to_str().unwrap())
        );
        fs::write(self.path("clone/Makefile"), makefile).unwrap();
    }

    fn equip(&self, command: &mut Command) {
        for (name, _) in env::vars_os() {
            let is_of_this_run = |name: &str| OF_THIS_RUN.iter().any(|beginning| name.starts_with(beginning));
            if name.to_str().is_some_and(is_of_this_run) {
                command.env_remove(name);
            }
        }
        let programs = Path::new(env!("CARGO_BIN_EXE_poq")).parent().unwrap();
        let home = PathBuf::from(env::var_os("HOME").expect("there is a home"));
        let of_home =
            |name: &str, folder: &str| env::var_os(name).map_or_else(|| home.join(folder), PathBuf::from);
        command
            .current_dir(self.path("clone"))
            .env("WALK", self.path("out"))
            .env("WALK_PATIENCE", PATIENCE)
            .env("WALK_LIMIT", LIMIT)
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("PATH", path_without_programs())
            // Programs that are built already are found again, and nothing is downloaded: there is no network.
            .env("CARGO_TARGET_DIR", programs.parent().unwrap())
            .env("CARGO_HOME", of_home("CARGO_HOME", ".cargo"))
            .env("RUSTUP_HOME", of_home("RUSTUP_HOME", ".rustup"))
            .env("npm_config_cache", cache().join("dapp/npm"))
            .env("npm_config_offline", "true");
    }
}

/// The folder of what setups put in place.
fn cache() -> PathBuf {
    let of_home =
        || PathBuf::from(env::var_os("HOME").expect("there is a home")).join(".cache/proof-of-quality");
    env::var_os("POQ_CACHE").map_or_else(of_home, PathBuf::from)
}

/// `PATH` without folders that hold programs of this project: a walk has to say where they are.
fn path_without_programs() -> std::ffi::OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    env::join_paths(env::split_paths(&path).filter(|folder| !folder.join("poq").exists())).unwrap()
}

/// Links to all that is in `from`, but for these names.
fn link_all(from: &Path, to: &Path, but: &[&str]) {
    for entry in fs::read_dir(from).unwrap() {
        let name = entry.unwrap().file_name();
        if !but.iter().any(|but| name == *but) {
            symlink(from.join(&name), to.join(&name)).unwrap();
        }
    }
}
