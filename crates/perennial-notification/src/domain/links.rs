//! Signed links: unsubscribe, click and open. A link says by itself whom and what it is about; nobody can make one for
//! somebody else, and it works for ever, also when the message's row is long gone.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use perennial_types::{Channel, ProfileId, Purpose, Workspace};
use serde::{Serialize, de::DeserializeOwned};
use sha2::Sha256;
use uuid::Uuid;

/// Bytes of a signature: HMAC-SHA256 cut to 128 bits.
const SIGNATURE: usize = 16;
/// Longer tokens are no tokens of ours.
const MAX_TOKEN: usize = 8 << 10;

/// Signs and reads links, and hashes addresses, with one secret.
#[derive(Clone)]
pub struct Signer(Hmac<Sha256>);

/// What an unsubscribe link says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    /// The tenant.
    pub workspace: Workspace,
    /// Who unsubscribes.
    pub profile: ProfileId,
    /// From which channel.
    pub channel: Channel,
    /// From which purpose.
    pub purpose: Purpose,
    /// The keyed hash of the address it was sent to.
    pub address_hash: String,
    /// The message that carried the link.
    pub message: Uuid,
}

/// What a click link says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    /// The tenant.
    pub workspace: Workspace,
    /// The message that carried the link.
    pub message: Uuid,
    /// Where it leads: only here, whatever the request says.
    pub url: String,
}

/// What an open pixel says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The tenant.
    pub workspace: Workspace,
    /// The message it is in.
    pub message: Uuid,
}

impl Signer {
    /// A signer by its secret; 32 bytes or more are wanted, any length works.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// The keyed hash of an address: what the suppression list and the send ledger keep of it, 32 hexadecimal digits.
    #[must_use]
    pub fn address_hash(&self, workspace: &Workspace, channel: Channel, address: &str) -> String {
        let address = normalise(address);
        let mac = self.mac("address", format!("{workspace}\n{}\n{address}", channel.as_str()).as_bytes());
        mac.finalize().into_bytes()[..16].iter().map(|it| format!("{it:02x}")).collect()
    }

    /// The token of an unsubscribe link.
    #[must_use]
    pub fn unsubscribe(&self, it: &Unsubscribe) -> String {
        let said = (
            it.workspace.as_str(),
            it.profile,
            it.channel.as_str(),
            it.purpose.as_str(),
            &it.address_hash,
            it.message,
        );
        self.sign("unsubscribe", &said)
    }

    /// Reads an unsubscribe token; nothing if its signature is not ours.
    #[must_use]
    pub fn read_unsubscribe(&self, token: &str) -> Option<Unsubscribe> {
        let (workspace, profile, channel, purpose, address_hash, message): (String, _, String, String, _, _) =
            self.read("unsubscribe", token)?;
        Some(Unsubscribe {
            workspace: Workspace::parse(&workspace).ok()?,
            profile,
            channel: Channel::parse(&channel)?,
            purpose: Purpose::parse(&purpose)?,
            address_hash,
            message,
        })
    }

    /// The token of a click link.
    #[must_use]
    pub fn click(&self, it: &Click) -> String {
        self.sign("click", &(it.workspace.as_str(), it.message, &it.url))
    }

    /// Reads a click token; nothing if its signature is not ours.
    #[must_use]
    pub fn read_click(&self, token: &str) -> Option<Click> {
        let (workspace, message, url): (String, _, String) = self.read("click", token)?;
        Some(Click { workspace: Workspace::parse(&workspace).ok()?, message, url })
    }

    /// The token of an open pixel.
    #[must_use]
    pub fn open(&self, it: &Open) -> String {
        self.sign("open", &(it.workspace.as_str(), it.message))
    }

    /// Reads an open token; nothing if its signature is not ours.
    #[must_use]
    pub fn read_open(&self, token: &str) -> Option<Open> {
        let (workspace, message): (String, _) = self.read("open", token)?;
        Some(Open { workspace: Workspace::parse(&workspace).ok()?, message })
    }

    fn mac(&self, what: &str, said: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(what.as_bytes());
        mac.update(&[0]);
        mac.update(said);
        mac
    }

    fn sign(&self, what: &str, said: &impl Serialize) -> String {
        let said = serde_json::to_vec(said).expect("names and ids always have a JSON form");
        let signature = self.mac(what, &said).finalize().into_bytes();
        format!("{}.{}", URL_SAFE_NO_PAD.encode(&said), URL_SAFE_NO_PAD.encode(&signature[..SIGNATURE]))
    }

    fn read<T: DeserializeOwned>(&self, what: &str, token: &str) -> Option<T> {
        let (said, signature) = token.split_once('.').filter(|_| token.len() <= MAX_TOKEN)?;
        let said = URL_SAFE_NO_PAD.decode(said).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if signature.len() != SIGNATURE {
            return None;
        }
        // Compares in constant time.
        self.mac(what, &said).verify_truncated_left(&signature).ok()?;
        serde_json::from_slice(&said).ok()
    }
}

