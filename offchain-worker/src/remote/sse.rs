//! Server-sent events out of a stream of bytes that may be cut anywhere.
//!
//! Written after the WHATWG's HTML standard, section 9.2: lines end with CR, LF or CR LF; `data` lines of one
//! event are joined by a line feed; a line that begins with a colon is a comment; an empty line ends the event; an
//! event that the stream breaks off is dropped; a byte order mark at the very beginning does not count. `id` and
//! `retry` serve reconnecting, which nobody does here, and are passed over.

use std::mem::take;

/// Longest line, and most data of one event, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// The data with which servers that speak the OpenAI API end a stream.
const DONE: &str = "[DONE]";

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its type; empty if the server did not say.
    pub name: String,
    /// Its data: the `data` lines, joined by line feeds. Broken UTF-8 is replaced.
    pub data: String,
}

impl Event {
    /// Whether it says that the stream is over, as servers with the OpenAI API do.
    pub fn is_done(&self) -> bool {
        self.data.trim() == DONE
    }
}

/// A line, or the data of an event, is longer than [`MAX_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line or an event is longer than {MAX_BYTES} bytes")]
pub struct TooLong;

/// Takes in bytes, gives out events. It keeps at most two times [`MAX_BYTES`], whatever comes.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    /// The line so far.
    line: Vec<u8>,
    /// Whether a line was seen already: a byte order mark comes before all lines.
    begun: bool,
    /// Whether the last byte was a CR: a LF right after it belongs to the same line end.
    after_cr: bool,
    name: String,
    /// The event's data so far, each line with a line feed after it.
    data: String,
}

impl Parser {
    /// Takes in the next bytes and adds the events that they complete to `events`.
    pub fn push(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), TooLong> {
        let mut rest = bytes;
        while let Some((&first, after)) = rest.split_first() {
            if take(&mut self.after_cr) && first == b'\n' {
                rest = after;
                continue;
            }
            let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
            if self.line.len().saturating_add(part.len()) > MAX_BYTES {
                return Err(TooLong);
            }
            self.line.extend_from_slice(part);
            rest = after;
            if let Some((&end, after)) = rest.split_first() {
                self.after_cr = end == b'\r';
                rest = after;
                self.end_line(events)?;
            }
        }
        Ok(())
    }

    fn end_line(&mut self, events: &mut Vec<Event>) -> Result<(), TooLong> {
        let line = take(&mut self.line);
        let mut bytes = line.as_slice();
        if !std::mem::replace(&mut self.begun, true) {
            bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
        }
        if bytes.is_empty() {
            self.end_event(events);
            return Ok(());
        }
        let line = String::from_utf8_lossy(bytes);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" if self.data.len().saturating_add(value.len()) >= MAX_BYTES => return Err(TooLong),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "event" => value.clone_into(&mut self.name),
            _ => {}
        }
        Ok(())
    }

    fn end_event(&mut self, events: &mut Vec<Event>) {
        let (name, mut data) = (take(&mut self.name), take(&mut self.data));
        // An event without a `data` line is none. One line feed too many follows the last line.
        if data.pop().is_some() {
            events.push(Event { name, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(chunks: &[&[u8]]) -> Result<Vec<Event>, TooLong> {
        let (mut parser, mut events) = (Parser::default(), Vec::new());
        for chunk in chunks {
            parser.push(chunk, &mut events)?;
        }
        Ok(events)
    }

    fn data(bytes: &[u8]) -> Vec<String> {
        parse(&[bytes]).unwrap().into_iter().map(|event| event.data).collect()
    }

    #[test]
    fn events_are_as_the_standard_says() {
        assert_eq!(data(b"data: a\n\ndata:b\r\rdata:  c\r\n\r\n"), ["a", "b", " c"]);
        assert_eq!(data(b"data: a\ndata\ndata: b\n\n"), ["a\n\nb"]);
        assert_eq!(data(b": comment\n\n:\n\nid: 1\nretry: 5\nother\n\ndata: a\n\n"), ["a"]);
        assert_eq!(data(b"data\n\n"), [""]);
        assert_eq!(data(b"data: broken off\n"), [""; 0]);
        assert_eq!(data(b"data: broken off"), [""; 0]);
        assert_eq!(data("\u{feff}data: a\n\n\u{feff}data: b\n\n".as_bytes()), ["a"]);
        assert_eq!(data(b"data: \xff\xc3\n\n"), ["\u{fffd}\u{fffd}"]);
        let named = parse(&[b"event: error\ndata: x\n\ndata: y\n\n"]).unwrap();
        assert_eq!(named.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["error", ""]);
        let done = parse(&[b"data: [DONE]\n\ndata: [DONE] not\n\n"]).unwrap();
        assert_eq!(done.iter().map(Event::is_done).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn lengths_are_bounded() {
        let line = |length: usize| [b"data:".as_slice(), &vec![b'x'; length], b"\n\n"].concat();
        assert_eq!(data(&line(MAX_BYTES - 5)).first().map(String::len), Some(MAX_BYTES - 5));
        assert_eq!(parse(&[&line(MAX_BYTES - 4)]), Err(TooLong));
        assert_eq!(parse(&[&vec![b'x'; MAX_BYTES]]), Ok(vec![]));
        assert_eq!(parse(&[&vec![b'x'; MAX_BYTES], b"x"]), Err(TooLong));
        // Many short lines of one event.
        assert_eq!(parse(&[&b"data:x\n".repeat(MAX_BYTES / 2 - 1), b"\n"]).unwrap().len(), 1);
        assert_eq!(parse(&[&b"data:x\n".repeat(MAX_BYTES / 2 + 1), b"\n"]), Err(TooLong));
    }

    /// Bytes in which everything that the parser looks at is frequent.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            Just(b"data: ".to_vec()),
            Just(b"data:{\"a\":1}".to_vec()),
            Just(b"event: e".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\r".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\n\n".to_vec()),
            Just(b":".to_vec()),
            Just(b" ".to_vec()),
            Just(BYTE_ORDER_MARK.to_vec()),
            Just("ä東🦀".as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..8),
        ];
        proptest::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_events(bytes in stream(), cuts: Vec<proptest::sample::Index>) {
            let whole = parse(&[&bytes]).unwrap();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(parse(&chunks).unwrap(), whole.clone());
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(parse(&single).unwrap(), whole);
        }

        #[test]
        fn what_is_sent_arrives(texts: Vec<String>, end in prop_oneof![Just("\n"), Just("\r"), Just("\r\n")]) {
            let bytes: String = texts.iter().map(|text| {
                let text = text.replace("\r\n", "\n").replace('\r', "\n");
                let lines: String = text.split('\n').map(|line| format!("data: {line}{end}")).collect();
                lines + end
            }).collect();
            let expected: Vec<String> =
                texts.iter().map(|text| text.replace("\r\n", "\n").replace('\r', "\n")).collect();
            prop_assert_eq!(data(bytes.as_bytes()), expected);
        }

        #[test]
        fn noise_never_panics(chunks: Vec<Vec<u8>>) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let _ = parse(&chunks);
        }
    }
}
