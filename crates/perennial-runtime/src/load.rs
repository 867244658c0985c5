//! Reads the configuration: defaults, then a TOML file, then environment variables.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Serialized, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Provider, util};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Config;

const PREFIX: &str = "PERENNIAL_";

/// Variables with our prefix that are no settings: for the command line, and for tests.
const NOT_SETTINGS: [&str; 3] = ["PERENNIAL_ADDR", "PERENNIAL_CONFIG", "PERENNIAL_KEY"];
const NOT_SETTINGS_PREFIX: &str = "PERENNIAL_TEST_";

/// A configuration that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file that was named is not there.
    #[error("configuration file {0:?} is not there: mend the path, or leave it out to use the defaults")]
    Missing(PathBuf),
    /// A setting has a name or a value that is not right.
    #[error("configuration: {0}")]
    Wrong(Box<figment::Error>),
    /// Names at the top that nobody knows.
    #[error("configuration: unknown setting `{name}` in {origin}; known are {known}")]
    Unknown {
        /// The name.
        name: String,
        /// The file or variable that holds it.
        origin: String,
        /// All that could stand there.
        known: String,
    },
}

/// Reads the settings of the process and, beside them, `T`: a struct of the services' sections. `file` is the TOML file,
/// `vars` are the environment's variables, of which `PERENNIAL_SECTION__FIELD` are read (`PERENNIAL_LISTEN`,
/// `PERENNIAL_SCORING__DATABASE_URL`).
///
/// # Errors
/// [`ConfigError`] naming the setting, where it stands, and what could stand there.
pub fn load<T: Serialize + DeserializeOwned + Default>(
    file: Option<&Path>,
    vars: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, T), ConfigError> {
    let wrong = |error| ConfigError::Wrong(Box::new(error));
    let defaults =
        Figment::from(Serialized::defaults(Config::default())).merge(Serialized::defaults(T::default()));
    let known = keys(&defaults)?;
    let mut given = Figment::new();
    if let Some(path) = file {
        if !path.is_file() {
            return Err(ConfigError::Missing(path.to_owned()));
        }
        given = given.merge(Toml::file_exact(path));
    }
    let vars = vars.into_iter().filter(|(name, _)| {
        name.starts_with(PREFIX)
            && !NOT_SETTINGS.contains(&name.as_str())
            && !name.starts_with(NOT_SETTINGS_PREFIX)
    });
    for (name, value) in vars {
        given = given.merge(Variable { name, value });
    }
    if let Some(name) = keys(&given)?.into_iter().find(|it| !known.contains(it)) {
        let origin = given.find_metadata(&name).map_or_else(String::new, describe);
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(ConfigError::Unknown { name, origin, known });
    }
    let all = defaults.merge(given);
    Ok((all.extract().map_err(wrong)?, all.extract().map_err(wrong)?))
}

/// The settings in force as TOML; secrets are shown as `[secret]`, and what is absent is left out.
///
/// # Errors
/// If `T` holds what TOML cannot.
pub fn to_toml<T: Serialize>(process: &Config, services: &T) -> anyhow::Result<String> {
    let mut all = serde_json::to_value(process)?;
    if let (Some(all), serde_json::Value::Object(more)) =
        (all.as_object_mut(), serde_json::to_value(services)?)
    {
        all.extend(more);
    }
    without_nulls(&mut all);
    Ok(toml::to_string(&all)?)
}

fn without_nulls(json: &mut serde_json::Value) {
    if let serde_json::Value::Object(object) = json {
        object.retain(|_, value| !value.is_null());
        object.values_mut().for_each(without_nulls);
    }
}

fn keys(figment: &Figment) -> Result<BTreeSet<String>, ConfigError> {
    let dict: Dict = figment.extract().map_err(|error| ConfigError::Wrong(Box::new(error)))?;
    Ok(dict.into_keys().collect())
}

fn describe(metadata: &Metadata) -> String {
    metadata
        .source
        .as_ref()
        .map_or_else(|| metadata.name.to_string(), |source| format!("{} {source}", metadata.name))
}

