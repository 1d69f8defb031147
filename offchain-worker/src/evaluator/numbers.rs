//! From a network's output to numbers.

use super::{network::Output, texts::Row};
use crate::models::manifest::{Classes, Pooling, MANIFEST};

/// The logit of each row. One number is taken as it is; of two classes (no, yes) the difference, which the sigmoid
/// turns into their softmax. Of the `classes` that a manifest names, the logit of the one that counts less the logarithm
/// of the sum of the others' exponentials: the sigmoid turns that into its softmax, too.
pub(super) fn logits(
    output: Output<'_>,
    rows: &[&Row],
    classes: Option<&Classes>,
) -> Result<Vec<f64>, String> {
    let Output { shape, values } = output;
    let wide = |value: &f32| f64::from(*value);
    let labels = classes.map(|classes| classes.labels.len());
    if shape.first() == Some(&rows.len()) {
        match (classes, shape) {
            (None, _) if values.len() == rows.len() => return Ok(values.iter().map(wide).collect()),
            (None, [_, 2]) => {
                let difference = |pair: &[f32]| match pair {
                    [no, yes] => wide(yes) - wide(no),
                    _ => f64::NAN,
                };
                return Ok(values.chunks_exact(2).map(difference).collect());
            }
            (Some(classes), [_, given]) if *given > 0 && Some(*given) == labels => {
                return Ok(values.chunks_exact(*given).map(|row| odds(row, classes.place())).collect());
            }
            _ => {}
        }
    }
    Err(format!(
        "the network gives numbers of shape {shape:?} for {} pairs; {}",
        rows.len(),
        match labels {
            Some(labels) => format!("{MANIFEST} names {labels} labels, so it has to give as many for each"),
            None => "a cross-encoder gives one logit or two classes (no, yes) for each".to_owned(),
        }
    ))
}

/// Logarithm of the odds of the class at `place`, by their logits.
fn odds(logits: &[f32], place: Option<usize>) -> f64 {
    let (mut own, mut others) = (f64::NAN, Vec::with_capacity(logits.len()));
    for (index, logit) in logits.iter().copied().map(f64::from).enumerate() {
        if Some(index) == place {
            own = logit;
        } else {
            others.push(logit);
        }
    }
    let largest = others.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if !largest.is_finite() {
        return own - largest;
    }
    own - largest - others.iter().map(|logit| (logit - largest).exp()).sum::<f64>().ln()
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
        let read =
            |shape: &[usize], values: &[f32]| logits(Output { shape, values }, &[&first, &second], None);
        assert_eq!(read(&[2], &[1.5, -2.0]), Ok(vec![1.5, -2.0]));
        assert_eq!(read(&[2, 1], &[1.5, -2.0]), Ok(vec![1.5, -2.0]));
        assert_eq!(read(&[2, 2], &[1.0, 3.0, 0.0, -1.0]), Ok(vec![2.0, -1.0]));
        for shape in [&[][..], &[1], &[3], &[2, 3], &[1, 2], &[2, 4, 1], &[4]] {
            let values = vec![0.0; shape.iter().product()];
            assert!(read(shape, &values).unwrap_err().contains("2 pairs"), "{shape:?}");
        }
    }

    #[test]
    fn of_named_labels_one_counts_and_its_softmax_is_the_score() {
        let labels = ["contradiction", "entailment", "neutral"].map(str::to_owned).to_vec();
        let classes = Classes { labels, score: "entailment".to_owned() };
        let (first, second) = (row(3), row(2));
        let read = |shape: &[usize], values: &[f32]| {
            logits(Output { shape, values }, &[&first, &second], Some(&classes))
        };
        let values = [1.0_f32, 2.5, -0.5, 0.0, -3.0, 4.0];
        for (odds, logits) in read(&[2, 3], &values).unwrap().into_iter().zip(values.chunks(3)) {
            let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            let softmax = f64::from(logits[1]).exp() / sum;
            assert!((1.0 / (1.0 + (-odds).exp()) - softmax).abs() < 1e-12);
        }
        let far = read(&[2, 3], &[-1e30, 1e30, -1e30, 1e30, -1e30, 0.0]).unwrap();
        assert!(far[0] > 1e30 && far[1] < -1e30, "{far:?}");
        assert!(read(&[2, 3], &[0.0, 0.0, f32::NAN, 0.0, f32::NAN, 0.0]).unwrap().iter().all(|o| o.is_nan()));
        for shape in [&[2][..], &[2, 1], &[2, 2], &[2, 4], &[1, 3]] {
            let values = vec![0.0; shape.iter().product()];
            assert!(read(shape, &values).unwrap_err().contains("3 labels"), "{shape:?}");
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
