//! Reading a body, whatever its headers claim: gzip is told by its first bytes, JSON by being JSON.

use axum::body::Body;
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
    if !is_zipped(&bytes) {
        return decode(&bytes, most);
    }
    // Unzipping takes its time; others go on meanwhile.
    tokio::task::spawn_blocking(move || decode(&bytes, most)).await.map_err(|_| Unread::Gzip)?
}

fn is_zipped(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b])
}

/// The text of a body.
///
/// # Errors
/// Why it cannot be used.
pub fn decode(bytes: &[u8], most: usize) -> Result<String, Unread> {
    let plain = if is_zipped(bytes) { unzipped(bytes, most)? } else { bytes.to_vec() };
    let text = String::from_utf8(plain).map_err(|_| Unread::NotText)?;
    // Some platforms write a byte order mark before their JSON.
    Ok(whole_characters(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text)))
}

fn unzipped(bytes: &[u8], most: usize) -> Result<Vec<u8>, Unread> {
    let mut plain = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(bytes).take(limit).read_to_end(&mut plain).map_err(|_| Unread::Gzip)?;
    if plain.len() > most { Err(Unread::TooLarge(most)) } else { Ok(plain) }
}

/// Scripts that cut text cut characters in half; what is left of one is legal JSON, but no text. The half becomes the sign
/// for a character that is missing, so that it does not cost the event.
fn whole_characters(text: String) -> String {
    let half = |at: usize| {
        let digits = text.get(at + 2..at + 6)?;
        let is_escape = text.get(at..at + 2)? == "\\u";
        u16::from_str_radix(digits, 16).ok().filter(|it| is_escape && (0xd800..=0xdfff).contains(it))
    };
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return text;
    }
    let mut whole = String::with_capacity(text.len());
    let (mut from, mut at) = (0, 0);
    while let Some(found) = text[at..].find('\\') {
        at += found;
        match (half(at), half(at + 6)) {
            (Some(..0xdc00), Some(0xdc00..)) => at += 12,
            (Some(_), _) => {
                whole.push_str(&text[from..at]);
                whole.push_str("\\ufffd");
                at += 6;
                from = at;
            }
            // Any other escape; what it escapes is no start of another.
            _ => at = (at + 2).min(text.len()),
        }
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
    whole.push_str(&text[from..]);
    whole
}

#[cfg(test)]
mod tests {
    use super::whole_characters;
    use proptest::prelude::*;

    #[test]
    fn half_a_character_becomes_the_sign_for_a_missing_one() {
        for (sent, read) in [
            (r#""a\ud83d""#, "a\u{fffd}"),
            (r#""\uDE00b""#, "\u{fffd}b"),
            (r#""\ud83d\ude00""#, "😀"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}😀"),
            (r#""\\ud83d""#, r"\ud83d"),
            (r#""\ud83dé""#, "\u{fffd}é"),
        ] {
            let mended = whole_characters(sent.to_owned());
            assert_eq!(serde_json::from_str::<String>(&mended).unwrap(), read, "{sent}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_mended(text in r#"(\\ud83d|\\ude00|\\|u|d8|é|")*"#) {
            let mended = whole_characters(text.clone());
            prop_assert_eq!(whole_characters(mended.clone()), mended.clone());
            if let Ok(serde_json::Value::String(read)) = serde_json::from_str(&text) {
                prop_assert_eq!(serde_json::from_str::<String>(&mended).unwrap(), read);
            }
        }
    }
}
