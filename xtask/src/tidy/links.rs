//! Each relative link in a Markdown file leads to a file or folder.

use std::path::{Path, PathBuf};

use super::files::plain;
use super::{Finding, Source};

pub fn check(root: &Path, sources: &[Source]) -> Vec<Finding> {
    check_by(sources, |path| root.join(path).exists())
}

fn check_by(sources: &[Source], exists: impl Fn(&Path) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.is_markdown()) {
        if source.path.starts_with("spec/vectors") {
            continue;
        }
        for (line, link) in links(&source.text) {
            let Some(target) = target_of(&source.path, link) else {
                continue;
            };
            if !exists(&target) {
                let what = format!("the link `{link}` leads nowhere");
                findings.push(Finding::new(source.place(line), what));
            }
        }
    }
    findings
}

/// The file that a relative link means; `None` for links elsewhere or within the page.
fn target_of(from: &Path, link: &str) -> Option<PathBuf> {
    let link = link.split(['#', '?']).next().unwrap_or_default();
    let elsewhere = link.is_empty()
        || link.starts_with('/')
        || link.contains("://")
        || link.starts_with("mailto:");
    if elsewhere {
        return None;
    }
    Some(plain(&from.parent()?.join(link.replace("%20", " "))))
}

/// Links of the forms `[text](link)` and `[name]: link` with their line numbers, outside code.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut links = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            _ => {}
        }
        if fence.is_some() || mark.is_some() {
            continue;
        }
        if let Some((name, link)) = start.split_once("]: ")
            && name.starts_with('[')
            && !name.contains(' ')
        {
            links.push((index + 1, link.trim()));
            continue;
        }
        links.extend(inline_links(line).into_iter().map(|link| (index + 1, link)));
    }
    links
}

fn inline_links(line: &str) -> Vec<&str> {
    let mut links = Vec::new();
    let mut in_code = false;
    let mut chars = line.char_indices().peekable();
    while let Some((_, c)) = chars.next() {
        match c {
            '`' => in_code = !in_code,
            ']' if !in_code => {
                let Some((_, '(')) = chars.peek() else {
                    continue;
                };
                let rest = chars.peek().map_or("", |(at, _)| &line[at + 1..]);
                if let Some((link, _)) = rest.split_once(')') {
                    // A title may follow: `(file.md "Title")`.
                    let link = link.split(" \"").next().unwrap_or(link);
                    links.push(link.trim().trim_matches(['<', '>']));
                }
            }
            _ => {}
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_outside_code() {
        let text = "
[a](one.md) and ![b](two.svg \"T\") and `[no](code.md)`
```
[no](fence.md)
```
[ref]: three.md
";
        let found: Vec<_> = links(text).into_iter().map(|(_, link)| link).collect();
        assert_eq!(found, ["one.md", "two.svg", "three.md"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_found() {
        let source = Source {
            path: "docs/a.md".into(),
            text: "[1](../README.md#top) [2](b.md) [3](https://x.example) [4](#here)".to_owned(),
        };
        let findings = check_by(&[source], |path| path == Path::new("README.md"));
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].place, "docs/a.md:1");
        assert!(findings[0].what.contains("b.md"));
    }
}
