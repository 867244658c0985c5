//! A message becomes a letter: data gathered, template rendered, links signed, mail built.

use lettre::message::Mailbox;
use perennial_types::{ProfileId, Purpose, Timestamp};
use serde_json::{Map, Value, json};

use super::links::{Click, Open, Signer, Unsubscribe, track};
use super::mail::{Letter, Mail, MailError, build};
use super::message::Message;
use super::template::{Compiled, Rendered, TemplateError, escape};

/// How a person is reached, as told by the profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    /// The profile as it is now, after merges.
    pub profile: ProfileId,
    /// E-mail address; empty if none.
    pub email: String,
    /// Traits, flat with dotted names or nested.
    pub traits: Map<String, Value>,
    /// IANA time zone.
    pub time_zone: String,
    /// BCP 47 locale; empty if unknown.
    pub locale: String,
}

/// What every letter of this installation shares.
#[derive(Clone, Debug)]
pub struct Letterhead {
    /// The sender.
    pub from: Mailbox,
    /// Where our links lead, without a slash at its end.
    pub public_url: String,
    /// The shop's name.
    pub shop_name: String,
    /// The shop's address on the web.
    pub shop_url: String,
    /// ISO 4217 currency of amounts in templates.
    pub currency: String,
    /// Signs links.
    pub signer: Signer,
}

/// Why a message cannot become a letter; it never will.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The template cannot be rendered, or refuses.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The mail cannot be built.
    #[error(transparent)]
    Mail(#[from] MailError),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signer")
    }
}

/// Writes the letter. `address_hash` is the keyed hash of the contact's address.
///
/// # Errors
/// [`Unfit`], with the reason to show.
pub fn compose(
    head: &Letterhead,
    template: &Compiled,
    message: &Message,
    contact: &Contact,
    address_hash: &str,
    now: Timestamp,
) -> Result<Letter, Unfit> {
    let unsubscribe = unsubscribe_url(head, message, contact, address_hash);
    let data = data(head, message, contact, &unsubscribe, now);
    let Rendered { subject, mut text, html } = template.render(&data)?;
    let marketing = message.purpose == Purpose::Marketing;
    if marketing && !template.text_has_link {
        text.push_str(&format!("\n\n--\nUnsubscribe: {unsubscribe}\n"));
    }
    let html = html.map(|html| finish_html(head, template, message, &unsubscribe, &html));
    let feedback = format!("{}:{}:{}", message.campaign, message.step, message.workspace);
    let mail = Mail {
        id: message.id,
        from: &head.from,
        to: &contact.email,
        subject: &subject,
        text: &text,
        html: html.as_deref(),
        at: now,
        unsubscribe: marketing.then_some(unsubscribe.as_str()),
        feedback: &feedback,
    };
    Ok(build(&mail)?)
}

fn unsubscribe_url(head: &Letterhead, message: &Message, contact: &Contact, address_hash: &str) -> String {
    let token = head.signer.unsubscribe(&Unsubscribe {
        workspace: message.workspace.clone(),
        profile: contact.profile,
        channel: message.channel,
        purpose: Purpose::Marketing,
        address_hash: address_hash.to_owned(),
        message: message.id,
    });
    format!("{}/u/{token}", head.public_url)
}

/// Tracks links, and adds the footer and the open pixel where they are wanted.
fn finish_html(
    head: &Letterhead,
    template: &Compiled,
    message: &Message,
    unsubscribe: &str,
    html: &str,
) -> String {
    let mut html = track(html, |url| {
        // Our own links are left alone.
        if url.starts_with(&head.public_url) {
            return None;
        }
        let click = Click { workspace: message.workspace.clone(), message: message.id, url: url.to_owned() };
        Some(format!("{}/c/{}", head.public_url, head.signer.click(&click)))
    });
    let mut end = String::new();
    if message.purpose == Purpose::Marketing && !template.html_has_link {
        end.push_str(&format!("<p><a href=\"{}\">Unsubscribe</a></p>", escape(unsubscribe)));
    }
    let open = Open { workspace: message.workspace.clone(), message: message.id };
    let pixel = format!("{}/o/{}", head.public_url, head.signer.open(&open));
    end.push_str(&format!("<img src=\"{}\" width=\"1\" height=\"1\" alt=\"\">", escape(&pixel)));
    let at = html.to_ascii_lowercase().rfind("</body>").unwrap_or(html.len());
    html.insert_str(at, &end);
    html
}

