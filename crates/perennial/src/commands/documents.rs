//! Files of definitions, as documents that know where they stand.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

/// One definition in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The file, as it was named.
    pub file: String,
    /// How many lines of the file come before it.
    pub before: usize,
    /// What it defines.
    pub kind: DocumentKind,
    /// Its bare name.
    pub name: String,
    /// The document as it stands there.
    pub text: String,
}

/// What a document defines, in the order in which they have to exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum DocumentKind {
    /// The workspace's tracking plan.
    TrackingPlan,
    /// An offer.
    Offer,
    /// A template.
    Template,
    /// A segment.
    Segment,
    /// A campaign.
    Campaign,
}

impl DocumentKind {
    /// Its word in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TrackingPlan => "tracking-plan",
            Self::Offer => "offer",
            Self::Template => "template",
            Self::Segment => "segment",
            Self::Campaign => "campaign",
        }
    }
}

#[derive(Deserialize)]
struct Head {
    kind: Option<String>,
    name: Option<String>,
}

/// Reads files, folders (every `.yaml` and `.yml` below them), `-` for standard input, and `playbook:NAME`. What has to
/// exist before the rest comes first; otherwise the order is that of the files.
///
/// # Errors
/// Which file cannot be read, or which document says not what it is.
pub fn read(paths: &[PathBuf], playbooks: &[(&str, &str)]) -> anyhow::Result<Vec<Document>> {
    let mut found = Vec::new();
    for path in paths {
        let text = path.to_string_lossy();
        if let Some(name) = text.strip_prefix("playbook:") {
            found.extend(playbook(name, playbooks)?);
        } else if text == "-" {
            let mut all = String::new();
            std::io::stdin().read_to_string(&mut all).context("standard input cannot be read")?;
            found.extend(split("standard input", &all)?);
        } else if path.is_dir() {
            for file in files(path)? {
                found.extend(one(&file)?);
            }
        } else {
            found.extend(one(path)?);
        }
    }
    ensure!(
        !found.is_empty(),
        "there is nothing to apply: name files that hold `kind: Segment` and the like"
    );
    found.sort_by_key(|it| it.kind);
    Ok(found)
}

fn one(path: &Path) -> anyhow::Result<Vec<Document>> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read: check the path", path.display()))?;
    split(&path.to_string_lossy(), &text)
}

