//! The job store: one file per job, so that a crash loses nothing that was promised.
//!
//! Fields that a later version of the engine adds to a record are ignored. A record that this version cannot understand although it
//! is whole is a later version's: it is left alone, for the time when that version runs again, and whoever asks for the job is
//! told so. What is damaged is set aside.

use crate::{files, job_id::JobId};
use poq_primitives::job::{FailureReason, Job, JobError, JobState};
use serde::{de::IgnoredAny, Deserialize, Serialize};
use std::{
    collections::HashSet,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Version of the files' format.
const FORMAT: u32 = 1;

/// A job as the store keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// The job's id; also the file's name.
    pub id: JobId,
    /// The job.
    pub job: Job,
    /// Deaths of the model's process under it.
    #[serde(alias = "attempts")]
    pub deaths: u32,
    /// When it came, in milliseconds since 1970; orders the queue after a restart.
    pub created_ms: u64,
    /// The job's deadline, in milliseconds since 1970: its result is of no use afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Its state.
    pub state: JobState,
}

/// Fields that every version of the engine writes.
#[derive(Deserialize)]
struct Header {
    format: u32,
    id: JobId,
}

/// Fields that every record of this format has, whatever their values: a record that lacks one is damaged.
#[derive(Deserialize)]
struct Whole {
    #[serde(rename = "job")]
    _job: IgnoredAny,
    #[serde(rename = "deaths", alias = "attempts")]
    _deaths: IgnoredAny,
    #[serde(rename = "created_ms")]
    _created_ms: IgnoredAny,
    #[serde(rename = "state")]
    _state: IgnoredAny,
}

/// A job whose record a later version of the engine wrote.
#[derive(Debug, thiserror::Error)]
#[error("the record {} was {why}; run that version, or remove the file to have the job done anew", path.display())]
pub struct NewerRecord {
    path: PathBuf,
    why: RecordError,
}

/// Why a file is not a job's record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It is not the JSON of a record.
    #[error("not a job record: {0}")]
    Json(#[from] serde_json::Error),
    /// A later version of the engine wrote it.
    #[error("written by a later version of the engine: {0}")]
    Newer(String),
    /// It is another job's.
    #[error("holds the job {0}")]
    Id(JobId),
}

impl Record {
    /// A job that has just come, without a deadline.
    pub fn new(id: JobId, job: Job) -> Self {
        let (created_ms, state) = (now_ms(), JobState::Queued);
        Self { format: FORMAT, id, job, deaths: 0, created_ms, deadline_ms: None, state }
    }

    /// The same job, to be done (again).
    pub fn queued(self) -> Self {
        Self { state: JobState::Queued, ..self }
    }

    /// Reads the record of the job `id`.
    pub fn parse(id: JobId, json: &[u8]) -> Result<Self, RecordError> {
        let Header { format, id: of } = serde_json::from_slice(json)?;
        if of != id {
            return Err(RecordError::Id(of));
        }
        if format > FORMAT {
            let why = format!("its format is {format}, and this version knows formats up to {FORMAT}");
            return Err(RecordError::Newer(why));
        }
        let Whole { .. } = serde_json::from_slice(json)?;
        match serde_json::from_slice(json) {
            Err(error) if error.is_data() => Err(RecordError::Newer(error.to_string())),
            outcome => Ok(outcome?),
        }
    }