/// One environment variable.
struct Variable {
    name: String,
    value: String,
}

impl Provider for Variable {
    fn metadata(&self) -> Metadata {
        Metadata::named(format!("the environment variable {}", self.name))
    }

    fn data(&self) -> Result<Map<figment::Profile, Dict>, figment::Error> {
        let path = self.name.trim_start_matches(PREFIX).to_ascii_lowercase().replace("__", ".");
        // Whatever does not read as a number, a list and so on, reads as text.
        let value: Value = self.value.parse().unwrap_or_else(|_| Value::from(self.value.clone()));
        let dict = util::nest(&path, value).into_dict().unwrap_or_default();
        Ok(Map::from([(figment::Profile::Default, dict)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use serde::Deserialize;
    use std::time::Duration;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Services {
        run: Vec<String>,
        scoring: Scoring,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Scoring {
        database_url: String,
        key: Secret,
    }

    fn read(toml: &str, vars: &[(&str, &str)]) -> Result<(Config, Services), ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("perennial.toml");
        std::fs::write(&path, toml).unwrap();
        load(Some(&path), vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn a_variable_outranks_the_file_and_the_file_the_defaults() {
        let toml = "run = [\"scoring\"]\nreplicas = 2\n[server]\ndeadline = \"5s\"\n[peers]\ncampaign = \"http://c:1\"\n\
                    [scoring]\ndatabase_url = \"sqlite::memory:\"\nkey = \"hidden\"";
        let vars = [
            ("PERENNIAL_REPLICAS", "3"),
            ("PERENNIAL_SCORING__DATABASE_URL", "postgres://db/scoring"),
            ("PERENNIAL_PEERS__LOYALTY", "http://l:1"),
            ("PERENNIAL_TEST_POSTGRES", "postgres://"),
            ("PERENNIAL_ADDR", "http://elsewhere"),
            ("HOME", "/root"),
        ];
        let (process, services) = read(toml, &vars).unwrap();
        assert_eq!((process.replicas, process.server.deadline), (3, Duration::from_secs(5)));
        assert_eq!(process.peers.keys().collect::<Vec<_>>(), ["campaign", "loyalty"]);
        assert_eq!(services.run, ["scoring"]);
        assert_eq!(services.scoring.database_url, "postgres://db/scoring");
        let printed = to_toml(&process, &services).unwrap();
        assert!(printed.contains("deadline = \"5s\"") && !printed.contains("hidden"), "{printed}");
        assert!(!format!("{services:?}").contains("hidden"));
    }

    #[test]
    fn nothing_at_all_gives_the_defaults() {
        let (process, services) = load::<Services>(None, []).unwrap();
        assert_eq!((process, services), (Config::default(), Services::default()));
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_place() {
        for (toml, vars, name, place) in [
            ("lisen = \"127.0.0.1:1\"", &[][..], "`lisen`", "perennial.toml"),
            ("[scoring]\ndatabse_url = \"\"", &[], "`databse_url`", "perennial.toml"),
            ("[server]\ndedline = \"5s\"", &[], "`dedline`", "perennial.toml"),
            ("", &[("PERENNIAL_SCORNG__KEY", "x")], "`scorng`", "PERENNIAL_SCORNG__KEY"),
            ("", &[("PERENNIAL_SERVER__DEDLINE", "1s")], "`dedline`", "PERENNIAL_SERVER__DEDLINE"),
        ] {
            let refused = read(toml, vars).unwrap_err().to_string();
            assert!(refused.contains(name) && refused.contains(place), "{refused}");
        }
    }

    #[test]
    fn a_wrong_value_is_named_with_its_place() {
        let refused = read("[server]\ndeadline = \"soon\"", &[]).unwrap_err().to_string();
        assert!(refused.contains("server.deadline") && refused.contains("perennial.toml"), "{refused}");
        let refused = load::<Services>(Some(Path::new("nowhere.toml")), []).unwrap_err().to_string();
        assert!(refused.contains("nowhere.toml"), "{refused}");
    }
}
