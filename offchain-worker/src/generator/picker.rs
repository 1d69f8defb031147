//! The next token of an answer.

use super::grammar::Reader;
use crate::work::{Generation, Likely, TokenLogprob};
use llama_cpp_2::{
    context::LlamaContext,
    sampling::LlamaSampler,
    token::{data_array::LlamaTokenDataArray, LlamaToken},
    vocab::LlamaVocab,
};

/// Tokens that are drawn and tried before all tokens are looked at. Whoever writes the right form fits at once.
const GUESSES: usize = 8;

/// The least logarithm of a probability that is told, as of one that is 0.
const LEAST_LOGPROB: f32 = -9999.0;

/// Draws the tokens of one answer.
#[derive(Debug)]
pub struct Picker {
    sampler: LlamaSampler,
    /// Reads along if the answer has to have a form.
    reader: Option<Reader>,
}

impl Picker {
    /// Draws as `work` says, by the grammar if there is one.
    pub fn new(work: &Generation, reader: Option<Reader>) -> Self {
        Self { sampler: sampler(work), reader }
    }

    /// Draws from output number `output` of the last step, for an answer that may have `left` more tokens. If it can get its
    /// form within them, it does: no token is drawn after which it could not, a token being at least a byte. Errors are
    /// one line.
    pub fn pick(
        &mut self,
        context: &LlamaContext<'_>,
        output: i32,
        vocab: &LlamaVocab<'_>,
        left: usize,
    ) -> Result<LlamaToken, String> {
        let Some(reader) = &mut self.reader else { return Ok(self.sampler.sample(context, output)) };
        let (left, mut form) = (left as u64, FormReader { reader, vocab, most: u64::MAX });
        if form.reader.shortest_rest() <= left {
            form.most = left.saturating_sub(1);
        }
        let mut candidates = context.token_data_array_ith(output);
        let token = match guess(&mut self.sampler, &mut candidates, &mut form)? {
            Some(token) => token,
            None => choose(&mut self.sampler, candidates, &mut form)?,
        };
        self.sampler.accept(token);
        if !vocab.is_eog(token) {
            reader.accept(&bytes_of(vocab, token))?;
        }
        Ok(token)
    }

    /// Whether the answer has its form and cannot go on.
    pub fn is_over(&self) -> bool {
        self.reader.as_ref().is_some_and(Reader::is_over)
    }
}

/// Draws until a token fits, a few times. A token that does not fit is not drawn again, so that what comes out is
/// distributed as if only those that fit had been there.
fn guess(
    sampler: &mut LlamaSampler,
    candidates: &mut LlamaTokenDataArray,
    form: &mut FormReader<'_>,
) -> Result<Option<LlamaToken>, String> {
    for _ in 0..GUESSES {
        let mut drawn = candidates.clone();
        drawn.apply_sampler(sampler);
        let Some(token) = drawn.selected_token() else { return Ok(None) };
        if form.fits(token)? {
            return Ok(Some(token));
        }
        let index = usize::try_from(token.0).unwrap_or(usize::MAX);
        if let Some(candidate) = candidates.data.get_mut(index) {
            candidate.set_logit(f32::NEG_INFINITY);
        }
    }
    Ok(None)
}

/// Draws from all tokens that fit.
fn choose(
    sampler: &mut LlamaSampler,
    candidates: LlamaTokenDataArray,
    form: &mut FormReader<'_>,
) -> Result<LlamaToken, String> {
    let mut fitting = Vec::new();
    for candidate in candidates.data {
        // Those that were tried do not fit.
        if candidate.logit() > f32::NEG_INFINITY && form.fits(candidate.id())? {
            fitting.push(candidate);
        }
    }
    let mut candidates = LlamaTokenDataArray::new(fitting, false);
    candidates.apply_sampler(sampler);
    candidates
        .selected_token()
        .ok_or_else(|| "the model has no token for what the form wants next".to_owned())
}

