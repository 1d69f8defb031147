//! Answers and what people think of them, as JSON lines:
//!
//! ```json
//! {"question": "What is the capital of France?", "answer": "Paris.", "label": 1}
//! {"question": "What is the capital of France?", "answer": "Rome.", "label": false}
//! ```
//!
//! or, graded, with `"value": 3.5` in place of the label. Empty lines and unknown fields are fine.

use super::{fit::FOLDS, lines};
use serde::Deserialize;
use serde_json::Value;
use std::{
    collections::HashSet,
    io::{self, BufRead, Read as _},
    path::Path,
    str::FromStr,
};

/// Fewest pairs that say anything.
pub const MIN_PAIRS: usize = 20;

/// Most pairs of a file.
pub const MAX_PAIRS: usize = 1_000_000;

/// Largest file, in bytes: all pairs are in memory.
pub const MAX_DATA_BYTES: u64 = 1024 * 1024 * 1024;

/// Lowest and highest grade.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    low: f64,
    high: f64,
}

impl Range {
    fn new(low: f64, high: f64) -> Option<Self> {
        (low < high && (high - low).is_finite()).then_some(Self { low, high })
    }

    fn scale(self, value: f64) -> f64 {
        ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (low, high) = text.split_once("..")?;
            Self::new(low.trim().parse().ok()?, high.trim_start_matches('=').trim().parse().ok()?)
        };
        read()
            .ok_or_else(|| format!("'{text}' is no range; give the lowest and the highest grade, as in 1..5"))
    }
}

/// An answer, and what people think of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// Its value, 0 to 1.
    pub value: f64,
    /// Whether it counts as good.
    pub good: bool,
}

/// Content of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Data {
    /// The pairs, in their order.
    pub pairs: Vec<Pair>,
    /// Whether there are grades, and not only good and bad.
    pub graded: bool,
}

/// Meaning of values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Meaning {
    /// The values that become 0 and 1; without them, the lowest and the highest of the file.
    pub range: Option<Range>,
    /// Answers with a value above this are good; without it, those above the mean. (The median would leave nothing
    /// above it where more than half of the values are the highest one.)
    pub threshold: Option<f64>,
}

/// One line, before the values of all are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    question: String,
    answer: String,
    value: f64,
    graded: bool,
}

/// Reads one line. The error does not name it.
pub fn parse_line(line: &[u8]) -> Result<Line, String> {
    #[derive(Deserialize)]
    struct Fields {
        question: String,
        answer: String,
        label: Option<Value>,
        value: Option<f64>,
    }
    let fields: Fields = lines::object(line, "a question, an answer and a label or value")?;
    let (value, graded) = match (fields.label, fields.value) {
        (Some(Value::Bool(truth)), None) => (f64::from(u8::from(truth)), false),
        (Some(label), None) => match label.as_f64().filter(|number| [0.0, 1.0].contains(number)) {
            Some(number) => (number, false),
            None => {
                return Err(format!("has the label {label}; a label is 0 or 1, and a grade is a \"value\""))
            }
        },
        (None, Some(value)) if value.is_finite() => (value, true),
        (None, Some(_)) => return Err("has a value that is not finite".to_owned()),
        (Some(_), Some(_)) => return Err("has a label and a value; give one of them".to_owned()),
        (None, None) => return Err("has neither \"label\" (0 or 1) nor \"value\" (a number)".to_owned()),
    };
    Ok(Line { question: fields.question, answer: fields.answer, value, graded })
}

/// Reads a file. Errors are one line for people, and name the line of the file.
pub fn read(path: &Path, meaning: Meaning) -> Result<Data, String> {
    let named = |error: String| format!("{}: {error}", path.display());
    let file = std::fs::File::open(path).map_err(|error| named(error.to_string()))?;
    let bytes = file.metadata().map_err(|error| named(error.to_string()))?.len();
    if bytes > MAX_DATA_BYTES {
        return Err(named(format!("{bytes} bytes; most that is read is {MAX_DATA_BYTES}, so take a sample")));
    }
    parse(io::BufReader::new(file.take(MAX_DATA_BYTES)), meaning).map_err(named)
}

