//! Grammars that hold a model to a form, byte by byte.
//!
//! llama.cpp has a sampler of this kind. It is not used because what it does with a grammar has no bounds: it keeps every
//! way in which a text can be read, and a schema made for it doubles their number with each bracket; and it throws
//! C++ exceptions, which end the process. Here each step has a limit, and whoever reaches it gets an error.

use std::collections::{HashMap, HashSet};

/// Most symbols of a grammar.
pub const MOST_SYMBOLS: usize = 200_000;

/// Most ways in which a text may be read at a time.
const MOST_READINGS: usize = 512;

/// Most rules that are entered for one byte.
const MOST_EXPANSIONS: usize = 16_384;

/// Most places to come back to, over the whole text.
const MOST_FRAMES: usize = 1 << 20;

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes([u64; 4]);

impl Bytes {
    /// The bytes of these ranges, ends included.
    pub fn ranges(ranges: &[(u8, u8)]) -> Self {
        let mut bytes = Self::default();
        for (first, last) in ranges {
            (*first..=*last).for_each(|byte| bytes.insert(byte));
        }
        bytes
    }

    fn insert(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| (word >> (byte & 63)) & 1 == 1)
    }

    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(word, other)| *word |= other);
    }
}

/// Part of an alternative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Symbol {
    /// One of these bytes.
    One(Bytes),
    /// A text of this rule.
    Rule(Rule),
}

/// The number of a rule.
pub type Rule = usize;

/// A rule's alternatives, each a row of symbols.
pub type Alternatives = Vec<Vec<Symbol>>;

/// A grammar under way.
#[derive(Debug, Default)]
pub struct Builder {
    rules: Vec<Alternatives>,
    symbols: usize,
}

impl Builder {
    /// A rule whose alternatives come later.
    pub fn reserve(&mut self) -> Rule {
        self.rules.push(Vec::new());
        self.rules.len().saturating_sub(1)
    }

    /// Gives `rule` its alternatives. Fails if the grammar becomes too large.
    pub fn define(&mut self, rule: Rule, alternatives: Alternatives) -> Result<(), String> {
        let symbols =
            alternatives.iter().map(|row| row.len().saturating_add(1)).fold(1, usize::saturating_add);
        self.symbols = self.symbols.saturating_add(symbols);
        if self.symbols > MOST_SYMBOLS {
            return Err(format!("it makes a grammar of more than {MOST_SYMBOLS} symbols; make it smaller"));
        }
        if let Some(place) = self.rules.get_mut(rule) {
            *place = alternatives;
        }
        Ok(())
    }

    /// A rule with these alternatives.
    pub fn rule(&mut self, alternatives: Alternatives) -> Result<Rule, String> {
        let rule = self.reserve();
        self.define(rule, alternatives).map(|()| rule)
    }

    /// A rule of which some alternative leads back to it before any byte: no text could ever fit.
    pub fn circle(&self) -> Option<Rule> {
        let first_of = |rule: Rule| {
            let rows = self.rules.get(rule).map(Vec::as_slice).unwrap_or_default();
            rows.iter().filter_map(|row| match row.first() {
                Some(Symbol::Rule(first)) => Some(*first),
                _ => None,
            })
        };
        let mut done = HashSet::new();
        for start in 0..self.rules.len() {
            // Depth first; a rule is on the way from when it is entered until it is left.
            let (mut stack, mut on_the_way) = (vec![(start, false)], HashSet::new());
            while let Some((rule, left)) = stack.pop() {
                if left {
                    on_the_way.remove(&rule);
                    done.insert(rule);
                } else if on_the_way.contains(&rule) {
                    return Some(rule);
                } else if !done.contains(&rule) {
                    on_the_way.insert(rule);
                    stack.push((rule, true));
                    stack.extend(first_of(rule).map(|first| (first, false)));
                }
            }
        }
        None
    }

