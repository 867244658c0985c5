//! Reading a body, whatever its headers claim: gzip is told by its first bytes, JSON by being JSON.

use axum::body::Body;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt, Limited};
use std::io::Read;

/// A body that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    /// Too large.
    #[error("the body has more than {0} bytes: send less at once")]
    TooLarge(usize),
    /// The connection broke.
    #[error("the body did not arrive whole")]
    Broken,
    /// The compression is damaged.
    #[error("the body is not sound gzip")]
    Gzip,
    /// Not text.
    #[error("the body is not JSON: it is not UTF-8 text")]
    NotText,
}

/// Reads a body of at most `most` bytes after decompression.
///
/// # Errors
/// Why it cannot be used.
pub async fn read(body: Body, most: usize) -> Result<String, Unread> {
    let whole = Limited::new(body, most).collect().await.map_err(|error| {
        let too_large = error.is::<http_body_util::LengthLimitError>();
        if too_large { Unread::TooLarge(most) } else { Unread::Broken }
    })?;
    let bytes = whole.to_bytes();
    let bytes = if bytes.starts_with(&[0x1f, 0x8b]) { unzip(bytes, most).await? } else { bytes.into() };
    String::from_utf8(bytes).map_err(|_| Unread::NotText)
}

async fn unzip(bytes: Bytes, most: usize) -> Result<Vec<u8>, Unread> {
    let work = move || {
        let mut plain = Vec::new();
        let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        MultiGzDecoder::new(&bytes[..]).take(limit).read_to_end(&mut plain).map_err(|_| Unread::Gzip)?;
        if plain.len() > most { Err(Unread::TooLarge(most)) } else { Ok(plain) }
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Unread::Gzip)?
}
