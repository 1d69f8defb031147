//! Fuzzed functions, tried on arbitrary bytes: one function for each parser of bytes that come from elsewhere. Each ends quietly,
//! or panics because the parser did, or because what it says of itself does not hold.
//!
//! The fuzz targets are made of these, and so is the test `fuzz_smoke` of the engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use poq_primitives::job::Job;
use poq_worker::{
    api::{
        self, chat::ChatRequest, cohere::CohereRerankRequest, embeddings::EmbeddingsRequest,
        pairs::PairsRequest, rerank::RerankRequest,
    },
    calibration::data::{self, Meaning, Range},
    config::ConfigFile,
    generator::{grammar::Reader, schema::grammar_of, template::Template},
    json::Json,
    models::{classifier, faults, gguf::Head, manifest::Manifest, source::Source, weights},
    ranking::data::parse_line,
    remote::sse::{Event, Parser, TooLong},
    store::Record,
    text::Text,
    work::{Extras, Form, Message, Role},
};
use std::io::{Cursor, Write as _};

/// The id of the job whose record [`job_record`] reads.
pub const RECORD_ID: [u8; 32] = [0xab; 32];

/// A job, as it comes in a request.
pub fn job_json(bytes: &[u8]) {
    let Ok(job) = serde_json::from_slice::<Job>(bytes) else { return };
    let again = serde_json::to_vec(&job).unwrap();
    assert_eq!(serde_json::from_slice::<Job>(&again).unwrap(), job);
}

/// The body of a request, whichever it is for.
pub fn request(bytes: &[u8]) {
    let errors = [
        api::parse::<ChatRequest>(bytes).err(),
        api::parse::<RerankRequest>(bytes).err(),
        api::parse::<CohereRerankRequest>(bytes).err(),
        api::parse::<PairsRequest>(bytes).err(),
        api::parse::<EmbeddingsRequest>(bytes).err(),
    ];
    for error in errors.into_iter().flatten() {
        let message = error.body().error.message;
        assert_one_line(&message);
        assert!(message.chars().count() <= 400, "{message}");
    }
}

/// A job's file.
pub fn job_record(bytes: &[u8]) {
    let Ok(record) = Record::parse(RECORD_ID.into(), bytes) else { return };
    let again = serde_json::to_vec(&record).unwrap();
    assert_eq!(Record::parse(RECORD_ID.into(), &again).unwrap(), record);
    assert!(!record.queued().is_finished());
}

/// An evaluator's manifest.
pub fn manifest(bytes: &[u8]) {
    match Manifest::parse(bytes) {
        Ok(manifest) => {
            let score = manifest.calibration.apply(0.5);
            assert!(score.is_none_or(|score| (0.0..=1.0).contains(&score)));
            let again = Manifest::parse(manifest.to_json().as_bytes()).unwrap();
            assert_eq!(again.files, manifest.files);
            assert!(again.files.keys().all(|file| !file.split('/').any(|part| part == "..")));
        }
        Err(error) => assert_one_line(&error.to_string()),
    }
}

/// The head of a GGUF file, and the faults that it shows.
pub fn gguf(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let faults = faults::faults(file.path());
    let head = classifier::check(file.path(), None).err();
    faults.unfit.into_iter().chain(faults.template).chain(head).for_each(|fault| assert_one_line(&fault));
    if let Ok(head) = Head::parse(Cursor::new(bytes)) {
        // Each number is in the file.
        let numbers = [head.number("block_count"), head.number("context_length")];
        assert!(head.classifier_outputs() > 0);
        assert!(bytes.len() > 24 || numbers == [None, None] && head.vocabulary() == 0);
    }
}

/// The configuration file.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(file) = ConfigFile::parse(text) else { return };
    if let Ok(settings) = file.engine.settings() {
        assert!(settings.parallel >= 1 && settings.threads >= 1 && !settings.job_time.is_zero());
    }
    let _arguments = file.engine.to_arguments();
}

/// Answers that people judged, as lines; and the range of their grades. The first line as the answer of a model, too.
pub fn calibration(bytes: &[u8]) {
    let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if let Err(error) = parse_line(first) {
        assert_one_line(&error);
    }
    let range = std::str::from_utf8(first).ok().and_then(|text| text.parse::<Range>().ok());
    for meaning in [Meaning::default(), Meaning { range, threshold: Some(0.5) }] {
        match data::parse(bytes, meaning) {
            Ok(data) => assert!(data.pairs.iter().all(|pair| (0.0..=1.0).contains(&pair.value))),
            Err(error) => assert_one_line(&error),
        }
    }
}

/// Server-sent events: the first byte says where the others are cut.
pub fn events(bytes: &[u8]) {
    let Some((&cut, stream)) = bytes.split_first() else { return };
    let at_once = parsed([stream].into_iter());
    let in_parts = parsed(stream.chunks(usize::from(cut).max(1)));
    assert_eq!(at_once, in_parts, "the cuts change the events");
}