    /// Bytes of the shortest text of each rule; [`ENDLESS`] if all its texts are endless.
    fn shortest(&self) -> Vec<u64> {
        let mut shortest = vec![ENDLESS; self.rules.len()];
        let mut order: Vec<Rule> = (0..self.rules.len()).collect();
        let mut changed = true;
        // Rules come before or after those that they hold, so both directions take turns.
        while changed {
            changed = false;
            for rule in &order {
                let rows = self.rules.get(*rule).map(Vec::as_slice).unwrap_or_default();
                let length = |row: &Vec<Symbol>| {
                    let lengths = row.iter().map(|symbol| length_of(symbol, &shortest));
                    lengths.fold(0, u64::saturating_add)
                };
                let least = rows.iter().map(length).min().unwrap_or(ENDLESS);
                if let Some(known) = shortest.get_mut(*rule).filter(|known| **known > least) {
                    (*known, changed) = (least, true);
                }
            }
            order.reverse();
        }
        shortest
    }

    /// The grammar of texts that `root` describes. Fails if all of them are endless.
    pub fn finish(self, root: Rule) -> Result<Grammar, String> {
        let shortest = self.shortest();
        if shortest.get(root).is_none_or(|length| *length == ENDLESS) {
            return Err("the schema holds a '$ref' that no JSON of finite length can follow".to_owned());
        }
        let mut rests = Vec::with_capacity(self.symbols);
        let mut code = Vec::with_capacity(self.symbols);
        let mut entries = Vec::with_capacity(self.rules.len());
        for alternatives in &self.rules {
            let mut starts = Vec::with_capacity(alternatives.len());
            for row in alternatives {
                starts.push(code.len());
                let from = rests.len();
                rests.extend(row.iter().rev().scan(0_u64, |rest, symbol| {
                    *rest = rest.saturating_add(length_of(symbol, &shortest));
                    Some(*rest)
                }));
                rests.get_mut(from..).unwrap_or_default().reverse();
                rests.push(0);
                code.extend(row.iter().map(|symbol| match symbol {
                    Symbol::One(bytes) => Step::One(*bytes),
                    Symbol::Rule(rule) => Step::Enter(*rule),
                }));
                code.push(Step::Leave);
            }
            entries.push(starts);
        }
        Ok(Grammar { code, rests, entries, root })
    }
}

/// Length of a text without end, in bytes.
const ENDLESS: u64 = u64::MAX;

/// Bytes of the shortest text of a symbol.
fn length_of(symbol: &Symbol, shortest: &[u64]) -> u64 {
    match symbol {
        Symbol::One(_) => 1,
        Symbol::Rule(rule) => shortest.get(*rule).copied().unwrap_or(ENDLESS),
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    One(Bytes),
    Enter(Rule),
    Leave,
}

/// A grammar.
#[derive(Clone, Debug)]
pub struct Grammar {
    code: Vec<Step>,
    /// Bytes of the shortest text from each step to the end of its row.
    rests: Vec<u64>,
    /// Start of each rule's alternatives in `code`.
    entries: Vec<Vec<usize>>,
    root: Rule,
}

/// A place in the grammar, and where to go on after the rule that it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Place {
    step: usize,
    back: Option<usize>,
}

/// Reads a text by a grammar.
#[derive(Clone, Debug)]
pub struct Reader {
    grammar: Grammar,
    /// Places to come back to. Equal ones are one.
    frames: Vec<Place>,
    numbers: HashMap<Place, usize>,
    /// Bytes of the shortest text from each of `frames` to the end.
    rests: Vec<u64>,
    state: State,
}

/// All ways in which the text so far can be read.
#[derive(Clone, Debug, Default)]
struct State {
    /// Places that want a byte.
    places: Vec<Place>,
    /// Whether the text may end here.
    complete: bool,
    /// Bytes of the shortest text that completes it.
    rest: u64,
}

impl Reader {
    /// At the start of a text.
    pub fn new(grammar: Grammar) -> Result<Self, String> {
        let mut reader = Self {
            grammar,
            frames: Vec::new(),
            numbers: HashMap::new(),
            rests: Vec::new(),
            state: State::default(),
        };
        let root = reader.grammar.root;
        let starts = reader.grammar.entries.get(root).cloned().unwrap_or_default();
        let starts = starts.into_iter().map(|step| Place { step, back: None }).collect();
        reader.state = reader.expand(starts)?;
        Ok(reader)
    }

    /// Whether the text may end here.
    pub fn is_complete(&self) -> bool {
        self.state.complete
    }

    /// Whether the text has to end here.
    pub fn is_over(&self) -> bool {
        self.state.places.is_empty()
    }

    /// Bytes of the shortest text that completes this one.
    pub fn shortest_rest(&self) -> u64 {
        self.state.rest
    }

