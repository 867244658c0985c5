//! The default settings, explained: what `perennial config --default` prints.

use crate::config::Config;

/// Where each section's settings are described.
const HEAD: &str = "\
# Every setting of Perennial and its default. A file like this is read with --config; the environment goes before it:
# PERENNIAL_SCORING__DATABASE__URL is [scoring.database] url. A name that nobody knows stops the start.
#
# url = \"sqlite:DIR\" keeps one file a service in DIR; url = \"postgres://…\" one schema a service in that database.
# What each setting means stands in the README of its service.

";

/// The defaults as TOML, with a word on how to use them.
///
/// # Errors
/// If one holds what TOML cannot.
pub fn explained() -> anyhow::Result<String> {
    Ok(format!("{HEAD}{}", Config::default().to_toml()?))
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
        assert_eq!(read.to_toml().unwrap(), Config::default().to_toml().unwrap());
    }
}
