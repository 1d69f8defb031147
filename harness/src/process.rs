//! Processes, as Linux shows them in `/proc`.

use anyhow::{bail, Context as _, Result};
use rustix::process::{kill_process, Pid, Signal};
use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

/// Time between two looks whether a process has ended.
const POLL: Duration = Duration::from_millis(50);

/// Clock ticks in a second, on every Linux.
const TICKS: f64 = 100.0;

/// A process and its command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub id: u32,
    /// Id of the process that started it.
    pub parent: u32,
    /// Its command line.
    pub arguments: Vec<String>,
}

/// All processes that run. Those that have ended and wait for their parent to ask for the exit status are left out.
pub fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let ids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    ids.filter_map(read).collect()
}

fn read(id: u32) -> Option<Process> {
    let (state, parent) = state_and_parent(id)?;
    if state == 'Z' || state == 'X' {
        return None;
    }
    let line = fs::read(format!("/proc/{id}/cmdline")).ok()?;
    let arguments =
        line.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    Some(Process { id, parent, arguments })
}

/// Fields of `/proc/ID/stat` from the third, the state, on.
fn stat(id: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    Some(stat.rsplit_once(") ")?.1.split_whitespace().map(str::to_owned).collect())
}

fn state_and_parent(id: u32) -> Option<(char, u32)> {
    let fields = stat(id)?;
    Some((fields.first()?.chars().next()?, fields.get(1)?.parse().ok()?))
}

/// Whether a process runs. A stopped one (SIGSTOP) does, a zombie does not.
pub fn runs(id: u32) -> bool {
    // A process whose first thread has ended shows as a zombie while its other threads still end; it has no exit status yet.
    let threads = || fs::read_dir(format!("/proc/{id}/task")).map_or(0, Iterator::count);
    state_and_parent(id).is_some_and(|(state, _)| !matches!(state, 'Z' | 'X') || threads() > 1)
}

/// Processor time that a process has used, in seconds.
pub fn cpu_seconds(id: u32) -> Option<f64> {
    let fields = stat(id)?;
    let (user, system): (f64, f64) = (fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?);
    Some((user + system) / TICKS)
}

/// The children of a process.
pub fn children(parent: u32) -> Vec<Process> {
    all().into_iter().filter(|process| process.parent == parent).collect()
}

/// Memory of a process that is in use now, in bytes; 0 if there is no such process.
pub fn memory(id: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0).saturating_mul(1024)
}

/// Sends a signal. Nothing happens if the process is gone.
pub fn send(id: u32, signal: Signal) {
    if let Some(id) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        let _gone = kill_process(id, signal);
    }
}

/// Waits for the end of a process.
///
/// # Errors
/// If it still runs after `patience`.
pub fn wait_for_end(id: u32, patience: Duration) -> Result<()> {
    let deadline = Instant::now().checked_add(patience).context("a patience without end")?;
    while runs(id) {
        if Instant::now() > deadline {
            bail!("process {id} does not end");
        }
        sleep(POLL);
    }
    Ok(())
}

/// The process of the node whose data lies in `base`.
pub fn node_of(base: &Path) -> Option<u32> {
    let base = base.to_str()?;
    let serves = |process: &Process| {
        let mut pairs = process.arguments.iter().zip(process.arguments.iter().skip(1));
        let program = process.arguments.first().is_some_and(|program| program.ends_with("poq-node"));
        program && pairs.any(|(option, value)| option == "--base-path" && value == base)
    };
    // `poq-node key …` names the same folder, but does not stay.
    all()
        .into_iter()
        .find(|process| serves(process) && !process.arguments.iter().any(|a| a == "key"))
        .map(|p| p.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_is_seen_until_it_ends() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let id = child.id();
        assert!(runs(id) && children(std::process::id()).iter().any(|process| process.id == id));
        assert!(memory(id) > 0);
        assert!(cpu_seconds(id).is_some());
        send(id, Signal::KILL);
        wait_for_end(id, Duration::from_secs(60)).unwrap();
        assert!(!runs(id), "a zombie does not run");
        child.wait().unwrap();
    }

    #[test]
    fn a_process_runs_until_its_last_thread_ends() {
        let script = "import ctypes, threading, time\n\
                      threading.Thread(target=time.sleep, args=(1000,)).start()\n\
                      ctypes.CDLL(None).pthread_exit(None)";
        let mut child = Command::new("python3").args(["-c", script]).spawn().unwrap();
        let id = child.id();
        let is_zombie = || state_and_parent(id).is_some_and(|(state, _)| state == 'Z');
        crate::wait_for("the end of its first thread", || is_zombie().then_some(()));
        assert!(child.try_wait().unwrap().is_none() && runs(id));
        send(id, Signal::KILL);
        wait_for_end(id, Duration::from_secs(60)).unwrap();
        assert!(child.try_wait().unwrap().is_some(), "its exit status is there");
    }
}
