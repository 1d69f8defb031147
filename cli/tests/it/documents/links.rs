//! Links between the documents, and from them to files of the repository.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use std::{fs, path::Path};

/// The broken links of the document `file`: those to no file, or to no heading. Addresses of the web are left out.
pub fn broken(checkout: &Path, file: &str) -> Vec<String> {
    let markdown = fs::read_to_string(checkout.join(file)).unwrap();
    let mut broken = Vec::new();
    for event in Parser::new_ext(&markdown, Options::ENABLE_TABLES) {
        let Event::Start(Tag::Link { dest_url: link, .. } | Tag::Image { dest_url: link, .. }) = event else {
            continue;
        };
        if !link.contains("://") && !leads_somewhere(checkout, file, &link) {
            broken.push(format!("{file}: the link to {link} leads nowhere"));
        }
    }
    broken
}

fn leads_somewhere(checkout: &Path, file: &str, link: &str) -> bool {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, anchor)| (path, Some(anchor)));
    let from = checkout.join(file);
    let target = if path.is_empty() { from } else { from.parent().unwrap().join(path) };
    let Some(anchor) = anchor else { return target.exists() };
    fs::read_to_string(target).is_ok_and(|text| anchors(&text).iter().any(|known| known == anchor))
}

/// The anchors that GitHub gives to the headings of a document.
fn anchors(markdown: &str) -> Vec<String> {
    let mut anchors = Vec::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => anchors.extend(heading.take().map(|text| anchor(&text))),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            _ => {}
        }
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_have_the_anchors_of_github() {
        let anchors = anchors(
            "# What Proof of Quality cannot do\n\nText.\n\n## 11 Parachains and `polkadot-omni-node`\n",
        );
        assert_eq!(anchors, ["what-proof-of-quality-cannot-do", "11-parachains-and-polkadot-omni-node"]);
        assert_eq!(anchor("Incentives, measured"), "incentives-measured");
    }

    #[test]
    fn links_are_followed() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("docs")).unwrap();
        fs::write(folder.path().join("README.md"), "# A heading\n").unwrap();
        let text = "# Here\n[a](../README.md#a-heading) [b](#here) [c](https://example.org/x) [d](../none.md) [e](../README.md#none) [f](#none)\n";
        fs::write(folder.path().join("docs/x.md"), text).unwrap();
        let broken = broken(folder.path(), "docs/x.md");
        let expected = ["../none.md", "../README.md#none", "#none"];
        assert_eq!(broken, expected.map(|link| format!("docs/x.md: the link to {link} leads nowhere")));
    }
}
