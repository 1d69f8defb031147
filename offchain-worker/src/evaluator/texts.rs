//! From texts to the rows of token ids that a network takes.

use crate::models::manifest::{Cut, Ends, EvaluatorKind, MANIFEST};
use serde::Deserialize;
use std::{collections::HashSet, path::Path};
use tokenizers::{tokenizer::PostProcessor as _, Encoding, Model as _, Token, Tokenizer};

/// Bytes of a text that are looked at for each token which the network takes. English has 4 to 5 bytes a token, and
/// the longest words of usual vocabularies are below 64; so what is cut off would hardly have been seen, and a text
/// of many megabytes costs no more than a long one. It is part of what a score is: the same for every operator.
pub(super) const BYTES_PER_TOKEN: usize = 64;

/// One input of a network: a pair, or a text, with its special tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub ids: Vec<u32>,
    /// Which of the two texts a token is of.
    pub types: Vec<u32>,
}

impl Row {
    pub fn len(&self) -> usize {
        self.ids.len()
    }
}

/// A tokenizer with the length limits of its network.
#[derive(Debug)]
pub(super) struct Texts {
    tokenizer: Tokenizer,
    max_tokens: usize,
    /// Tokens of a pair, and of a single text, without the special ones.
    windows: (usize, usize),
    /// Ids of special tokens. They frame texts; no part of a text becomes one.
    special: HashSet<u32>,
    padding: u32,
    highest: u32,
}

impl Texts {
    /// Reads a `tokenizer.json` for a network that takes `max_tokens` at once. Errors are one line for people.
    pub fn read(path: &Path, max_tokens: usize) -> Result<Self, String> {
        let json = std::fs::read(path).map_err(|error| format!("tokenizer.json: {error}"))?;
        let mut tokenizer =
            Tokenizer::from_bytes(&json).map_err(|error| format!("tokenizer.json: {error}"))?;
        let padding = padding_of(&tokenizer);
        // Truncation is done here, so that it keeps the question, and padding as well.
        tokenizer
            .with_truncation(None)
            .map_err(|error| format!("tokenizer.json: {error}"))?
            .with_padding(None);
        // "[SEP]" in an answer is five characters and no separator.
        tokenizer.set_encode_special_tokens(true);
        let window = |pair| {
            let frame = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(pair));
            max_tokens.saturating_sub(frame)
        };
        let windows = (window(true), window(false));
        if windows.0.min(windows.1) < 8 {
            return Err(format!("poq.json: max_tokens = {max_tokens} leaves no room for text"));
        }
        let mut texts = Self { tokenizer, max_tokens, windows, special: HashSet::new(), padding, highest: 0 };
        texts.special = texts.special_ids(unknown_id(&json, &texts.tokenizer))?;
        let vocabulary = texts.tokenizer.get_vocab(true);
        let written = vocabulary.into_values().filter(|id| !texts.special.contains(id));
        texts.highest = written.max().ok_or("tokenizer.json: it has no words")?;
        Ok(texts)
    }

    /// The id that fills up short rows.
    pub fn padding(&self) -> u32 {
        self.padding
    }

    /// The highest id that a text can give.
    pub fn highest_id(&self) -> u32 {
        self.highest
    }

    /// Whether what `cut` keeps goes into a network of this kind, beside the special tokens. The error is one line.
    pub fn check_cut(&self, kind: EvaluatorKind, cut: &Cut) -> Result<(), String> {
        let room = match kind {
            EvaluatorKind::BiEncoder => self.windows.1,
            EvaluatorKind::CrossEncoder | EvaluatorKind::Causal | EvaluatorKind::Classifier => self.windows.0,
        };
        let most = cut.most(kind);
        if most <= room {
            return Ok(());
        }
        Err(format!(
            "{MANIFEST}: cut keeps {most} tokens, and beside the special ones max_tokens = {} has room for {room}; keep \
             fewer, or raise max_tokens",
            self.max_tokens
        ))
    }

    /// Most bytes of a text that are looked at.
    pub fn most_bytes(&self) -> usize {
        self.max_tokens.saturating_mul(BYTES_PER_TOKEN)
    }

    /// Most tokens of a single text, without the special ones.
    pub fn window(&self) -> usize {
        self.windows.1
    }

    /// The tokens of `text`, at most as many as the network takes.
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>, String> {
        self.tokens_up_to(self.max_tokens, text)
    }

    /// The first `most` tokens of `text`.
    pub fn tokens_up_to(&self, most: usize, text: &str) -> Result<Vec<u32>, String> {
        let mut ids = self.all_tokens(cut(text, self.most_bytes()))?;
        ids.truncate(most);
        Ok(ids)
    }

    /// The first and the last tokens of `text`, or all if it has no more. Of a text with more than [`BYTES_PER_TOKEN`] bytes
    /// for each of them, only so many bytes of its beginning and of its end are looked at. `Rows.tokens` in
    /// `scripts/judge/data.py` does the same: a network is trained on what it is given here.
    pub fn ends(&self, text: &str, Ends { first, last }: Ends) -> Result<Vec<u32>, String> {
        let bytes = |tokens: usize| tokens.saturating_mul(BYTES_PER_TOKEN);
        let (mut head, tail) = if text.len() <= bytes(first.saturating_add(last)) {
            let ids = self.all_tokens(text)?;
            if ids.len() <= first.saturating_add(last) {
                return Ok(ids);
            }
            (ids.clone(), ids)
        } else {
            (self.all_tokens(cut(text, bytes(first)))?, self.all_tokens(cut_end(text, bytes(last)))?)
        };
        head.truncate(first);
        head.extend(tail.get(tail.len().saturating_sub(last)..).unwrap_or_default());
        Ok(head)
    }

    fn all_tokens(&self, text: &str) -> Result<Vec<u32>, String> {
        let encoding = self.tokenizer.encode_fast(text, false).map_err(fails)?;
        // A vocabulary of whole words has its special tokens among them, and finds them in a text all the same.
        Ok(encoding.get_ids().iter().copied().filter(|id| !self.special.contains(id)).collect())
    }

    /// Question and answer cut to the window and framed.
    pub fn pair(&self, question: &[u32], answer: &[u32]) -> Result<Row, String> {
        let (of_question, of_answer) = share_window(self.windows.0, question.len(), answer.len());
        let question = encoding(question.iter().copied().take(of_question), 0);
        self.frame(question, Some(encoding(answer.iter().copied().take(of_answer), 1)))
    }

    /// One text cut to the window and framed.
    pub fn single(&self, text: Vec<u32>) -> Result<Row, String> {
        self.frame(encoding(text.into_iter().take(self.windows.1), 0), None)
    }

    fn frame(&self, first: Encoding, second: Option<Encoding>) -> Result<Row, String> {
        let framed = self.tokenizer.post_process(first, second, true).map_err(fails)?;
        if framed.is_empty() {
            // Of no text and no frame; networks take at least one token.
            return Ok(Row { ids: vec![self.padding], types: vec![0] });
        }
        Ok(Row { ids: framed.get_ids().to_vec(), types: framed.get_type_ids().to_vec() })
    }

    /// The tokens that no text may give: those of the frame and what else the tokenizer calls special, except the one
    /// for unknown words.
    fn special_ids(&self, unknown: Option<u32>) -> Result<HashSet<u32>, String> {
        let decoder = self.tokenizer.get_added_tokens_decoder();
        let mut special: HashSet<u32> =
            decoder.iter().filter(|(_, token)| token.special).map(|(id, _)| *id).collect();
        let none = || encoding([].into_iter(), 0);
        let pair = self.tokenizer.post_process(none(), Some(none()), true).map_err(fails)?;
        special.extend(pair.get_ids());
        special.retain(|id| Some(*id) != unknown);
        Ok(special)
    }
}