/// An address as it is compared: without blanks around it, in lower case.
#[must_use]
pub fn normalise(address: &str) -> String {
    address.trim().to_lowercase()
}

/// Sends every web link of `html` through `tracked`, except those for which it gives nothing.
pub fn track(html: &str, mut tracked: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(html.len() + 256);
    let mut rest = html;
    while let Some(start) = find_href(rest) {
        out.push_str(&rest[..start]);
        let quote = if rest[..start].ends_with('"') { '"' } else { '\'' };
        let Some(length) = rest[start..].find(quote) else { break };
        let written = &rest[start..start + length];
        let url = written.trim().replace("&amp;", "&");
        let web = url.starts_with("https://") || url.starts_with("http://");
        match tracked(&url).filter(|_| web) {
            Some(url) => out.push_str(&super::template::escape(&url)),
            None => out.push_str(written),
        }
        rest = &rest[start + length..];
    }
    out.push_str(rest);
    out
}

/// Where the next quoted value of an `href` within an `<a …>` begins.
fn find_href(html: &str) -> Option<usize> {
    let lower = html.to_ascii_lowercase();
    let mut at = 0;
    loop {
        let open = at + lower[at..].find("<a")?;
        let end = open + lower[open..].find('>').unwrap_or(lower.len() - open);
        at = open + 2;
        if !lower[at..].starts_with(|it: char| it.is_whitespace()) {
            continue;
        }
        let Some(href) = lower[at..end].find("href") else { continue };
        let after = at + href + 4;
        let value = lower[after..end].trim_start();
        let Some(value) = value.strip_prefix('=').map(str::trim_start) else { continue };
        if value.starts_with(['"', '\'']) {
            return Some(end - value.len() + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_types::from_micros;

    fn unsubscribe(signer: &Signer) -> Unsubscribe {
        let workspace = Workspace::parse("main").unwrap();
        Unsubscribe {
            profile: ProfileId::new(from_micros(1)),
            channel: Channel::Email,
            purpose: Purpose::Marketing,
            address_hash: signer.address_hash(&workspace, Channel::Email, "ana@example.com"),
            message: Uuid::nil(),
            workspace,
        }
    }

    #[test]
    fn a_link_is_read_back_and_a_changed_one_is_not() {
        let signer = Signer::new(b"secret");
        let it = unsubscribe(&signer);
        let token = signer.unsubscribe(&it);
        assert_eq!(signer.read_unsubscribe(&token), Some(it));
        assert_eq!(Signer::new(b"other").read_unsubscribe(&token), None);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last digit of a part may hold bits that mean nothing.
            if signer.read_unsubscribe(&changed).is_some() {
                assert_eq!(signer.read_unsubscribe(&changed), signer.read_unsubscribe(&token));
            }
        }
        assert_eq!(signer.read_unsubscribe(&token[..token.len() - 2]), None);
    }

    #[test]
    fn a_link_of_one_kind_is_none_of_another() {
        let signer = Signer::new(b"secret");
        let open = Open { workspace: Workspace::parse("main").unwrap(), message: Uuid::nil() };
        let token = signer.open(&open);
        assert_eq!(signer.read_open(&token), Some(open));
        assert_eq!(signer.read_click(&token), None);
    }

    #[test]
    fn one_address_has_one_hash_in_a_workspace() {
        let signer = Signer::new(b"secret");
        let (a, b) = (Workspace::parse("a").unwrap(), Workspace::parse("b").unwrap());
        let hash = signer.address_hash(&a, Channel::Email, "Ana@Example.com ");
        assert_eq!(hash, signer.address_hash(&a, Channel::Email, "ana@example.com"));
        assert_ne!(hash, signer.address_hash(&b, Channel::Email, "ana@example.com"));
        assert_eq!(hash.len(), 32);
    }

    #[test]
    fn web_links_are_tracked_and_others_left_alone() {
        let html = "<abbr href=\"https://no\"><A class=x HREF = 'https://shop.example/a?b=1&amp;c=2'>x</a> \
                    <a href=\"mailto:a@b\">m</a><a name=top><a href=\"https://keep\">k</a>";
        let seen = track(html, |url| (url != "https://keep").then(|| format!("https://t/?u={url}&z")));
        assert_eq!(
            seen,
            "<abbr href=\"https://no\"><A class=x HREF = 'https://t/?u=https://shop.example/a?b=1&amp;c=2&amp;z'>x</a> \
             <a href=\"mailto:a@b\">m</a><a name=top><a href=\"https://keep\">k</a>"
        );
    }
}
