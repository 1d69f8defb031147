//! From a network's output to numbers.

use super::{network::Output, texts::Row};
use crate::models::manifest::Pooling;

/// The logit of each row. One number is taken as it is; of two classes (no, yes) the difference, which the sigmoid
/// turns into their softmax.
pub(super) fn logits(output: Output<'_>, rows: &[&Row]) -> Result<Vec<f64>, String> {
    let Output { shape, values } = output;
    let wide = |value: &f32| f64::from(*value);
    if shape.first() == Some(&rows.len()) {
        if values.len() == rows.len() {
            return Ok(values.iter().map(wide).collect());
        }
        if let [_, 2] = shape {
            let difference = |pair: &[f32]| match pair {
                [no, yes] => wide(yes) - wide(no),
                _ => f64::NAN,
            };
            return Ok(values.chunks_exact(2).map(difference).collect());
        }
    }
    Err(format!(
        "the network gives numbers of shape {shape:?} for {} pairs; a cross-encoder gives one logit or two classes (no, yes) for each",
        rows.len()
    ))
}

/// The vector of each row: given as such, or made of the vectors of its tokens.
pub(super) fn vectors(output: Output<'_>, rows: &[&Row], pooling: Pooling) -> Result<Vec<Vec<f64>>, String> {
    let Output { shape, values } = output;
    let wide = |vector: &[f32]| vector.iter().copied().map(f64::from).collect::<Vec<_>>();
    match *shape {
        [batch, size] if batch == rows.len() && size > 0 => Ok(values.chunks_exact(size).map(wide).collect()),
        [batch, tokens, size] if batch == rows.len() && tokens > 0 && size > 0 => {
            let texts = values.chunks_exact(tokens.saturating_mul(size)).zip(rows);
            Ok(texts
                .map(|(text, row)| match pooling {
                    Pooling::Cls => wide(text.get(..size).unwrap_or_default()),
                    // Padding is at the end, so the first tokens are those of the row.
                    Pooling::Mean => mean(text.chunks_exact(size).take(row.len()), size),
                })
                .collect())
        }
        _ => Err(format!(
            "the network gives numbers of shape {shape:?} for {} texts; a bi-encoder gives a vector for each, or for each of its tokens",
            rows.len()
        )),
    }
}

fn mean<'a>(vectors: impl ExactSizeIterator<Item = &'a [f32]>, size: usize) -> Vec<f64> {
    let count = vectors.len().max(1) as f64;
    let mut sum = vec![0.0; size];
    for vector in vectors {
        for (sum, value) in sum.iter_mut().zip(vector) {
            *sum += f64::from(*value);
        }
    }
    sum.iter_mut().for_each(|value| *value /= count);
    sum
}

/// The cosine of the angle between two vectors, -1 to 1; 0 if one of them is zero.
pub(super) fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let lengths = dot(a, a).sqrt() * dot(b, b).sqrt();
    if lengths == 0.0 {
        return 0.0;
    }
    (dot(a, b) / lengths).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn row(tokens: usize) -> Row {
        Row { ids: vec![1; tokens], types: vec![0; tokens] }
    }

    #[test]
    fn one_or_two_numbers_make_a_logit() {
        let (first, second) = (row(3), row(2));
        let read = |shape: &[usize], values: &[f32]| logits(Output { shape, values }, &[&first, &second]);
        assert_eq!(read(&[2], &[1.5, -2.0]), Ok(vec![1.5, -2.0]));
        assert_eq!(read(&[2, 1], &[1.5, -2.0]), Ok(vec![1.5, -2.0]));
        assert_eq!(read(&[2, 2], &[1.0, 3.0, 0.0, -1.0]), Ok(vec![2.0, -1.0]));
        for shape in [&[][..], &[1], &[3], &[2, 3], &[1, 2], &[2, 4, 1], &[4]] {
            let values = vec![0.0; shape.iter().product()];
            assert!(read(shape, &values).unwrap_err().contains("2 pairs"), "{shape:?}");
        }
    }

    #[test]
    fn tokens_are_pooled_without_padding() {
        let (long, short) = (row(2), row(1));
        let values = [1.0, 2.0, 3.0, 6.0, 5.0, 7.0, 100.0, 100.0];
        let read = |shape: &[usize], values: &[f32], pooling| {
            vectors(Output { shape, values }, &[&long, &short], pooling)
        };
        assert_eq!(read(&[2, 2, 2], &values, Pooling::Mean).unwrap(), [[2.0, 4.0], [5.0, 7.0]]);
        assert_eq!(read(&[2, 2, 2], &values, Pooling::Cls).unwrap(), [[1.0, 2.0], [5.0, 7.0]]);
        assert_eq!(read(&[2, 2], &values[..4], Pooling::Mean).unwrap(), [[1.0, 2.0], [3.0, 6.0]]);
        for shape in [&[][..], &[2], &[1, 2], &[2, 0], &[2, 0, 2], &[2, 1, 0], &[3, 1, 1], &[2, 1, 1, 1]] {
            assert!(read(shape, &[], Pooling::Mean).unwrap_err().contains("2 texts"), "{shape:?}");
        }
    }

    #[test]
    fn the_cosine_is_total() {
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 3.0]), 0.0);
        assert_eq!(cosine(&[2.0], &[3.0]), 1.0);
        assert_eq!(cosine(&[2.0], &[-3.0]), -1.0);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 1.0]), 0.0);
        assert_eq!(cosine(&[], &[]), 0.0);
        assert!(cosine(&[f64::NAN], &[1.0]).is_nan());
    }

    proptest! {
        #[test]
        fn cosines_are_symmetric_and_in_range(
            pair in prop::collection::vec((-1e3_f64..1e3, -1e3_f64..1e3), 1..50),
            factor in 1e-3_f64..1e3,
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) = pair.into_iter().unzip();
            let is = cosine(&a, &b);
            prop_assert!((-1.0..=1.0).contains(&is) && is == cosine(&b, &a));
            let scaled: Vec<f64> = a.iter().map(|value| value * factor).collect();
            prop_assert!((cosine(&scaled, &b) - is).abs() < 1e-9);
        }
    }
}