/// A form, read by tokens.
struct FormReader<'a> {
    reader: &'a mut Reader,
    vocab: &'a LlamaVocab<'a>,
    /// Most bytes that may be missing to the form's end after the next token.
    most: u64,
}

impl FormReader<'_> {
    /// Whether `token` may come next.
    fn fits(&mut self, token: LlamaToken) -> Result<bool, String> {
        if self.vocab.is_eog(token) {
            return Ok(self.reader.is_complete());
        }
        let bytes = bytes_of(self.vocab, token);
        match bytes.first() {
            Some(first) if self.reader.next_bytes().contains(*first) => {
                self.reader.allows_within(&bytes, self.most)
            }
            _ => Ok(false),
        }
    }
}

/// Bytes of a token's text; empty for a control token.
pub fn bytes_of(vocab: &LlamaVocab<'_>, token: LlamaToken) -> Vec<u8> {
    let mut bytes = Vec::new();
    vocab.token_to_piece_into(token, &mut bytes, false, None);
    bytes
}

/// Whether output number `output` has no number for `token`.
pub fn is_nan(context: &LlamaContext<'_>, output: i32, token: LlamaToken) -> bool {
    let logit =
        usize::try_from(token.0).ok().and_then(|index| context.get_logits_ith(output).get(index).copied());
    logit.is_none_or(f32::is_nan)
}

/// Probability of `token` in output number `output`, with the `count` likeliest tokens there.
pub fn logprob_of(
    context: &LlamaContext<'_>,
    output: i32,
    vocab: &LlamaVocab<'_>,
    token: LlamaToken,
    count: u8,
) -> TokenLogprob {
    let logits = context.get_logits_ith(output);
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - highest).exp()).sum();
    let likely = |token: LlamaToken| {
        let logit = usize::try_from(token.0).ok().and_then(|index| logits.get(index));
        let logprob = logit.map_or(LEAST_LOGPROB, |logit| (f64::from(logit - highest) - sum.ln()) as f32);
        Likely { bytes: bytes_of(vocab, token), logprob: logprob.max(LEAST_LOGPROB) }
    };
    let top = likeliest(logits, usize::from(count)).into_iter().map(|token| likely(LlamaToken(token)));
    TokenLogprob { token: likely(token), top: top.collect() }
}

/// The tokens with the highest logits, highest first; of equal ones the first.
fn likeliest(logits: &[f32], count: usize) -> Vec<i32> {
    let mut best: Vec<(f32, i32)> = Vec::with_capacity(count.saturating_add(1));
    for (token, logit) in (0..).zip(logits) {
        let place = best.partition_point(|(other, _)| other >= logit);
        if place < count {
            best.insert(place, (*logit, token));
            best.truncate(count);
        }
    }
    best.into_iter().map(|(_, token)| token).collect()
}

/// Greedy at temperature 0; otherwise drawn with the seed from the likeliest tokens that make up `top_p`.
fn sampler(work: &Generation) -> LlamaSampler {
    if work.temperature == 0.0 {
        return LlamaSampler::greedy();
    }
    // llama.cpp reads the highest seed as "choose one at random", and results must repeat.
    let seed = if work.seed == u32::MAX { 0 } else { work.seed };
    let chain = [
        (work.top_p < 1.0).then(|| LlamaSampler::top_p(work.top_p, 1)),
        Some(LlamaSampler::temp(work.temperature)),
        Some(LlamaSampler::dist(seed)),
    ];
    LlamaSampler::chain(chain.into_iter().flatten(), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_likeliest_come_first() {
        assert_eq!(likeliest(&[1.0, 3.0, f32::NEG_INFINITY, 3.0, 2.0], 3), [1, 3, 4]);
        assert_eq!(likeliest(&[1.0, 3.0], 0), [0; 0]);
        assert_eq!(likeliest(&[1.0, 3.0], 5), [1, 0]);
    }
}