    /// Whether nothing more will happen to the job.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, JobState::Done { .. } | JobState::Failed { .. })
    }

    /// Whether the job is unfinished and its deadline has passed at `now_ms`.
    pub fn is_late(&self, now_ms: u64) -> bool {
        !self.is_finished() && self.is_past(now_ms)
    }

    /// Whether the job failed as too late and its deadline has passed at `now_ms`. A job that ran out of its running
    /// time before its deadline did not miss it.
    pub fn missed_deadline(&self, now_ms: u64) -> bool {
        let late = |error: &JobError| error.code == FailureReason::DeadlineExceeded;
        matches!(&self.state, JobState::Failed { error } if late(error)) && self.is_past(now_ms)
    }

    fn is_past(&self, now_ms: u64) -> bool {
        self.deadline_ms.is_some_and(|deadline_ms| deadline_ms <= now_ms)
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// A folder of job records.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// Opens the folder, makes it if it is not there, and clears away what a crash left half written.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(files::TEMPORARY_PREFIX) {
                // What cannot be removed is in nobody's way.
                let _stays = fs::remove_file(entry.path());
            }
        }
        Ok(Self { folder })
    }

    /// The record of `id`. What is damaged is set aside, and the job is then unknown. Errors name the file; one of them is
    /// [`NewerRecord`].
    pub fn get(&self, id: JobId) -> io::Result<Option<Record>> {
        let path = self.path(id);
        let error = match files::read_regular(&path) {
            Ok(json) => match Record::parse(id, &json) {
                Ok(record) => return Ok(Some(record)),
                Err(why @ RecordError::Newer(_)) => return Err(io::Error::other(NewerRecord { path, why })),
                Err(error) => error.to_string(),
            },
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound => return Ok(None),
                io::ErrorKind::IsADirectory | io::ErrorKind::InvalidData => error.to_string(),
                _ => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
            },
        };
        set_aside(id, &path, &error);
        Ok(None)
    }

    /// Writes a record. When this returns, it survives the end of this process; a finished one also survives a power
    /// failure, because an answer may be promised on chain before it is shown. (An unfinished one that is lost with
    /// the machine is asked for again. One that missed its deadline is late again when it is read as unfinished; many
    /// may miss theirs at one moment, and a flush takes milliseconds.)
    pub fn put(&self, record: &Record) -> io::Result<()> {
        let (path, json) = (self.path(record.id), serde_json::to_vec(record)?);
        match record.is_finished() && !record.missed_deadline(now_ms()) {
            true => files::write_atomically(&path, &json),
            false => files::write_unflushed(&path, &json),
        }
    }

    /// Forgets `id`; unknown ids are fine.
    pub fn remove(&self, id: JobId) -> io::Result<()> {
        files::remove_durably(&self.path(id))
    }

    /// All jobs that are not finished, oldest first. Those of a later version of the engine are named in the log.
    pub fn unfinished(&self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        for (id, _) in self.files()? {
            match self.get(id) {
                Ok(record) => records.extend(record.filter(|record| !record.is_finished())),
                Err(error) if is_newer(&error) => tracing::warn!(%id, %error, "a job is left alone"),
                Err(error) => return Err(error),
            }
        }
        records.sort_by_key(|record| (record.created_ms, record.id));
        Ok(records)
    }

    /// Removes records that were last written more than `age` ago, except those in `keep`. Returns how many.
    pub fn sweep(&self, age: Duration, keep: &HashSet<JobId>) -> io::Result<usize> {
        let mut removed: usize = 0;
        for (id, entry) in self.files()? {
            let written = entry.metadata().and_then(|metadata| metadata.modified());
            let old = written.is_ok_and(|time| time.elapsed().is_ok_and(|elapsed| elapsed > age));
            if old && !keep.contains(&id) {
                self.remove(id)?;
                removed = removed.saturating_add(1);
            }
        }
        Ok(removed)
    }

    fn files(&self) -> io::Result<Vec<(JobId, fs::DirEntry)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(|id| id.parse().ok());
            files.extend(id.map(|id| (id, entry)));
        }
        Ok(files)
    }

    fn path(&self, id: JobId) -> PathBuf {
        self.folder.join(format!("{id}.json"))
    }
}

fn is_newer(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<NewerRecord>())
}

fn set_aside(id: JobId, path: &Path, error: &str) {
    let aside = path.with_extension("json.corrupt");
    let moved = fs::rename(path, &aside);
    tracing::warn!(%id, error, aside = %aside.display(), ?moved, "a job's file is damaged and was set aside");
}

#[cfg(test)]
mod tests {
    use super::*;
    use poq_primitives::job::{GenerateJob, JobResult, ScoreJob};
    use proptest::prelude::*;

    fn a_job() -> impl Strategy<Value = Job> {
        prop_oneof![
            (".*", ".*", any::<(u32, u32, u32, u32)>()).prop_map(|(model, prompt, (a, b, c, d))| {
                Job::Generate(GenerateJob {
                    model,
                    prompt,
                    max_tokens: a,
                    max_bytes: b,
                    temperature_milli: c,
                    seed: d,
                })
            }),
            (".*", ".*", prop::collection::vec(".*", 0..4))
                .prop_map(|(model, prompt, responses)| Job::Score(ScoreJob { model, prompt, responses })),
        ]
    }

    fn a_state() -> impl Strategy<Value = JobState> {
        prop_oneof![
            Just(JobState::Queued),
            Just(JobState::Running),
            (".*", any::<u32>())
                .prop_map(|(text, tokens)| JobState::Done { result: JobResult::Generate { text, tokens } }),
            prop::collection::vec(any::<u32>(), 0..4)
                .prop_map(|scores| JobState::Done { result: JobResult::Score { scores } }),
            ".*".prop_map(|message| JobState::Failed {
                error: JobError { code: FailureReason::InvalidJob, message }
            }),
        ]
    }

    fn a_record() -> impl Strategy<Value = Record> {
        (any::<[u8; 32]>(), a_job(), a_state(), any::<(u32, Option<u64>)>()).prop_map(
            |(id, job, state, (deaths, deadline_ms))| Record {
                state,
                deaths,
                deadline_ms,
                ..Record::new(id.into(), job)
            },
        )
    }

    proptest! {
        #[test]
        fn every_record_reads_back(record in a_record()) {
            let json = serde_json::to_vec(&record).unwrap();
            prop_assert_eq!(Record::parse(record.id, &json).unwrap(), record);
        }

        #[test]
        fn damage_never_panics(
            record in a_record(),
            at: prop::sample::Index,
            bit in 0_u8..8,
            cut: prop::sample::Index,
        ) {
            let mut json = serde_json::to_vec(&record).unwrap();
            let index = at.index(json.len());
            json[index] ^= 1 << bit;
            let _ = Record::parse(record.id, &json);
            let cut = cut.index(json.len());
            prop_assert!(Record::parse(record.id, &json[..cut]).is_err(), "a cut record is no record");
        }

        #[test]
        fn noise_is_no_record(noise: Vec<u8>) {
            prop_assert!(Record::parse([0; 32].into(), &noise).is_err());
        }
    }