/// What the template sees: what the campaign passed, and what this service knows.
fn data(
    head: &Letterhead,
    message: &Message,
    contact: &Contact,
    unsubscribe: &str,
    now: Timestamp,
) -> Map<String, Value> {
    let mut data = message.data.clone();
    let mut profile = nested(&contact.traits);
    profile.insert("email".to_owned(), contact.email.as_str().into());
    profile.insert("time_zone".to_owned(), contact.time_zone.as_str().into());
    profile.insert("locale".to_owned(), contact.locale.as_str().into());
    data.insert("profile".to_owned(), Value::Object(profile));
    data.insert("campaign".to_owned(), json!({ "name": message.campaign, "step": message.step }));
    let currency = data.get("currency").cloned().unwrap_or_else(|| head.currency.as_str().into());
    let shop = json!({ "name": head.shop_name, "url": head.shop_url, "currency": currency });
    data.insert("currency".to_owned(), currency);
    data.insert("shop".to_owned(), shop);
    data.insert("now".to_owned(), now.to_string().into());
    data.insert("unsubscribe_url".to_owned(), unsubscribe.into());
    data
}

/// `{"address.city": "Oslo"}` as `{"address": {"city": "Oslo"}}`.
fn nested(flat: &Map<String, Value>) -> Map<String, Value> {
    let mut root = Map::new();
    for (name, value) in flat {
        let mut at = &mut root;
        let mut parts = name.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                at.insert(part.to_owned(), value.clone());
                break;
            }
            let next = at.entry(part.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            match next {
                Value::Object(object) => at = object,
                // A scalar of that name is there: the dotted one is left out.
                _ => break,
            }
        }
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::template::Template;
    use mail_parser::MessageParser;
    use perennial_types::{Channel, Workspace, from_micros};
    use uuid::Uuid;

    #[test]
    fn a_marketing_letter_has_its_links_signed_and_a_way_out() {
        let head = Letterhead {
            from: "Linden & Co <hello@linden.example>".parse().unwrap(),
            public_url: "https://mail.linden.example".to_owned(),
            shop_name: "Linden & Co".to_owned(),
            shop_url: "https://linden.example".to_owned(),
            currency: "EUR".to_owned(),
            signer: Signer::new(b"secret"),
        };
        let template = Template {
            name: "hello".to_owned(),
            subject: "Hi {{ profile.first_name }} of {{ profile.address.city }}".to_owned(),
            text: "Your {{ cart.total | money }} at {{ shop.name }}".to_owned(),
            html: Some("<body><a href=\"{{ shop.url }}/cart?a=1&amp;b=2\">Back</a></body>".to_owned()),
            variables: vec![],
            description: String::new(),
        };
        let template = template.compile().unwrap();
        let message = Message {
            id: Uuid::from_u128(9),
            workspace: Workspace::parse("main").unwrap(),
            decision: Some(Uuid::from_u128(1)),
            profile: ProfileId(Uuid::from_u128(2)),
            campaign: "welcome".to_owned(),
            step: "1".to_owned(),
            occurrence: "a".to_owned(),
            channel: Channel::Email,
            purpose: Purpose::Marketing,
            template: "hello".to_owned(),
            data: json!({ "cart": { "total": "12.5" }, "campaign": "welcome" }).as_object().cloned().unwrap(),
            not_before: from_micros(0),
            not_after: None,
        };
        let contact = Contact {
            profile: message.profile,
            email: "ana@example.com".to_owned(),
            traits: json!({ "first_name": "Ana", "address.city": "Oslo" }).as_object().cloned().unwrap(),
            time_zone: "Europe/Oslo".to_owned(),
            locale: String::new(),
        };
        let letter = compose(&head, &template, &message, &contact, "hash", from_micros(0)).unwrap();
        let mail = MessageParser::default().parse(&letter.bytes).unwrap();
        assert_eq!(mail.subject(), Some("Hi Ana of Oslo"));
        let text = mail.body_text(0).unwrap();
        assert!(text.starts_with("Your 12.50 EUR at Linden & Co"), "{text}");
        assert!(text.contains("Unsubscribe: https://mail.linden.example/u/"), "{text}");
        let html = mail.body_html(0).unwrap();
        let token = html.split("/c/").nth(1).unwrap().split('"').next().unwrap();
        let click = head.signer.read_click(token).unwrap();
        assert_eq!((click.url.as_str(), click.message), ("https://linden.example/cart?a=1&b=2", message.id));
        assert!(html.contains("/o/") && html.ends_with("</body>"), "{html}");

        let transactional = Message { purpose: Purpose::Transactional, ..message };
        let letter = compose(&head, &template, &transactional, &contact, "hash", from_micros(0)).unwrap();
        assert!(!String::from_utf8_lossy(&letter.bytes).contains("List-Unsubscribe"));
    }
}