fn parsed<'a>(parts: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Event>, TooLong> {
    let (mut parser, mut events) = (Parser::default(), Vec::new());
    for part in parts {
        parser.push(part, &mut events)?;
    }
    Ok(events)
}

/// A text that grows. The first three bytes say how long it may be, where its bytes are cut, and how many stop
/// sequences, each ended by a zero, come before them.
pub fn text(bytes: &[u8]) {
    let [most, cut, stops, rest @ ..] = bytes else { return };
    let mut parts = rest.splitn(usize::from(stops % 4) + 1, |byte| *byte == 0);
    let stop: Vec<String> = (0..stops % 4)
        .filter_map(|_| parts.next())
        .map(|stop| String::from_utf8_lossy(stop).into_owned())
        .collect();
    let written = parts.next().unwrap_or_default();
    let (most, cut) = (usize::from(*most), usize::from(*cut).max(1));

    let (in_parts, ended) = grown(&stop, most, written.chunks(cut));
    assert!(in_parts.len() <= most, "longer than it may be");
    assert_eq!(in_parts.trim(), in_parts, "white space at an end");
    assert!(stop.iter().all(|stop| stop.is_empty() || !in_parts.contains(stop)), "a stop sequence is shown");
    let (by_byte, _) = grown(&stop, most, written.chunks(1));
    // Where the text ends early, what comes after the end plays no part; so it does not where nothing ends it.
    assert_eq!(in_parts, by_byte, "the cuts change the text; ended: {ended}");
}

/// All pieces of the text, which have to be the text; and whether it ended by itself.
fn grown<'a>(stop: &[String], most: usize, parts: impl Iterator<Item = &'a [u8]>) -> (String, bool) {
    let (mut text, mut pieces, mut ended) = (Text::new(stop, most), String::new(), false);
    for part in parts {
        ended = text.push(part).is_some();
        pieces.extend(text.piece());
        assert!(text.as_str().starts_with(&pieces), "a piece is taken back");
        if ended {
            break;
        }
    }
    text.finish();
    pieces.extend(text.piece());
    assert_eq!(pieces, text.as_str(), "the pieces are not the text");
    assert!(text.piece().is_none());
    (pieces, ended)
}

/// Source of a model, as people write it.
pub fn source(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Source>() {
        Ok(Source::Hub(file)) => {
            assert!(!file.file.split('/').any(|part| part == ".." || part.is_empty()));
            assert_eq!(file.to_string().parse::<Source>(), Ok(Source::Hub(file)));
        }
        Ok(Source::Local(_) | Source::Url(_)) | Err(_) => {}
    }
}

/// A chat template, as it stands in a model's file.
pub fn template(bytes: &[u8]) {
    let source = String::from_utf8_lossy(bytes);
    let template = match Template::jinja(&source, "<s>", "</s>") {
        Ok(template) => template,
        Err(error) => return assert_one_line(&error),
    };
    let say = |role, content: &str| Message::new(role, content);
    let talk = [
        say(Role::System, "Be kind."),
        say(Role::User, "Hi {{ 1 }} ä"),
        say(Role::Assistant, ""),
        say(Role::User, "?"),
    ];
    for messages in [&talk[..0], &talk[1..2], &talk] {
        if let Err(error) = template.apply(messages.into()) {
            assert_one_line(&error);
        }
    }
}

fn assert_one_line(error: &str) {
    assert!(!error.is_empty() && !error.contains('\n'), "not one line: {error:?}");
}

/// A JSON schema, as it comes in a request. Whatever the grammar allows is JSON.
pub fn schema(bytes: &[u8]) {
    let Ok(schema) = serde_json::from_slice::<Json>(bytes) else { return };
    let extras = Extras { form: Some(Form::Schema(schema)), ..Extras::default() };
    let grammar = match grammar_of(&extras, false) {
        Ok(grammar) => grammar.unwrap(),
        Err(error) => return assert_one_line(&error),
    };
    let Ok(mut reader) = Reader::new(grammar) else { return };
    let (mut text, mut choices) = (Vec::new(), bytes.iter().cycle());
    while !reader.is_over() && text.len() < 300 {
        let rest = reader.shortest_rest();
        assert_eq!(rest == 0, reader.is_complete());
        let next = reader.next_bytes();
        let start = *choices.next().unwrap();
        let byte = (0..=255).map(|step| start.wrapping_add(step)).find(|byte| next.contains(*byte)).unwrap();
        if !reader.allows(&[byte]).is_ok_and(|allowed| allowed) {
            return;
        }
        reader.accept(&[byte]).unwrap();
        text.push(byte);
        if reader.is_complete() {
            serde_json::from_slice::<serde_json::Value>(&text).unwrap();
        }
    }
}

/// An ONNX file, as it comes into the store.
pub fn weights(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    match weights::files_of(file.path()) {
        Ok(names) => {
            assert!(names.iter().all(|name| !name.split('/').any(|part| part == ".." || part.is_empty())))
        }
        Err(error) => assert_one_line(&error),
    }
}