    fn record(byte: u8) -> Record {
        let job = ScoreJob { model: "m".into(), prompt: "p".into(), responses: vec!["r".into()] };
        Record::new([byte; 32].into(), Job::Score(job))
    }

    #[test]
    fn records_survive_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("jobs")).unwrap();
        let record = record(1);
        store.put(&record).unwrap();
        let store = Store::open(folder.path().join("jobs")).unwrap();
        assert_eq!(store.get(record.id).unwrap(), Some(record));
        store.remove([1; 32].into()).unwrap();
        store.remove([1; 32].into()).unwrap();
        assert_eq!(store.get([1; 32].into()).unwrap(), None);
    }

    #[test]
    fn a_deadline_is_stored_and_records_without_one_read_as_before() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_owned()).unwrap();
        let mut record = record(1);
        let without = serde_json::to_string(&record).unwrap();
        assert!(!without.contains("deadline"), "an engine from before deadlines reads it, too");
        assert_eq!(Record::parse(record.id, without.as_bytes()).unwrap().deadline_ms, None);
        record.deadline_ms = Some(1_700_000_000_000);
        store.put(&record).unwrap();
        assert_eq!(store.get(record.id).unwrap(), Some(record));
    }

    #[test]
    fn a_job_misses_its_deadline_once_it_has_passed_and_not_before() {
        let mut record = record(1);
        assert!(!record.is_late(u64::MAX));
        record.deadline_ms = Some(5);
        assert!(record.is_late(5) && !record.is_late(4) && !record.missed_deadline(5));
        let failed = |code| JobState::Failed { error: JobError { code, message: String::new() } };
        record.state = failed(FailureReason::DeadlineExceeded);
        assert!(record.missed_deadline(5) && !record.missed_deadline(4) && !record.is_late(5));
        record.state = failed(FailureReason::Internal);
        assert!(!record.missed_deadline(5) && !record.is_late(5));
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_owned()).unwrap();
        store.put(&record(1)).unwrap();
        let id = JobId::from([2; 32]);
        fs::write(store.path(id), "{\"half\":").unwrap();
        // A whole record, under another job's name.
        fs::copy(store.path([1; 32].into()), store.path([3; 32].into())).unwrap();
        let lacking = serde_json::to_string(&record(4)).unwrap().replace("\"deaths\"", "\"deathz\"");
        fs::write(store.path([4; 32].into()), lacking).unwrap();
        assert_eq!(store.unfinished().unwrap().len(), 1);
        assert_eq!(store.get(id).unwrap(), None);
        assert!(folder.path().join(format!("{id}.json.corrupt")).exists());
        assert!(!store.path([3; 32].into()).exists() && !store.path([4; 32].into()).exists());
    }

    #[test]
    fn what_a_later_version_wrote_is_left_alone_and_named() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().to_owned()).unwrap();
        let json = |byte: u8| serde_json::to_value(record(byte)).unwrap();
        let mut later = [json(1), json(2), json(3), json(4)];
        later[0]["format"] = (FORMAT + 1).into();
        later[1]["job"]["kind"] = "dance".into();
        later[2]["state"] = serde_json::json!({ "state": "paused" });
        later[3]["more"] = "field".into();
        for (byte, json) in (1_u8..).zip(&later) {
            fs::write(store.path([byte; 32].into()), json.to_string()).unwrap();
        }
        let unfinished = store.unfinished().unwrap();
        assert_eq!(unfinished.iter().map(|record| record.id).collect::<Vec<_>>(), [JobId::from([4; 32])]);
        for byte in 1..4 {
            let (id, path) = (JobId::from([byte; 32]), store.path([byte; 32].into()));
            let error = store.get(id).unwrap_err();
            let said = error.to_string();
            assert!(is_newer(&error) && said.contains(path.to_str().unwrap()), "{said}");
            assert_eq!(fs::read_to_string(path).unwrap(), later[usize::from(byte) - 1].to_string());
        }
    }

    #[test]
    fn half_written_files_go_and_old_ones_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".tmp-abc"), "half").unwrap();
        let store = Store::open(folder.path().to_owned()).unwrap();
        assert!(!folder.path().join(".tmp-abc").exists());
        for byte in [1, 2] {
            store.put(&record(byte)).unwrap();
            let old = SystemTime::now() - Duration::from_secs(1000);
            fs::File::open(store.path([byte; 32].into())).unwrap().set_modified(old).unwrap();
        }
        store.put(&record(3)).unwrap();
        let keep = HashSet::from([JobId::from([2; 32])]);
        assert_eq!(store.sweep(Duration::from_secs(500), &keep).unwrap(), 1);
        assert_eq!(store.get([1; 32].into()).unwrap(), None);
        assert!(store.get([2; 32].into()).unwrap().is_some() && store.get([3; 32].into()).unwrap().is_some());
    }
}