    /// The bytes that may come next.
    pub fn next_bytes(&self) -> Bytes {
        let mut next = Bytes::default();
        for place in &self.state.places {
            if let Some(Step::One(bytes)) = self.grammar.code.get(place.step) {
                next.add(bytes);
            }
        }
        next
    }

    /// Whether the text may go on with `bytes`, which are not empty. Fails if that cannot be found out within the limits.
    pub fn allows(&mut self, bytes: &[u8]) -> Result<bool, String> {
        self.allows_within(bytes, u64::MAX)
    }

    /// As [`Self::allows`], and whether at most `most` bytes can complete the text then.
    pub fn allows_within(&mut self, bytes: &[u8], most: u64) -> Result<bool, String> {
        let frames = self.frames.len();
        let read = self.read(bytes);
        // What was met on the way is forgotten.
        for frame in self.frames.drain(frames..) {
            self.numbers.remove(&frame);
        }
        self.rests.truncate(frames);
        Ok(read?.is_some_and(|state| state.rest <= most))
    }

    /// Goes on with `bytes`, which are allowed.
    pub fn accept(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.state = self.read(bytes)?.ok_or("the text has left its grammar")?;
        Ok(())
    }

    /// The state after `bytes`, if they are allowed.
    fn read(&mut self, bytes: &[u8]) -> Result<Option<State>, String> {
        let mut state = None;
        for byte in bytes {
            let places = &state.as_ref().unwrap_or(&self.state).places;
            let next: Vec<Place> = places.iter().filter_map(|place| self.after(*place, *byte)).collect();
            if next.is_empty() {
                return Ok(None);
            }
            state = Some(self.expand(next)?);
        }
        Ok(state)
    }

    /// The place after this byte.
    fn after(&self, place: Place, byte: u8) -> Option<Place> {
        match self.grammar.code.get(place.step)? {
            Step::One(bytes) if bytes.has(byte) => {
                Some(Place { step: place.step.saturating_add(1), ..place })
            }
            _ => None,
        }
    }

    /// Follows rules until each place wants a byte.
    fn expand(&mut self, mut open: Vec<Place>) -> Result<State, String> {
        let (mut state, mut seen) = (State::default(), HashSet::new());
        while let Some(place) = open.pop() {
            if !seen.insert(place) {
                continue;
            }
            if seen.len() > MOST_EXPANSIONS || state.places.len() > MOST_READINGS {
                return Err("it allows too many readings of one text; make its alternatives differ earlier"
                    .to_owned());
            }
            match self.grammar.code.get(place.step).copied() {
                Some(Step::One(_)) => state.places.push(place),
                Some(Step::Enter(rule)) => {
                    let back = self.back_to(Place { step: place.step.saturating_add(1), ..place })?;
                    let starts = self.grammar.entries.get(rule).map(Vec::as_slice).unwrap_or_default();
                    open.extend(starts.iter().map(|step| Place { step: *step, back }));
                }
                Some(Step::Leave) | None => match place.back.and_then(|frame| self.frames.get(frame)) {
                    Some(back) => open.push(*back),
                    None => state.complete = true,
                },
            }
        }
        let rests = state.places.iter().map(|place| self.rest_of(*place));
        state.rest = if state.complete { 0 } else { rests.min().unwrap_or(0) };
        Ok(state)
    }

    /// Bytes of the shortest text from a place to the end.
    fn rest_of(&self, place: Place) -> u64 {
        let in_row = self.grammar.rests.get(place.step).copied().unwrap_or(0);
        let after = place.back.and_then(|frame| self.rests.get(frame)).copied().unwrap_or(0);
        in_row.saturating_add(after)
    }

    /// The number of a place to come back to. From the end of a row one comes back to where the row was entered from.
    fn back_to(&mut self, place: Place) -> Result<Option<usize>, String> {
        if matches!(self.grammar.code.get(place.step), Some(Step::Leave)) {
            return Ok(place.back);
        }
        if let Some(number) = self.numbers.get(&place) {
            return Ok(Some(*number));
        }
        let number = self.frames.len();
        if number >= MOST_FRAMES {
            return Err("the text is nested too deeply".to_owned());
        }
        self.rests.push(self.rest_of(place));
        self.frames.push(place);
        self.numbers.insert(place, number);
        Ok(Some(number))
    }
}

