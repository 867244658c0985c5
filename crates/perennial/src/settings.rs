//! The default settings, explained: what `perennial config --default` prints.
//!
//! The explanations are the settings' own doc comments, read from the source they stand in, so they cannot rot.

use std::collections::BTreeMap;

use crate::config::Config;

const HEAD: &str = "\
# Every setting of Perennial with its default. A file like this is read with --config; the environment goes before it:
# PERENNIAL_SCORING__DATABASE__URL is url in [scoring.database]. A name that nobody knows stops the start.
";

/// Where the settings of each section are declared; the first whose beginning fits counts.
const SOURCES: [(&str, &str); 13] = [
    ("server.tls", include_str!("../../perennial-runtime/src/tls.rs")),
    ("telemetry", include_str!("../../perennial-runtime/src/telemetry.rs")),
    ("cache", include_str!("../../perennial-cache/src/config.rs")),
    ("notification.smtp", include_str!("../../perennial-notification/src/channel/smtp.rs")),
    ("ingestion", include_str!("../../perennial-ingestion/src/config.rs")),
    ("scoring", include_str!("../../perennial-scoring/src/config.rs")),
    ("segmentation", include_str!("../../perennial-segmentation/src/config.rs")),
    ("campaign", include_str!("../../perennial-campaign/src/config.rs")),
    ("loyalty", include_str!("../../perennial-loyalty/src/config.rs")),
    ("notification", include_str!("../../perennial-notification/src/config.rs")),
    ("database", include_str!("../../perennial-store/src/open.rs")),
    ("run", include_str!("config.rs")),
    ("", include_str!("../../perennial-runtime/src/config.rs")),
];

/// A setting as its struct declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    within: String,
    name: String,
    explanation: String,
    optional: bool,
}

/// The defaults as TOML, each explained.
///
/// # Errors
/// If one holds what TOML cannot.
pub fn explained() -> anyhow::Result<String> {
    let plain = Config::default().to_toml()?;
    let mut sections: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut section = String::new();
    sections.entry(section.clone()).or_default();
    for line in plain.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|it| it.strip_suffix(']')) {
            section = name.to_owned();
            sections.entry(section.clone()).or_default();
        } else if let Some((key, value)) = line.split_once(" = ") {
            sections.entry(section.clone()).or_default().push((key.to_owned(), value.to_owned()));
        }
    }
    let mut text = HEAD.to_owned();
    for (section, settings) in &sections {
        let declared = fields(source(section));
        if !section.is_empty() {
            text.push_str(&format!("\n[{section}]\n"));
        }
        for (key, value) in settings {
            let own = fields(source(key));
            let found = find(&declared, section, key).or_else(|| find(&own, section, key));
            text.push_str(&comment(found));
            text.push_str(&format!("{key} = {value}\n"));
        }
        let within = settings.first().and_then(|(key, _)| find(&declared, section, key)).map(|it| &it.within);
        for it in declared.iter().filter(|it| it.optional) {
            let here = within == Some(&it.within) || (within.is_none() && of_section(it, section));
            if here && settings.iter().all(|(key, _)| *key != it.name) {
                text.push_str(&comment(Some(it)));
                text.push_str(&format!("# {} =\n", it.name));
            }
        }
    }
    Ok(text)
}

fn source(section: &str) -> &'static str {
    let database = section.ends_with(".database");
    let fits = |beginning: &str| match beginning {
        "database" => database,
        "" => true,
        it => !database && (section == it || section.starts_with(&format!("{it}."))),
    };
    SOURCES.iter().find(|(beginning, _)| fits(beginning)).map_or("", |(_, source)| source)
}

/// The declaration of a setting: in the struct named after its section, else in the main one.
fn find<'a>(declared: &'a [Field], section: &str, key: &str) -> Option<&'a Field> {
    let named: Vec<&Field> = declared.iter().filter(|it| it.name == key).collect();
    let own = named.iter().find(|it| of_section(it, section));
    own.or_else(|| named.iter().find(|it| it.within == "Config")).or(named.first()).copied()
}

fn of_section(it: &Field, section: &str) -> bool {
    let last = section.rsplit('.').next().unwrap_or_default();
    it.within.to_lowercase() == format!("{last}config")
}

fn comment(field: Option<&Field>) -> String {
    let Some(field) = field else { return String::new() };
    let mut text = String::new();
    let mut line = String::from("#");
    for word in field.explanation.split_whitespace() {
        if line.len() + word.len() >= 118 {
            text.push_str(&format!("{line}\n"));
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&format!("{line}\n"));
    text
}

/// Every public field of every public struct of a source file, with its doc comment.
fn fields(source: &str) -> Vec<Field> {
    let mut found = Vec::new();
    let mut within: Option<String> = None;
    let mut explanation = String::new();
    for line in source.lines() {
        let trimmed = line.trim();
        if let Some(rest) = trimmed.strip_prefix("pub struct ") {
            within = rest.split([' ', '{', '(', ';']).next().map(str::to_owned);
            explanation.clear();
        } else if line == "}" {
            within = None;
        } else if let Some(rest) = trimmed.strip_prefix("///") {
            explanation.push_str(rest);
        } else if let (Some(within), Some(rest)) = (&within, trimmed.strip_prefix("pub ")) {
            if let Some((name, of)) = rest.split_once(": ") {
                found.push(Field {
                    within: within.clone(),
                    name: name.to_owned(),
                    explanation: explanation.replace('`', "").trim().to_owned(),
                    optional: of.starts_with("Option<"),
                });
            }
            explanation.clear();
        } else if !trimmed.starts_with("#[") {
            explanation.clear();
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_defaults_are_the_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("perennial.toml");
        std::fs::write(&path, explained().unwrap()).unwrap();
        let read = Config::load(Some(&path), []).unwrap();
        let without = Config::load(None, []).unwrap();
        assert_eq!(read.to_toml().unwrap(), without.to_toml().unwrap());
    }

    #[test]
    fn every_setting_is_explained() {
        let text = explained().unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in
            lines.iter().enumerate().filter(|(_, it)| it.contains(" = ") && !it.starts_with('#'))
        {
            let before = number.checked_sub(1).and_then(|it| lines.get(it)).copied().unwrap_or_default();
            assert!(before.starts_with("# "), "{line} is not explained");
        }
        assert!(text.contains("# simulated_from ="), "{text}");
    }

    #[test]
    fn the_file_in_deploy_is_what_is_printed() {
        let path =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/perennial.default.toml");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            kept == explained().unwrap(),
            "write it anew: perennial config --default > deploy/perennial.default.toml"
        );
    }
}
