//! Progress bars, on a terminal only.

use indicatif::{ProgressBar, ProgressStyle};

/// Longest name that stands before a bar, in characters.
const LONGEST_NAME: usize = 28;

/// A bar of `bytes` bytes on standard error; where that is no terminal nothing is drawn.
pub fn bar(what: &str, bytes: u64) -> ProgressBar {
    let bar = ProgressBar::new(bytes);
    let form = "{msg:28} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
    // The form is fixed and a test draws with it; should a new release dislike it, its own form does as well.
    bar.set_style(ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(shortened(what));
    bar
}

/// The end of a long name: there the names of models differ.
fn shortened(name: &str) -> String {
    let count = name.chars().count();
    if count <= LONGEST_NAME {
        return name.to_owned();
    }
    let end: String = name.chars().skip(count.saturating_sub(LONGEST_NAME - 2)).collect();
    format!("..{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_valid() {
        let form = "{msg:28} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
        assert!(ProgressStyle::with_template(form).is_ok());
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(shortened("short"), "short");
        assert_eq!(shortened(&"ü".repeat(28)), "ü".repeat(28));
        let long = shortened("a-model-with-quite-a-long-name-Q4_K_M.gguf");
        assert!(long.starts_with("..") && long.ends_with("Q4_K_M.gguf") && long.chars().count() == 28);
    }
}
