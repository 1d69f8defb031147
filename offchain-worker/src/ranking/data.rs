//! Answers of models, and the leaderboard that they are compared with, as JSON lines.
//!
//! A folder has a file for each model, or files with several models:
//!
//! ```json
//! {"model": "small", "question": "What is the capital of France?", "answer": "Paris."}
//! ```
//!
//! Without `model` it is the file's name without `.jsonl`. A leaderboard has a line for each model, and a higher value is a better
//! model: `{"model": "small", "value": 1043}`. Empty lines and unknown fields are fine.

use crate::{calibration::lines, text::one_line};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufReader, Read as _},
    path::{Path, PathBuf},
};

/// Most answers of all models together.
pub const MAX_ANSWERS: usize = 1_000_000;

/// Largest file, in bytes, and all together: the answers are in memory.
pub const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// Most files of a folder.
pub const MAX_FILES: usize = 10_000;

/// Longest name of a model, in bytes.
pub const MAX_NAME_BYTES: usize = 200;

/// An answer of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Place of the model among the names.
    pub model: usize,
    /// Place of the question.
    pub question: usize,
    /// The answer.
    pub answer: String,
}

/// Answers of models to questions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Names of the models, sorted.
    pub models: Vec<String>,
    /// The questions, in the order they came.
    pub questions: Vec<String>,
    /// The answers, in the order they came.
    pub outputs: Vec<Output>,
}

/// A line with an answer.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Line {
    model: Option<String>,
    question: String,
    answer: String,
}

/// Reads one line with an answer. The error does not name it.
pub fn parse_line(line: &[u8]) -> Result<Line, String> {
    let line: Line =
        lines::object(line, "a question, an answer and, unless the file is named after it, a model")?;
    line.model.as_deref().map_or(Ok(()), check_name)?;
    Ok(line)
}

/// Reads the answers of all `.jsonl` files in the folder `path`, or those of the file `path`, by two models at least. Errors are one line
/// for people.
pub fn read(path: &Path) -> Result<Outputs, String> {
    let outputs = read_any(path)?;
    match outputs.models.len() {
        0 | 1 => Err(format!(
            "{} has answers of {} models, and at least 2 are needed; a line is {{\"model\": …, \"question\": …, \
             \"answer\": …}}",
            path.display(),
            outputs.models.len()
        )),
        _ => Ok(outputs),
    }
}

/// Reads answers as [`read`] does, by any number of models.
pub fn read_any(path: &Path) -> Result<Outputs, String> {
    let mut all = Vec::new();
    let mut left = MAX_BYTES;
    for file in files_of(path)? {
        let named = |error: String| format!("{}: {error}", file.display());
        let own = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (reader, bytes) = open(&file, left).map_err(named)?;
        left = left.saturating_sub(bytes);
        let most = MAX_ANSWERS.saturating_sub(all.len());
        for line in lines::read(reader, most, parse_line).map_err(named)? {
            let model = line.model.unwrap_or_else(|| own.clone());
            check_name(&model).map_err(|error| named(format!("its file name {error}")))?;
            all.push((model, line.question, line.answer));
        }
    }
    Ok(Outputs::of(all))
}

impl Outputs {
    /// Of models, questions and answers, in the order they came.
    pub fn of(lines: Vec<(String, String, String)>) -> Self {
        let mut places: BTreeMap<String, usize> =
            lines.iter().map(|(model, _, _)| (model.clone(), 0)).collect();
        let mut models = Vec::with_capacity(places.len());
        for (place, (name, known)) in places.iter_mut().enumerate() {
            *known = place;
            models.push(name.clone());
        }
        let (mut known, mut questions) = (HashMap::new(), Vec::new());
        let mut outputs = Vec::with_capacity(lines.len());
        for (model, question, answer) in lines {
            let next = known.len();
            let question = *known.entry(question).or_insert_with_key(|question: &String| {
                questions.push(question.clone());
                next
            });
            outputs.push(Output { model: places.get(&model).copied().unwrap_or_default(), question, answer });
        }
        Self { models, questions, outputs }
    }
}

/// Reads a leaderboard: the value of each model that it names, finite. Errors are one line for people.
pub fn read_leaderboard(path: &Path) -> Result<BTreeMap<String, f64>, String> {
    #[derive(Deserialize)]
    struct Place {
        model: String,
        value: f64,
    }
    let named = |error: String| format!("{}: {error}", path.display());
    let (reader, _) = open(path, MAX_BYTES).map_err(named)?;
    let places = lines::read(reader, MAX_ANSWERS, |line| {
        let place: Place = lines::object(line, "a model and its value, a number")?;
        check_name(&place.model)?;
        if !place.value.is_finite() {
            return Err("has a value that is not finite".to_owned());
        }
        Ok(place)
    });
    let mut values = BTreeMap::new();
    for Place { model, value } in places.map_err(named)? {
        if values.insert(model.clone(), value).is_some() {
            return Err(named(format!("the model '{model}' stands there twice; leave one line")));
        }
    }
    Ok(values)
}

fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        let shown: String = one_line(name).chars().take(40).collect();
        return Err(format!(
            "names the model {shown:?}; a name has 1 to {MAX_NAME_BYTES} bytes, and no control characters"
        ));
    }
    Ok(())
}

/// The files that are read, sorted by name.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, String> {
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    if !std::fs::metadata(path).map_err(named)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(named)? {
        let file = entry.map_err(named)?.path();
        let hidden = file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if file.extension().is_some_and(|extension| extension == "jsonl") && !hidden {
            files.push(file);
        }
        if files.len() > MAX_FILES {
            return Err(format!("{} has more than {MAX_FILES} files", path.display()));
        }
    }
    if files.is_empty() {
        return Err(format!("{} has no .jsonl files; put one there for each model", path.display()));
    }
    files.sort();
    Ok(files)
}

/// A reader of the file, which has at most `most` bytes, and how many it has.
fn open(path: &Path, most: u64) -> Result<(BufReader<std::io::Take<File>>, u64), String> {
    let text = |error: std::io::Error| error.to_string();
    let file = File::open(path).map_err(text)?;
    let metadata = file.metadata().map_err(text)?;
    if !metadata.is_file() {
        return Err("is no file".to_owned());
    }
    if metadata.len() > most {
        return Err(format!("all files together may have {MAX_BYTES} bytes; take a sample"));
    }
    Ok((BufReader::new(file.take(most)), metadata.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    #[test]
    fn files_of_one_model_and_of_several_are_read() {
        let folder = folder(&[
            (
                "b.jsonl",
                "{\"question\": \"q1\", \"answer\": \"x\"}\n\n{\"question\": \"q2\", \"answer\": \"\"}",
            ),
            (
                "a.jsonl",
                "\u{feff}{\"model\": \"z\", \"question\": \"q2\", \"answer\": \"y\", \"more\": [1]}\r\n",
            ),
            (".hidden.jsonl", "nonsense"),
            ("readme.md", "nonsense"),
        ]);
        let outputs = read(folder.path()).unwrap();
        assert_eq!(outputs.models, ["b", "z"]);
        assert_eq!(outputs.questions, ["q2", "q1"]);
        let places: Vec<_> =
            outputs.outputs.iter().map(|o| (o.model, o.question, o.answer.as_str())).collect();
        assert_eq!(places, [(1, 0, "y"), (0, 1, "x"), (0, 0, "")]);
        let one = read(&folder.path().join("b.jsonl")).unwrap_err();
        assert!(one.contains("answers of 1 models"), "{one}");
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        let good = r#"{"model": "m", "question": "q", "answer": "a"}"#;
        let long = "n".repeat(MAX_NAME_BYTES + 1);
        let long = format!(r#"{{"model": "{long}", "question": "q", "answer": "a"}}"#);
        for (line, said) in [
            ("nonsense", "no JSON object with a question"),
            (r#"{"question": "q"}"#, "answer"),
            (r#"{"model": "", "question": "q", "answer": "a"}"#, "1 to 200 bytes"),
            (r#"{"model": "a\nb", "question": "q", "answer": "a"}"#, "control characters"),
            (&long, "1 to 200 bytes"),
        ] {
            let folder = folder(&[("x.jsonl", &format!("{good}\n{line}\n"))]);
            let error = read(folder.path()).unwrap_err();
            assert!(error.contains("x.jsonl: line 2 ") && error.contains(said), "{error}");
            assert!(error.lines().count() == 1 && error.len() < 400, "{error}");
        }
        assert!(read(folder(&[]).path()).unwrap_err().contains("no .jsonl files"));
        assert!(read(Path::new("/nowhere")).unwrap_err().contains("/nowhere"));
        assert!(read(Path::new("/dev/null")).unwrap_err().contains("is no file"));
    }

    #[test]
    fn a_leaderboard_names_each_model_once() {
        let read = |text: &str| read_leaderboard(&folder(&[("board", text)]).path().join("board"));
        let values = read("{\"model\": \"b\", \"value\": -3}\n{\"model\": \"a\", \"value\": 1.5}\n").unwrap();
        assert_eq!(values.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 1.5), ("b".to_owned(), -3.0)]);
        let twice = "{\"model\": \"b\", \"value\": 1}\n".repeat(2);
        assert!(read(&twice).unwrap_err().contains("'b' stands there twice"));
        for (line, said) in [
            (r#"{"model": "b"}"#, "a model and its value"),
            (r#"{"model": "b", "value": "1"}"#, "a model and its value"),
            (r#"{"model": "b", "value": 1e999}"#, "line 1"),
        ] {
            assert!(read(line).unwrap_err().contains(said), "{line}");
        }
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise: Vec<u8>, text: String) {
            let _either = parse_line(&noise);
            let quoted = serde_json::to_string(&text).unwrap();
            let line = format!(r#"{{"model": {quoted}, "question": {quoted}, "answer": {quoted}}}"#);
            let _either = parse_line(line.as_bytes());
        }
    }
}
