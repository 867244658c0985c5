//! The e-mail itself: a MIME message with a text and an HTML form, and the headers mailbox providers ask for.

use std::time::SystemTime;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use perennial_types::Timestamp;
use uuid::Uuid;

/// An e-mail about to be built.
#[derive(Clone, Debug)]
pub struct Mail<'a> {
    /// The message's id; its `Message-ID` and its file's name come from it.
    pub id: Uuid,
    /// Sender, such as `Linden & Co <hello@linden.example>`.
    pub from: &'a Mailbox,
    /// The recipient's address.
    pub to: &'a str,
    /// One line.
    pub subject: &'a str,
    /// The plain text.
    pub text: &'a str,
    /// The HTML, if any.
    pub html: Option<&'a str>,
    /// When it is sent.
    pub at: Timestamp,
    /// Where one click unsubscribes (RFC 8058); for marketing.
    pub unsubscribe: Option<&'a str>,
    /// `campaign:step:workspace`, by which mailbox providers group complaints.
    pub feedback: &'a str,
}

/// A built e-mail.
#[derive(Clone, Debug)]
pub struct Letter {
    /// Envelope sender.
    pub from: Address,
    /// Envelope recipient.
    pub to: Address,
    /// All of it, lines ended by CR LF.
    pub bytes: Vec<u8>,
}

/// Why no e-mail can be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The address is none.
    #[error("the recipient's address is not an e-mail address: correct it in the shop")]
    Recipient,
    /// Something else the format does not allow.
    #[error("the message cannot be written as e-mail: {0}")]
    Format(String),
}

/// Builds the e-mail.
///
/// # Errors
/// [`MailError::Recipient`] for an address that is none.
pub fn build(mail: &Mail<'_>) -> Result<Letter, MailError> {
    let to: Address = mail.to.trim().parse().map_err(|_| MailError::Recipient)?;
    let format = |it: &dyn std::fmt::Display| MailError::Format(it.to_string());
    let mut builder = Message::builder()
        .from(mail.from.clone())
        .to(Mailbox::new(None, to.clone()))
        .subject(mail.subject)
        .date(SystemTime::from(mail.at))
        .message_id(Some(format!("<{}@{}>", mail.id.hyphenated(), mail.from.email.domain())));
    for (name, value) in [("Feedback-ID", Some(mail.feedback)), ("Auto-Submitted", Some("auto-generated"))] {
        builder = builder.raw_header(header(name, value.unwrap_or_default()).map_err(|it| format(&it))?);
    }
    if let Some(url) = mail.unsubscribe {
        builder = builder
            .raw_header(header("List-Unsubscribe", &format!("<{url}>")).map_err(|it| format(&it))?)
            .raw_header(
                header("List-Unsubscribe-Post", "List-Unsubscribe=One-Click").map_err(|it| format(&it))?,
            );
    }
    let message = match mail.html {
        None => builder.header(ContentType::TEXT_PLAIN).body(mail.text.to_owned()),
        Some(html) => builder.multipart(
            // The boundary comes from the id, so that the same message always has the same bytes.
            MultiPart::alternative()
                .boundary(format!("perennial-{}", mail.id.simple()))
                .singlepart(SinglePart::plain(mail.text.to_owned()))
                .singlepart(SinglePart::html(html.to_owned())),
        ),
    };
    let message = message.map_err(|it| format(&it))?;
    Ok(Letter { from: mail.from.email.clone(), to, bytes: message.formatted() })
}

/// A header of plain ASCII, never folded: some readers of `List-Unsubscribe` do not unfold.
fn header(name: &str, value: &str) -> Result<HeaderValue, String> {
    let name = HeaderName::new_from_ascii(name.to_owned()).map_err(|it| it.to_string())?;
    let value: String = value.chars().filter(|it| it.is_ascii_graphic() || *it == ' ').collect();
    Ok(HeaderValue::dangerous_new_pre_encoded(name, value.clone(), value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_parser::MessageParser;
    use perennial_types::from_micros;

    #[test]
    fn a_mail_carries_both_forms_and_one_click_headers() {
        let from: Mailbox = "Linden & Co <hello@linden.example>".parse().unwrap();
        let long = format!("https://linden.example/u/{}", "x".repeat(300));
        let mail = Mail {
            id: Uuid::from_u128(7),
            from: &from,
            to: "ana@example.com",
            subject: "Grüße für Ana",
            text: "Hallo",
            html: Some("<p>Hallo</p>"),
            at: from_micros(1_772_000_000_000_000),
            unsubscribe: Some(&long),
            feedback: "welcome:hello:main",
        };
        let letter = build(&mail).unwrap();
        let raw = String::from_utf8(letter.bytes.clone()).unwrap();
        assert!(raw.contains(&format!("List-Unsubscribe: <{long}>\r\n")), "{raw}");
        assert!(raw.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
        let read = MessageParser::default().parse(&letter.bytes).unwrap();
        assert_eq!(read.subject(), Some("Grüße für Ana"));
        assert_eq!(read.message_id(), Some("00000000-0000-0000-0000-000000000007@linden.example"));
        assert_eq!(read.body_text(0).unwrap(), "Hallo");
        assert_eq!(read.body_html(0).unwrap(), "<p>Hallo</p>");
        assert_eq!(build(&mail).unwrap().bytes, letter.bytes);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let from: Mailbox = "a@b.example".parse().unwrap();
        for to in ["", "ana", "ana@", "a b@c.d", "a@b.c\r\nBcc: x@y.z"] {
            let mail = Mail {
                id: Uuid::nil(),
                from: &from,
                to,
                subject: "x",
                text: "x",
                html: None,
                at: from_micros(0),
                unsubscribe: None,
                feedback: "",
            };
            assert_eq!(build(&mail).unwrap_err(), MailError::Recipient, "{to}");
        }
    }
}
