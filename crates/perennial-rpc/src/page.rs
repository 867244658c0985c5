//! Pages of a list: their size, and the opaque token that continues after the last row.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::Invalid;

const DEFAULT_SIZE: u32 = 50;
const LARGEST_SIZE: u32 = 1_000;
const HASH: usize = 8;

/// How many rows a page holds: 0 means 50, more than 1,000 means 1,000.
///
/// # Errors
/// [`Invalid`] if it is negative.
pub fn page_size(size: i32) -> Result<u32, Invalid> {
    match u32::try_from(size) {
        Ok(0) => Ok(DEFAULT_SIZE),
        Ok(size) => Ok(size.min(LARGEST_SIZE)),
        Err(_) => Err(Invalid::new("page_size", format!("is {size}: send 0 for the default, or 1 to 1000"))),
    }
}

/// One page that was asked for: how many rows, after which key, of which query. `K` is the key that orders the list,
/// such as `(i64, Uuid)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<K> {
    /// How many rows the page holds at most.
    pub size: u32,
    /// The key of the last row of the page before; absent on the first page.
    pub after: Option<K>,
    query: [u8; HASH],
}

impl<K: Serialize + DeserializeOwned> Page<K> {
    /// Reads `page_size` and `page_token` of a request. `query` is everything that selects or orders the list (the
    /// method, parent, filter, order): a token of another query is refused.
    ///
    /// # Errors
    /// [`Invalid`] if the size is negative, or the token is not one that this query gave.
    pub fn parse(size: i32, token: &str, query: &[&str]) -> Result<Self, Invalid> {
        let size = page_size(size)?;
        let query = hash(query);
        if token.is_empty() {
            return Ok(Self { size, after: None, query });
        }
        let unreadable = || {
            Invalid::new(
                "page_token",
                "is not one of ours: send next_page_token as it was answered, or nothing",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| unreadable())?;
        let (found, key) = bytes.split_at_checked(HASH).ok_or_else(unreadable)?;
        if found != query {
            let problem =
                "is of another query: repeat the query that gave it, or send nothing for the first page";
            return Err(Invalid::new("page_token", problem));
        }
        let after = serde_json::from_slice(key).map_err(|_| unreadable())?;
        Ok(Self { size, after: Some(after), query })
    }

    /// How many rows to read: one more than the page holds, which tells whether there is another page.
    #[must_use]
    pub fn limit(&self) -> u64 {
        u64::from(self.size) + 1
    }

    /// Cuts the rows that were read with [`Page::limit`] to the page, and gives the token of the next one, empty on the
    /// last. `key` gives the key of a row.
    #[must_use]
    pub fn cut<T>(&self, mut rows: Vec<T>, key: impl FnOnce(&T) -> K) -> (Vec<T>, String) {
        let size = usize::try_from(self.size).unwrap_or(usize::MAX);
        if rows.len() <= size {
            return (rows, String::new());
        }
        rows.truncate(size);
        let token = rows.last().map(|last| self.token(&key(last))).unwrap_or_default();
        (rows, token)
    }

    /// The token that continues this query after `last`.
    #[must_use]
    pub fn token(&self, last: &K) -> String {
        let mut bytes = self.query.to_vec();
        // A key is a tuple of numbers, texts and ids, which JSON can always hold.
        bytes.extend(serde_json::to_vec(last).unwrap_or_default());
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

fn hash(query: &[&str]) -> [u8; HASH] {
    let mut hash = Sha256::new();
    for part in query {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    std::array::from_fn(|n| digest[n])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Key = (i64, String);

    #[test]
    fn sizes_have_a_default_and_a_limit() {
        assert_eq!(page_size(0).unwrap(), 50);
        assert_eq!(page_size(7).unwrap(), 7);
        assert_eq!(page_size(5_000).unwrap(), 1_000);
        assert!(page_size(-1).unwrap_err().to_string().starts_with("page_size is -1"));
    }

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let rows: Vec<i64> = (0..5).collect();
        let mut token = String::new();
        let mut seen = Vec::new();
        loop {
            let page = Page::<i64>::parse(2, &token, &["ListNumbers"]).unwrap();
            let after = page.after.map_or(0, |it| usize::try_from(it).unwrap() + 1);
            let read = rows[after..].iter().copied().take(usize::try_from(page.limit()).unwrap()).collect();
            let (found, next) = page.cut(read, |it| *it);
            seen.extend(found);
            token = next;
            if token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, rows);
    }

    #[test]
    fn a_token_is_refused_by_another_query() {
        let first = Page::<Key>::parse(0, "", &["ListSegments", "workspaces/main", "a"]).unwrap();
        let token = first.token(&(3, "x".to_owned()));
        let same = Page::<Key>::parse(0, &token, &["ListSegments", "workspaces/main", "a"]).unwrap();
        assert_eq!(same.after, Some((3, "x".to_owned())));
        for other in [["ListSegments", "workspaces/main", "b"], ["ListSegments", "workspaces/maina", ""]] {
            let refused = Page::<Key>::parse(0, &token, &other).unwrap_err().to_string();
            assert!(refused.contains("another query"), "{refused}");
        }
    }

    proptest! {
        #[test]
        fn any_token_is_read_or_refused(token in ".{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            for token in [token, URL_SAFE_NO_PAD.encode(&bytes)] {
                drop(Page::<Key>::parse(0, &token, &["q"]));
            }
        }
    }
}
