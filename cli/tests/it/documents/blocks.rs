//! Blocks of shell in Markdown, and the marks above them.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Names of languages that mean a block of shell.
const SHELLS: [&str; 5] = ["sh", "bash", "shell", "console", "zsh"];

/// A block of shell.
#[derive(Debug, PartialEq)]
pub struct Block {
    /// File and line of its first line of code.
    pub place: String,
    pub code: String,
    /// The mark above it, or what is wrong with that.
    pub mark: Result<Mark, String>,
}

/// Treatment of a block.
#[derive(Debug, PartialEq)]
pub enum Mark {
    Run(Run),
    /// Left out, for a reason that the document gives.
    NotRun,
}

/// The way a block is run.
#[derive(Debug, Default, PartialEq)]
pub struct Run {
    /// The walks that it is a part of.
    pub walks: Vec<String>,
    /// Whether it goes on while the next blocks run, as in another terminal.
    pub background: bool,
    /// A pattern (of `grep -E`) for a line of its output. A block in the background is waited for until it has printed one.
    pub says: Option<String>,
}

/// The blocks of shell of a document, in order.
pub fn of(file: &str, markdown: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut inside = false;
    let mut comment = String::new();
    for (event, range) in Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Html(html) => comment.push_str(&html),
            Event::End(TagEnd::HtmlBlock) => {}
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) if SHELLS.contains(&&*language) => {
                inside = true;
                // The fence, which may be indented, is one line above the code.
                let line = markdown[..range.start].matches('\n').count() + 2;
                let mark = match &*language {
                    "sh" => Mark::parse(&comment),
                    other => Err(format!("calls itself `{other}`: say `sh`")),
                };
                blocks.push(Block { place: format!("{file}:{line}"), code: String::new(), mark });
            }
            Event::Text(text) if inside => blocks.last_mut().unwrap().code.push_str(&text),
            _ => {
                inside = false;
                comment.clear();
            }
        }
    }
    blocks
}

impl Mark {
    /// Reads the comment right above a block.
    fn parse(comment: &str) -> Result<Self, String> {
        let text = comment.trim().strip_prefix("<!--").and_then(|text| text.strip_suffix("-->"));
        let text = text.map(str::trim).unwrap_or_default();
        if let Some(reason) = text.strip_prefix("not run:") {
            return if reason.trim().is_empty() { Err("gives no reason".into()) } else { Ok(Self::NotRun) };
        }
        let run = text.strip_prefix("run:");
        run.ok_or("has neither `<!-- run: … -->` nor `<!-- not run: … -->` right above it")
            .map_err(str::to_owned)
            .and_then(Run::parse)
            .map(Self::Run)
    }
}

impl Run {
    fn parse(text: &str) -> Result<Self, String> {
        let mut fields = text.split(';').map(str::trim);
        let walks = fields.next().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
        let mut run = Self { walks, ..Self::default() };
        for field in fields {
            match (field, field.strip_prefix("says ")) {
                ("background", _) => run.background = true,
                (_, Some(pattern)) => run.says = Some(pattern.to_owned()),
                (other, None) => {
                    return Err(format!("has `{other}`, which is neither `background` nor `says PATTERN`"))
                }
            }
        }
        if run.walks.is_empty() {
            return Err("names no walk".into());
        }
        if run.background && run.says.is_none() {
            return Err(
                "runs in the background, and nothing says when it is ready: add `says PATTERN`".into()
            );
        }
        Ok(run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(markdown: &str) -> Vec<Result<Mark, String>> {
        of("x.md", markdown).into_iter().map(|block| block.mark).collect()
    }

    #[test]
    fn a_block_is_found_in_a_list_with_its_line_and_its_mark() {
        let markdown = "1. **First.** Text\n\n   <!-- run: a b; background; says it is (up|here) -->\n   ```sh\n   one \\\n       two\n   ```\n";
        let run = Run {
            walks: vec!["a".into(), "b".into()],
            background: true,
            says: Some("it is (up|here)".into()),
        };
        let code = "one \\\n    two\n".to_owned();
        assert_eq!(of("x.md", markdown), [Block { place: "x.md:5".into(), code, mark: Ok(Mark::Run(run)) }]);
    }

    #[test]
    fn other_blocks_are_left_alone() {
        assert!(marks("```text\nx\n```\n\n    indented\n\n```rust\ny\n```\n").is_empty());
    }

    #[test]
    fn a_reason_is_as_good_as_a_run() {
        assert_eq!(marks("<!-- not run: needs root -->\n```sh\nx\n```\n"), [Ok(Mark::NotRun)]);
    }

    #[test]
    fn no_block_gets_by_without_a_mark() {
        let wrong = [
            ("", "has neither"),
            ("Text.\n", "has neither"),
            ("<!-- run: a -->\n\nText between them.\n", "has neither"),
            ("<!-- run: a -->\n```text\nan output\n```\n", "has neither"),
            ("<!-- runs: a -->\n", "has neither"),
            ("<!-- not run: -->\n", "gives no reason"),
            ("<!-- run: -->\n", "names no walk"),
            ("<!-- run: a; says -->\n", "has `says`"),
            ("<!-- run: a; later -->\n", "has `later`"),
            ("<!-- run: a; background -->\n", "nothing says when it is ready"),
        ];
        for (above, expected) in wrong {
            let error = marks(&format!("{above}```sh\nx\n```\n")).pop().unwrap().unwrap_err();
            assert!(error.contains(expected), "{above:?}: {error}");
        }
        assert!(marks("```bash\nx\n```\n")[0].as_ref().unwrap_err().contains("say `sh`"));
    }
}