impl Bytes {
    /// Whether `byte` is one of them.
    pub fn contains(&self, byte: u8) -> bool {
        self.has(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(byte: u8) -> Symbol {
        Symbol::One(Bytes::ranges(&[(byte, byte)]))
    }

    /// Balanced brackets around an optional `x`.
    fn brackets() -> Grammar {
        let mut builder = Builder::default();
        let rule = builder.reserve();
        let nested = vec![one(b'['), Symbol::Rule(rule), one(b']')];
        builder.define(rule, vec![vec![], vec![one(b'x')], nested]).unwrap();
        assert_eq!(builder.circle(), None);
        builder.finish(rule).unwrap()
    }

    fn reads(grammar: &Grammar, text: &str) -> bool {
        let mut reader = Reader::new(grammar.clone()).unwrap();
        if text.is_empty() {
            return reader.is_complete();
        }
        reader.allows(text.as_bytes()).unwrap() && {
            reader.accept(text.as_bytes()).unwrap();
            reader.is_complete()
        }
    }

    #[test]
    fn rules_may_hold_themselves() {
        let grammar = brackets();
        for good in ["", "x", "[]", "[[x]]"] {
            assert!(reads(&grammar, good), "{good}");
        }
        for bad in ["[", "]", "xx", "[x", "[]]", "[]x"] {
            assert!(!reads(&grammar, bad), "{bad}");
        }
        let mut reader = Reader::new(grammar).unwrap();
        reader.accept(b"[").unwrap();
        assert!(!reader.is_complete() && !reader.is_over());
        assert!(reader.next_bytes().contains(b']') && !reader.next_bytes().contains(b'y'));
        let before = reader.frames.len();
        assert!(!reader.allows(b"[[[y").unwrap());
        assert_eq!(
            (reader.frames.len(), reader.numbers.len()),
            (before, before),
            "nothing is left of a trial"
        );
        reader.accept(b"]").unwrap();
        assert!(reader.is_complete() && reader.is_over());
    }

    #[test]
    fn what_doubles_with_each_byte_is_an_error_and_not_a_hang() {
        let mut builder = Builder::default();
        let rule = builder.reserve();
        let nested = |close| vec![one(b'['), Symbol::Rule(rule), one(close), one(close)];
        builder.define(rule, vec![nested(b']'), nested(b')'), vec![one(b'x')]]).unwrap();
        let mut reader = Reader::new(builder.finish(rule).unwrap()).unwrap();
        assert!(reader.allows("[".repeat(1000).as_bytes()).unwrap_err().contains("too many readings"));
        assert!(reader.allows(b"[[x))]]").unwrap());
    }

    #[test]
    fn circles_are_found() {
        let mut builder = Builder::default();
        let (first, second) = (builder.reserve(), builder.reserve());
        builder.define(first, vec![vec![one(b'x')], vec![Symbol::Rule(second)]]).unwrap();
        builder.define(second, vec![vec![Symbol::Rule(first), one(b'y')]]).unwrap();
        assert!(builder.circle().is_some());
        // Even one that was not looked for ends in an error.
        assert!(Reader::new(builder.finish(first).unwrap()).is_err());
    }

    #[test]
    fn the_shortest_way_to_the_end_is_known() {
        let mut reader = Reader::new(brackets()).unwrap();
        assert_eq!(reader.shortest_rest(), 0);
        for (byte, rest) in [(b'[', 1), (b'[', 2), (b'x', 2), (b']', 1), (b']', 0)] {
            assert!(reader.allows_within(&[byte], rest).unwrap());
            assert!(rest == 0 || !reader.allows_within(&[byte], rest - 1).unwrap());
            reader.accept(&[byte]).unwrap();
            assert_eq!(reader.shortest_rest(), rest);
        }
        let mut builder = Builder::default();
        let rule = builder.reserve();
        builder.define(rule, vec![vec![one(b'['), Symbol::Rule(rule)]]).unwrap();
        assert!(builder.finish(rule).unwrap_err().contains("finite"));
    }

    #[test]
    fn a_grammar_has_a_largest_size() {
        let mut builder = Builder::default();
        let row = |length| vec![vec![one(b'x'); length]];
        builder.rule(row(MOST_SYMBOLS - 2)).unwrap();
        assert!(builder.rule(row(1)).unwrap_err().contains("symbols"));
    }
}