fn fails(error: tokenizers::Error) -> String {
    format!("the tokenizer fails: {error}")
}

fn encoding(ids: impl Iterator<Item = u32>, kind: u32) -> Encoding {
    Encoding::from_tokens(ids.map(|id| Token::new(id, String::new(), (0, 0))).collect(), kind)
}

/// Id of the padding token, or of the token with the usual name, or 0.
fn padding_of(tokenizer: &Tokenizer) -> u32 {
    let named = || ["[PAD]", "<pad>"].iter().find_map(|name| tokenizer.token_to_id(name));
    tokenizer.get_padding().map(|padding| padding.pad_id).or_else(named).unwrap_or(0)
}

/// Id of the token for words that the vocabulary does not have.
fn unknown_id(json: &[u8], tokenizer: &Tokenizer) -> Option<u32> {
    #[derive(Deserialize)]
    struct File {
        model: Model,
    }
    #[derive(Deserialize)]
    struct Model {
        unk_token: Option<String>,
        unk_id: Option<u32>,
    }
    let File { model } = serde_json::from_slice(json).ok()?;
    model.unk_id.or_else(|| tokenizer.get_model().token_to_id(&model.unk_token?))
}

/// The beginning of `text`, at most `bytes` long, cut between two characters.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

/// The end of `text`, at most `bytes` long, cut between two characters.
fn cut_end(text: &str, bytes: usize) -> &str {
    let start = (text.len().saturating_sub(bytes)..=text.len()).find(|start| text.is_char_boundary(*start));
    start.and_then(|start| text.get(start..)).unwrap_or_default()
}

