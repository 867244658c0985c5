//! Where the cache is.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// Settings of the cache.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// `memory`, or the URL of a Redis, such as `redis://redis:6379/0`.
    #[serde(serialize_with = "without_password")]
    pub url: String,
    /// The most that `memory` keeps, in bytes of keys and values.
    pub memory_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { url: "memory".to_owned(), memory_bytes: 64 << 20 }
    }
}

impl Config {
    /// Whether the cache is in this process alone.
    #[must_use]
    pub fn is_memory(&self) -> bool {
        self.url == "memory"
    }

    fn shown_url(&self) -> String {
        shown(&self.url)
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &self.shown_url())
            .field("memory_bytes", &self.memory_bytes)
            .finish()
    }
}

/// A URL with what stands before its `@` hidden.
pub(crate) fn shown(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if scheme + 3 <= at => {
            format!("{}[secret]{}", &url[..scheme + 3], &url[at..])
        }
        _ => url.to_owned(),
    }
}

#[expect(clippy::ptr_arg, reason = "serde gives the field as it is")]
fn without_password<S: Serializer>(url: &String, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(url))
}

/// A cache that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// The URL is not one of a Redis.
    #[error("cache.url is {url:?}: use \"memory\", or a URL such as redis://redis:6379/0")]
    Url {
        /// The URL, without its password.
        url: String,
        /// What is wrong with it.
        #[source]
        source: redis::RedisError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        let config = Config { url: "redis://ana:s3cret@redis:6379".to_owned(), ..Config::default() };
        assert!(!format!("{config:?}").contains("s3cret"));
        assert_eq!(config.shown_url(), "redis://[secret]@redis:6379");
        assert_eq!(Config::default().shown_url(), "memory");
    }
}
