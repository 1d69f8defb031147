//! Vectors of texts, by bi-encoders.

use super::{encoder::Encoder, network::Output, numbers::vectors, texts::Row, Evaluator, Kind};
use crate::{
    limits::{LengthUnit, Limits, TooLong, Unfinished},
    models::manifest::EvaluatorKind,
    work::{Embedded, Embedding},
};

impl Evaluator {
    /// Makes a vector of each text, of length 1. A text that is too long for the network is refused: a vector of a part of it
    /// would look like one of the whole.
    pub fn embed(&self, work: &Embedding, limits: &Limits) -> Result<Embedded, Unfinished> {
        match (&self.network, self.manifest.kind) {
            (Kind::Encoder(encoder), EvaluatorKind::BiEncoder) => encoder.embed(work, limits),
            _ => Err(Unfinished::unavailable(format!("{} is no bi-encoder and makes no vectors", self.name))),
        }
    }
}

impl Encoder {
    fn embed(&self, work: &Embedding, limits: &Limits) -> Result<Embedded, Unfinished> {
        let rows =
            work.texts.iter().map(|text| self.whole_row(text, limits)).collect::<Result<Vec<_>, _>>()?;
        let read = |output: Output<'_>, rows: &[&Row]| vectors(output, rows, self.manifest.pooling);
        let made = self.run(&rows, false, limits, read)?;
        if made.iter().flatten().any(|number| !number.is_finite()) {
            return Err(Unfinished::internal(format!("{}: the network's output is not a number", self.name)));
        }
        let tokens = rows.iter().map(Row::len).sum::<usize>();
        Ok(Embedded {
            vectors: made.iter().map(|vector| normalized(vector)).collect(),
            tokens: u32::try_from(tokens).unwrap_or(u32::MAX),
        })
    }

    /// The row of `text`, of which nothing was cut off.
    fn whole_row(&self, text: &str, limits: &Limits) -> Result<Row, Unfinished> {
        limits.check()?;
        let tokenizer = |error: String| Unfinished::internal(format!("{}: {error}", self.name));
        let too_long = |length: usize, and_more, most: usize, unit| {
            let (length, most) = (length as u64, most as u64);
            Unfinished::TooLong(TooLong { length, and_more, most, unit })
        };
        let most_bytes = self.texts.most_bytes();
        if text.len() > most_bytes {
            return Err(too_long(text.len(), false, most_bytes, LengthUnit::Bytes));
        }
        let most = self.texts.window();
        let tokens = self.texts.tokens_up_to(most.saturating_add(1), text).map_err(tokenizer)?;
        if tokens.len() > most {
            return Err(too_long(most, true, most, LengthUnit::Tokens));
        }
        self.texts.single(tokens).map_err(tokenizer)
    }
}

/// `vector` with a length of 1; one of zeros stays what it is.
fn normalized(vector: &[f64]) -> Vec<f32> {
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    vector.iter().map(|value| (value * scale) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_a_length_of_one() {
        assert_eq!(normalized(&[3.0, 4.0]), [0.6, 0.8]);
        assert_eq!(normalized(&[0.0, 0.0]), [0.0, 0.0]);
    }
}