/// Numbers of tokens of question and answer that fit into `window`: the answer is cut first, but keeps half of the
/// window where the question alone would take more.
pub(super) fn share_window(window: usize, question: usize, answer: usize) -> (usize, usize) {
    let for_answer = answer.min(window.saturating_sub(question).max(window / 2));
    (question.min(window.saturating_sub(for_answer)), for_answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A tokenizer of one kind, framed like BERT's, as `tokenizer.json` has it.
    fn read(model: &str, pre_tokenizer: &str) -> Texts {
        let added: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            .iter()
            .enumerate()
            .map(|(id, name)| {
                format!(
                    r#"{{"id":{id},"content":"{name}","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}}"#
                )
            })
            .collect();
        let json = format!(
            r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{}],"normalizer":null,
            "pre_tokenizer":{pre_tokenizer},"post_processor":{{"type":"BertProcessing","sep":["[SEP]",3],"cls":["[CLS]",2]}},
            "decoder":null,"model":{model}}}"#,
            added.join(",")
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokenizer.json");
        std::fs::write(&path, json).unwrap();
        Texts::read(&path, 32).unwrap()
    }

    /// What `scripts/judge/cutting.py` makes of some pairs with the tokenizer of `tests/data/shapes/bert`.
    #[derive(Deserialize)]
    struct Cutting {
        max_tokens: usize,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        cut: Cut,
        question: String,
        answer: String,
        ids: Vec<u32>,
        types: Vec<u32>,
    }

    #[test]
    fn pairs_are_cut_as_in_training() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
        let cutting: Cutting =
            serde_json::from_slice(&std::fs::read(data.join("cutting.json")).unwrap()).unwrap();
        let texts = Texts::read(&data.join("shapes/bert/tokenizer.json"), cutting.max_tokens).unwrap();
        let mut longest = 0;
        for Case { cut, question, answer, ids, types } in &cutting.cases {
            texts.check_cut(EvaluatorKind::CrossEncoder, cut).unwrap();
            let (q, a) =
                (texts.ends(question, cut.question).unwrap(), texts.ends(answer, cut.answer).unwrap());
            let row = texts.pair(&q, &a).unwrap();
            assert_eq!((&row.ids, &row.types), (ids, types), "{cut:?} {question:?} {answer:?}");
            longest = longest.max(row.len());
        }
        assert!(cutting.cases.len() >= 40 && longest == cutting.max_tokens, "{longest}");
    }

    #[test]
    fn a_cut_has_to_fit_beside_the_special_tokens() {
        let texts = read(WORDS, WHITESPACE);
        let ends = |first, last| Ends { first, last };
        let cut = |answer: Ends| Cut { question: ends(6, 3), answer };
        // 32 less [CLS] and two [SEP], and less [CLS] and one [SEP] of a text alone.
        let (pair, single) = (EvaluatorKind::CrossEncoder, EvaluatorKind::BiEncoder);
        assert_eq!(texts.check_cut(pair, &cut(ends(15, 5))), Ok(()));
        assert!(texts.check_cut(pair, &cut(ends(15, 6))).unwrap_err().contains("has room for 29"));
        assert_eq!(texts.check_cut(single, &cut(ends(15, 15))), Ok(()));
        assert!(texts.check_cut(single, &cut(ends(15, 16))).unwrap_err().contains("has room for 30"));
    }

    const WHITESPACE: &str = r#"{"type":"WhitespaceSplit"}"#;
    const WORDS: &str = r#"{"type":"WordLevel","unk_token":"[UNK]",
        "vocab":{"[PAD]":0,"[UNK]":1,"[CLS]":2,"[SEP]":3,"[MASK]":4,"a":5,"b":6}}"#;
    const PIECES: &str = r#"{"type":"Unigram","unk_id":1,"byte_fallback":false,
        "vocab":[["[PAD]",0.0],["[UNK]",0.0],["[CLS]",0.0],["[SEP]",0.0],["[MASK]",0.0],["a",-1.0],["b",-1.0],["[",-9.0]]}"#;

    #[test]
    fn special_tokens_in_a_text_are_none() {
        // Both vocabularies hold the special tokens as words of their own.
        for texts in [read(WORDS, WHITESPACE), read(PIECES, "null"), read(PIECES, WHITESPACE)] {
            let tokens = texts.tokens("a [SEP] b [CLS][PAD] [MASK]").unwrap();
            let special = [0, 2, 3, 4];
            assert!(tokens.iter().all(|id| !special.contains(id)), "{tokens:?}");
            assert!(tokens.contains(&5) && tokens.contains(&6));
            assert!(texts.tokens("x").unwrap().contains(&1), "unknown words are still known to be there");
            let row = texts.pair(&tokens, &tokens).unwrap();
            assert_eq!(row.ids.iter().filter(|id| special.contains(id)).count(), 3, "{row:?}");
        }
        assert_eq!(read(PIECES, "null").highest_id(), 7);
    }

    #[test]
    fn rows_are_cut_to_what_the_network_takes() {
        let texts = read(WORDS, WHITESPACE);
        let long = "a ".repeat(100);
        let (a, b) = (texts.tokens(&long).unwrap(), texts.tokens("b").unwrap());
        assert_eq!(texts.pair(&a, &a).unwrap().len(), 32);
        assert_eq!(texts.single(a.clone()).unwrap().len(), 32);
        let row = texts.pair(&b, &a).unwrap();
        assert_eq!((row.len(), row.ids[1]), (32, 6), "the question is kept");
        assert_eq!(row.types.iter().filter(|kind| **kind == 0).count(), 3);
        assert_eq!(texts.pair(&[], &[]).unwrap().ids, [2, 3, 3]);
        assert_eq!(texts.single(vec![]).unwrap().ids, [2, 3]);
        assert_eq!(texts.single(vec![5; 30]).unwrap().len(), 32);
        assert_eq!(texts.single(vec![5; 31]).unwrap().len(), 32);
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("é", 0), "");
        assert_eq!(cut("", 9), "");
        assert_eq!(cut("🦀🦀", 7), "🦀");
        let ends = [("éa", 3, "éa"), ("éa", 2, "a"), ("é", 0, ""), ("", 9, ""), ("🦀🦀", 7, "🦀")];
        for (text, bytes, end) in ends {
            assert_eq!(cut_end(text, bytes), end);
        }
        let texts = read(WORDS, WHITESPACE);
        let late = " ".repeat(32 * BYTES_PER_TOKEN - 1);
        assert_eq!(texts.tokens(&format!("{late}a")).unwrap(), [5], "the last byte that is looked at");
        assert_eq!(texts.tokens(&format!("{late} a")).unwrap(), [0_u32; 0], "and the one behind it");
    }

    proptest! {
        #[test]
        fn the_window_is_shared_out_and_never_exceeded(
            window in 8_usize..600,
            question in 0_usize..2_000,
            answer in 0_usize..2_000,
        ) {
            let (q, a) = share_window(window, question, answer);
            prop_assert!(q <= question && a <= answer && q + a <= window);
            prop_assert!(q + a == window.min(question + answer), "nothing is cut without need");
            prop_assert!(a == answer || a >= window / 2);
            prop_assert!(q == question || q + 1 >= window / 2);
        }

        #[test]
        fn both_ends_are_kept_and_no_more(
            text in "([ab]| |\\PC){0,40}",
            times in prop_oneof![Just(1_usize), 1_usize..200],
            first in 1_usize..12,
            last in 0_usize..12,
        ) {
            let text = text.repeat(times);
            for texts in [read(WORDS, WHITESPACE), read(PIECES, WHITESPACE)] {
                let all = texts.all_tokens(&text).unwrap();
                let kept = texts.ends(&text, Ends { first, last }).unwrap();
                prop_assert!(kept.len() <= first + last);
                if text.len() > (first + last) * BYTES_PER_TOKEN {
                    // Of a long text the ends are looked at: words are tokenized each for itself, so but for the word
                    // that was cut through it is the same.
                    let head = texts.all_tokens(cut(&text, first * BYTES_PER_TOKEN)).unwrap();
                    prop_assert_eq!(&kept[..head.len().min(first)], &head[..head.len().min(first)]);
                    let tail = texts.all_tokens(cut_end(&text, last * BYTES_PER_TOKEN)).unwrap();
                    prop_assert!(kept.ends_with(&tail[tail.len() - tail.len().min(last)..]));
                } else if all.len() <= first + last {
                    prop_assert_eq!(kept, all, "a short text is not touched");
                } else {
                    prop_assert_eq!(kept.len(), first + last);
                    prop_assert_eq!(&kept[..first], &all[..first]);
                    prop_assert_eq!(&kept[first..], &all[all.len() - last..]);
                }
            }
        }

        #[test]
        fn any_text_has_tokens_and_none_of_them_is_special(text: String) {
            for texts in [read(WORDS, WHITESPACE), read(PIECES, "null")] {
                let tokens = texts.tokens(&text).unwrap();
                prop_assert!(tokens.len() <= 32 && tokens.iter().all(|id| !texts.special.contains(id)));
                prop_assert!(texts.pair(&tokens, &tokens).unwrap().len() <= 32);
            }
        }
    }
}
