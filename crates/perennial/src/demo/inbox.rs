//! The customers' side of the mail folder: reads what came, as a mail program does, by moving it from `new` to `cur`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// A mail folder.
#[derive(Debug)]
pub struct Inbox {
    new: PathBuf,
    cur: PathBuf,
}

/// A message as it lies in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// The name of its file.
    pub id: String,
    /// Whom it is for.
    pub to: String,
    /// The campaign it belongs to.
    pub campaign: String,
    /// The step of that campaign.
    pub step: String,
    /// The coupon it carries.
    pub coupon: Option<String>,
    /// The path of the picture that tells that it is opened.
    pub open: Option<String>,
    /// The path of its first link.
    pub click: Option<String>,
    /// The path that unsubscribes.
    pub unsubscribe: Option<String>,
}

impl Inbox {
    /// The folder's two halves.
    #[must_use]
    pub fn at(folder: &Path) -> Self {
        Self { new: folder.join("new"), cur: folder.join("cur") }
    }

    /// What came since the last look, by name, so that the order never depends on the file system.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn collect(&self) -> anyhow::Result<Vec<Mail>> {
        let Ok(entries) = fs::read_dir(&self.new) else { return Ok(Vec::new()) };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|it| it.file_name().into_string().ok()).collect();
        names.sort_unstable();
        let mut mails = Vec::with_capacity(names.len());
        for id in names {
            let path = self.new.join(&id);
            let bytes = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
            mails.push(read(&id, &String::from_utf8_lossy(&bytes)));
            fs::rename(&path, self.cur.join(&id)).context("the mail folder cannot be changed")?;
        }
        Ok(mails)
    }
}

fn read(id: &str, text: &str) -> Mail {
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
    let header = |name: &str| {
        head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
    };
    let feedback = header("Feedback-ID");
    let mut parts = feedback.split(':');
    let (campaign, step) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let unsubscribe = header("List-Unsubscribe").trim_matches(['<', '>']);
    // Long lines are folded with `=` at their ends, and a literal `=` is written `=3D`.
    let body = body.replace("=\r\n", "").replace("=3D", "=");
    let link = |mark: &str| {
        let at = body.find(mark)?;
        let rest = &body[at..];
        let end = rest.find(|it: char| !(it.is_ascii_alphanumeric() || "-_./".contains(it)));
        Some(rest[..end.unwrap_or(rest.len())].to_owned())
    };
    let coupon = body.find("Your code ").and_then(|at| {
        let rest = body[at + "Your code ".len()..].trim_start_matches("<strong>");
        let code: String = rest.chars().take_while(|it| it.is_ascii_alphanumeric() || *it == '-').collect();
        (!code.is_empty()).then_some(code)
    });
    Mail {
        id: id.to_owned(),
        to: header("To").trim_matches(['<', '>']).to_owned(),
        campaign: campaign.to_owned(),
        step: step.to_owned(),
        coupon,
        open: link("/o/"),
        click: link("/c/"),
        unsubscribe: unsubscribe.find("/u/").map(|at| unsubscribe[at..].to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_its_receiver_would() {
        let text = "To: ana.torres.7@example.com\r\nFeedback-ID: at-risk-save:at-risk-offer:main\r\n\
                    List-Unsubscribe: <http://localhost:8080/u/abc.def>\r\n\r\n\
                    Your code BACK-7K3QF is valid until\r\n<a href=3D\"http://localhost:8080/c/tok=\r\nen.sig\">x</a>\r\n\
                    <img src=3D\"http://localhost:8080/o/pix.el\">";
        let mail = read("1", text);
        assert_eq!((mail.to.as_str(), mail.campaign.as_str()), ("ana.torres.7@example.com", "at-risk-save"));
        assert_eq!((mail.step.as_str(), mail.coupon.as_deref()), ("at-risk-offer", Some("BACK-7K3QF")));
        assert_eq!(mail.click.as_deref(), Some("/c/token.sig"));
        assert_eq!(
            (mail.open.as_deref(), mail.unsubscribe.as_deref()),
            (Some("/o/pix.el"), Some("/u/abc.def"))
        );
    }

    #[test]
    fn what_was_read_is_not_read_again() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["new", "cur"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        fs::write(folder.path().join("new/b"), "To: b@example.com\r\n\r\n").unwrap();
        fs::write(folder.path().join("new/a"), "To: a@example.com\r\n\r\n").unwrap();
        let inbox = Inbox::at(folder.path());
        let ids: Vec<_> = inbox.collect().unwrap().into_iter().map(|it| it.id).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(inbox.collect().unwrap(), []);
    }
}