/// Reads lines as [`read`] does.
pub fn parse(reader: impl BufRead, meaning: Meaning) -> Result<Data, String> {
    let lines = lines::read(reader, MAX_PAIRS, parse_line)?;
    let graded = lines.iter().any(|line| line.graded);
    if graded && lines.iter().any(|line| !line.graded) {
        return Err("some lines have a label and some a value; give one of them throughout".to_owned());
    }
    if lines.len() < MIN_PAIRS {
        return Err(format!("{} pairs; at least {MIN_PAIRS} are needed", lines.len()));
    }
    let questions: HashSet<&str> = lines.iter().map(|line| line.question.as_str()).collect();
    if questions.len() < FOLDS {
        return Err(format!(
            "{} different questions; at least {FOLDS} are needed, since what is measured is not what was fitted",
            questions.len()
        ));
    }
    let pairs = understand(lines, meaning, graded)?;
    if pairs.iter().all(|pair| pair.good) || !pairs.iter().any(|pair| pair.good) {
        return Err("all answers are good, or all are bad; both kinds are needed".to_owned());
    }
    Ok(Data { pairs, graded })
}

fn understand(lines: Vec<Line>, meaning: Meaning, graded: bool) -> Result<Vec<Pair>, String> {
    let values = || lines.iter().map(|line| line.value);
    let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
    let range = match (graded, meaning.range) {
        // Labels are 0 and 1 already.
        (false, _) => Some(Range { low: 0.0, high: 1.0 }),
        (true, None) => Range::new(low, high),
        (true, range) => range,
    };
    let range = range.ok_or("all values are the same, so there is nothing to tell apart")?;
    if low < range.low || high > range.high {
        return Err(format!(
            "values from {low} to {high} are outside of the range {}..{}; give another --range",
            range.low, range.high
        ));
    }
    // The mean over shares of each: the sum of large values could overflow.
    let count = lines.len().max(1) as f64;
    let threshold = meaning.threshold.unwrap_or_else(|| values().map(|value| value / count).sum());
    Ok(lines
        .into_iter()
        .map(|line| Pair {
            good: line.value > threshold,
            value: range.scale(line.value),
            question: line.question,
            answer: line.answer,
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(values: impl IntoIterator<Item = &'static str>) -> String {
        let line =
            |(n, value)| format!(r#"{{"question":"q{}","answer":"a{n}",{value},"more":[1]}}"#, n % 7) + "\n";
        values.into_iter().enumerate().map(line).collect()
    }

    fn read(text: &str, meaning: Meaning) -> Result<Data, String> {
        parse(text.as_bytes(), meaning)
    }

    #[test]
    fn labels_of_all_kinds_are_read() {
        let kinds = [r#""label":0"#, r#""label":true"#, r#""label":1"#, r#""label":false"#, r#""label":1.0"#];
        let text = file(kinds.into_iter().cycle().take(20));
        let data =
            read(&format!("\u{feff}\r\n\n{}", text.replace('\n', "\r\n")), Meaning::default()).unwrap();
        assert!(!data.graded && data.pairs.len() == 20);
        let values: Vec<f64> = data.pairs.iter().take(5).map(|pair| pair.value).collect();
        assert_eq!(values, [0.0, 1.0, 1.0, 0.0, 1.0]);
        assert!(data.pairs.iter().all(|pair| pair.good == (pair.value == 1.0)));
        assert_eq!(data.pairs[8].question, "q1");
        assert_eq!(read(text.trim_end(), Meaning::default()).unwrap(), data, "the last line needs no end");
    }

    #[test]
    fn grades_are_scaled() {
        let text = file(
            [r#""value":2"#, r#""value":5"#, r#""value":3"#, r#""value":2"#].into_iter().cycle().take(20),
        );
        let values = |meaning| {
            let data = read(&text, meaning).unwrap();
            data.pairs.into_iter().take(3).map(|pair| (pair.value, pair.good)).collect::<Vec<_>>()
        };
        // The mean is 3.
        assert_eq!(values(Meaning::default()), [(0.0, false), (1.0, true), (1.0 / 3.0, false)]);
        let range = Some("1..5".parse().unwrap());
        assert_eq!(values(Meaning { range, threshold: None }), [(0.25, false), (1.0, true), (0.5, false)]);
        let threshold = Some(2.5);
        assert_eq!(values(Meaning { range, threshold }), [(0.25, false), (1.0, true), (0.5, true)]);
        let outside = Meaning { range: Some("0..4.5".parse().unwrap()), threshold: None };
        assert!(read(&text, outside).unwrap_err().contains("outside of the range 0..4.5"));
        for threshold in [1.0, 5.0] {
            let error = read(&text, Meaning { range: None, threshold: Some(threshold) }).unwrap_err();
            assert!(error.contains("both kinds"), "{error}");
        }
        assert_eq!("-1..=1".parse(), Ok(Range { low: -1.0, high: 1.0 }));
        for bad in ["", "..", "1..1", "2..1", "0..NaN", "0..inf", "-inf..0", "5", "a..b"] {
            assert!(bad.parse::<Range>().unwrap_err().contains("1..5"), "{bad}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let good = file([r#""label":0"#, r#""label":1"#].into_iter().cycle().take(19));
        let cases = [
            (r#"{"question":"q","answer":"a"}"#, "neither"),
            (r#"{"question":"q","answer":"a","label":2}"#, "label 2"),
            (r#"{"question":"q","answer":"a","label":"yes"}"#, "label \"yes\""),
            (r#"{"question":"q","answer":"a","label":1,"value":1}"#, "one of them"),
            (r#"{"question":"q","label":1}"#, "answer"),
            (r#"{"question":"q","answer":null,"label":1}"#, "no JSON object"),
            ("[1,2]", "no JSON object"),
            ("{", "no JSON object"),
            (r#"{"question":"q","answer":"a","value":1e999}"#, "line 21"),
        ];
        for (line, said) in cases {
            let error = read(&format!("{good}\n{line}\n"), Meaning::default()).unwrap_err();
            assert!(error.starts_with("line 21 ") && error.contains(said), "{error}");
            assert!(error.lines().count() == 1 && !error.contains("line 1"), "{error}");
        }
        let error =
            parse([good.as_bytes(), b"{\"question\":\"\xff\"}"].concat().as_slice(), Meaning::default());
        assert!(error.unwrap_err().contains("line 20 is not UTF-8"));
        let mixed = good + r#"{"question":"q","answer":"a","value":1}"#;
        assert!(read(&mixed, Meaning::default()).unwrap_err().contains("throughout"));
    }

    #[test]
    fn too_little_is_refused() {
        let labels = |count| file([r#""label":0"#, r#""label":1"#].into_iter().cycle().take(count));
        assert!(read("", Meaning::default()).unwrap_err().contains("0 pairs"));
        assert!(read(&labels(19), Meaning::default()).unwrap_err().contains("19 pairs"));
        read(&labels(20), Meaning::default()).unwrap();
        let same = file(std::iter::repeat_n(r#""label":1"#, 20));
        assert!(read(&same, Meaning::default()).unwrap_err().contains("both kinds"));
        let same = file(std::iter::repeat_n(r#""value":0.5"#, 20));
        assert!(read(&same, Meaning::default()).unwrap_err().contains("all values are the same"));
        let few = labels(20).replace("\"q6", "\"q1").replace("\"q5", "\"q1").replace("\"q4", "\"q1");
        assert!(read(&few, Meaning::default()).unwrap_err().contains("4 different questions"));
        read(&few.replacen("\"q1", "\"q4", 1), Meaning::default()).unwrap();
    }

    #[test]
    fn a_line_has_its_limit() {
        let most = lines::MAX_LINE_BYTES;
        let around = br#"{"question":"q","answer":"","label":1}"#.len() as u64;
        let line = |bytes: u64| {
            let answer = "x".repeat(usize::try_from(bytes - around).unwrap());
            format!(r#"{{"question":"q","answer":"{answer}","label":1}}"#)
        };
        assert!(read(&line(most), Meaning::default()).unwrap_err().contains("1 pairs"));
        assert!(read(&line(most + 1), Meaning::default()).unwrap_err().contains("line 1 is longer"));
    }

    proptest! {
        #[test]
        fn noise_never_panics(noise: Vec<u8>) {
            let _ = parse_line(&noise);
            let _ = parse(noise.as_slice(), Meaning::default());
        }

        #[test]
        fn lines_of_any_json_never_panic(
            question: String,
            value in prop_oneof![Just("null".to_owned()), any::<f64>().prop_map(|x| format!("{x:e}")), ".*"],
        ) {
            let question = serde_json::to_string(&question).unwrap();
            let line = format!(r#"{{"question":{question},"answer":{question},"value":{value}}}"#);
            if let Ok(line) = parse_line(line.as_bytes()) {
                prop_assert!(line.value.is_finite());
            }
        }

        #[test]
        fn scaled_values_are_in_range(values in prop::collection::vec(any::<f64>(), 20..40)) {
            let lines: Vec<Line> = values.iter().filter(|value| value.is_finite()).map(|value| Line {
                question: value.to_string(), answer: String::new(), value: *value, graded: true,
            }).collect();
            if let Ok(pairs) = understand(lines, Meaning::default(), true) {
                prop_assert!(pairs.iter().all(|pair| (0.0..=1.0).contains(&pair.value)));
            }
        }
    }
}