fn files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let reading = || format!("the folder {} cannot be read", folder.display());
    for entry in fs::read_dir(folder).with_context(reading)? {
        let path = entry.with_context(reading)?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else if path.extension().is_some_and(|it| it == "yaml" || it == "yml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// A playbook's campaign and templates, and the offers it gives.
fn playbook(name: &str, playbooks: &[(&str, &str)]) -> anyhow::Result<Vec<Document>> {
    let folder = format!("{name}/");
    let own: Vec<_> = playbooks.iter().filter(|(path, _)| path.starts_with(&folder)).collect();
    if own.is_empty() || name == "offers" {
        let mut names: Vec<&str> = playbooks.iter().filter_map(|(path, _)| path.split('/').next()).collect();
        names.retain(|it| *it != "offers");
        names.sort_unstable();
        names.dedup();
        bail!("there is no playbook {name:?}: there are {}", names.join(", "));
    }
    let mut found = Vec::new();
    for (path, text) in playbooks.iter().filter(|(path, _)| path.starts_with("offers/")) {
        let offer = path.trim_start_matches("offers/").trim_end_matches(".yaml");
        let given = |(_, text): &&&(&str, &str)| text.contains(&format!("coupon: {offer}"));
        if own.iter().any(|it| given(&it)) {
            found.extend(split(&format!("playbook:{path}"), text)?);
        }
    }
    for (path, text) in own {
        found.extend(split(&format!("playbook:{path}"), text)?);
    }
    Ok(found)
}

/// Splits a file at its `---` lines.
fn split(file: &str, text: &str) -> anyhow::Result<Vec<Document>> {
    let mut found = Vec::new();
    let mut start = 0;
    let mut part = String::new();
    for (number, line) in text.lines().chain(["---"]).enumerate() {
        if line.trim_end() != "---" {
            part.push_str(line);
            part.push('\n');
            continue;
        }
        if part.lines().any(|it| !it.trim().is_empty() && !it.trim_start().starts_with('#')) {
            found.push(document(file, start, std::mem::take(&mut part))?);
        }
        part.clear();
        start = number + 1;
    }
    Ok(found)
}

fn document(file: &str, before: usize, text: String) -> anyhow::Result<Document> {
    let head: Head = serde_saphyr::from_str(&text).map_err(|error| {
        let line = error.location().map_or(1, |it| usize::try_from(it.line()).unwrap_or(1));
        let problem = error.to_string();
        let problem = problem.lines().next().unwrap_or_default();
        anyhow::anyhow!("{file}:{}: not valid YAML: {problem}", before + line)
    })?;
    let remedy = "write kind: Segment, Campaign, Template, Offer or TrackingPlan";
    let kind = match head.kind.as_deref() {
        Some("Segment") => DocumentKind::Segment,
        Some("Campaign") => DocumentKind::Campaign,
        Some("Template") => DocumentKind::Template,
        Some("Offer") => DocumentKind::Offer,
        // A workspace has one, so it needs no name.
        Some("TrackingPlan") => {
            let name = head.name.unwrap_or_else(|| "tracking-plan".to_owned());
            return Ok(Document {
                file: file.to_owned(),
                before,
                kind: DocumentKind::TrackingPlan,
                name,
                text,
            });
        }
        Some(other) => {
            bail!("{file}:{}: kind {other:?} is not known: {remedy}", before + line_of(&text, "kind"))
        }
        None => bail!("{file}:{}: kind is missing: {remedy}", before + 1),
    };
    let name = head.name.with_context(|| {
        format!("{file}:{}: name is missing: give it a short one, such as name: welcome", before + 1)
    })?;
    Ok(Document { file: file.to_owned(), before, kind, name, text })
}

/// The line, from 1, on which a top-level field stands; 1 if it does not.
#[must_use]
pub fn line_of(text: &str, field: &str) -> usize {
    let at = |line: &str| line.strip_prefix(field).is_some_and(|rest| rest.trim_start().starts_with(':'));
    text.lines().position(at).map_or(1, |it| it + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_several_documents_that_know_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.yaml");
        let text = "# two of them\nkind: Campaign\nname: hello\n---\n---\nkind: Segment\nname: vip\nrule: orders >= 5\n";
        fs::write(&path, text).unwrap();
        let found = read(&[folder.path().to_owned()], &[]).unwrap();
        let heads: Vec<_> = found.iter().map(|it| (it.kind, it.name.as_str(), it.before)).collect();
        assert_eq!(heads, [(DocumentKind::Segment, "vip", 5), (DocumentKind::Campaign, "hello", 0)]);
        assert_eq!(line_of(&found[0].text, "rule"), 3);
    }

    #[test]
    fn what_a_document_does_not_say_is_asked_for_with_its_line() {
        for (text, expected) in [
            ("kind: Segmnt\nname: a\n", "a.yaml:1: kind \"Segmnt\" is not known"),
            ("name: a\n", "a.yaml:1: kind is missing"),
            ("kind: Offer\nnames: a\n", "a.yaml:1: name is missing"),
            ("kind: [\n", "a.yaml:"),
        ] {
            let error = split("a.yaml", text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn a_playbook_brings_the_offers_it_gives() {
        let playbooks = [
            ("offers/ten.yaml", "kind: Offer\nname: ten\n"),
            ("offers/other.yaml", "kind: Offer\nname: other\n"),
            ("hello/campaign.yaml", "kind: Campaign\nname: hello\nsteps:\n  - offer: { coupon: ten }\n"),
        ];
        let found = read(&["playbook:hello".into()], &playbooks).unwrap();
        assert_eq!(found.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["ten", "hello"]);
        let error = read(&["playbook:nothing".into()], &playbooks).unwrap_err().to_string();
        assert!(error.contains("there are hello"), "{error}");
    }
}
