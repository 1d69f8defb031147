//! Whole numbers between bounds, as rows of digits.

/// The largest: 16 digits.
pub const MOST: i64 = 9_999_999_999_999_999;

/// A range of digits.
type Digits = (u8, u8);

/// Whether a bound may be `number`.
pub fn in_range(number: i64) -> bool {
    (-MOST..=MOST).contains(&number)
}

/// Rows of ranges of characters: together exactly the whole numbers from `least` to `most`, as JSON has them. Without
/// a bound, numbers have up to 16 digits.
pub fn between(least: Option<i64>, most: Option<i64>) -> Vec<Vec<Digits>> {
    let (least, most) = (least.unwrap_or(-MOST), most.unwrap_or(MOST));
    let minus = |mut row: Vec<Digits>| {
        row.insert(0, (b'-', b'-'));
        row
    };
    let negative = positive_between(most.saturating_neg().max(1), least.saturating_neg());
    let mut rows: Vec<Vec<Digits>> = negative.into_iter().map(minus).collect();
    rows.extend(positive_between(least.max(0), most));
    rows
}

fn positive_between(least: i64, most: i64) -> Vec<Vec<Digits>> {
    let (mut rows, mut first) = (Vec::new(), 0_i64);
    let mut last = 9_i64;
    // One length after another: 0 to 9, 10 to 99, and so on.
    while first <= most && first <= MOST {
        let (low, high) = (least.max(first), most.min(last));
        if low <= high {
            rows.extend(same_length(low.to_string().as_bytes(), high.to_string().as_bytes()));
        }
        first = last.saturating_add(1);
        last = last.saturating_mul(10).saturating_add(9);
    }
    rows
}

/// The numbers from `low` to `high`, which have equally many digits.
fn same_length(low: &[u8], high: &[u8]) -> Vec<Vec<Digits>> {
    let (Some((a, low)), Some((b, high))) = (low.split_first(), high.split_first()) else {
        return vec![Vec::new()];
    };
    let with = |first: Digits, rows: Vec<Vec<Digits>>| -> Vec<Vec<Digits>> {
        rows.into_iter().map(|row| std::iter::once(first).chain(row).collect()).collect()
    };
    if a == b {
        return with((*a, *a), same_length(low, high));
    }
    let (zeros, nines) = (vec![b'0'; low.len()], vec![b'9'; low.len()]);
    let (whole_low, whole_high) = (*low == zeros, *high == nines);
    let (from, to) = (a.saturating_add(u8::from(!whole_low)), b.saturating_sub(u8::from(!whole_high)));
    let mut rows = Vec::new();
    if !whole_low {
        rows.extend(with((*a, *a), same_length(low, &nines)));
    }
    if from <= to {
        rows.push(std::iter::once((from, to)).chain(low.iter().map(|_| (b'0', b'9'))).collect());
    }
    if !whole_high {
        rows.extend(with((*b, *b), same_length(&zeros, high)));
    }
    rows
}
