//! Settings of notification.

use std::path::PathBuf;

use perennial_runtime::Secret;
use perennial_store::DatabaseConfig;
use serde::{Deserialize, Serialize};

use crate::channel::SmtpConfig;

/// Settings of notification; the default needs nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the ledger is kept.
    pub database: DatabaseConfig,
    /// Where links in messages lead: this service's HTTP port as people reach it.
    pub public_url: String,
    /// The sender of e-mail, such as `Linden & Co <hello@linden.example>`.
    pub from: String,
    /// The shop, as templates name it.
    pub shop: ShopConfig,
    /// How e-mail leaves: `maildir` or `smtp`.
    pub transport: TransportKind,
    /// The folder of `maildir`.
    pub maildir: MaildirConfig,
    /// The server of `smtp`.
    pub smtp: SmtpConfig,
    /// On PostgreSQL, where other processes may be handing messages over, too: one that was begun this many seconds ago is
    /// given up. Longer than any hand-over takes.
    pub hand_over_timeout_s: u64,
    /// Signs links and hashes addresses. Empty: one is made at the first start and kept in the database. Links sent
    /// with another one stop working.
    pub link_secret: Secret,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: DatabaseConfig::default(),
            public_url: "http://localhost:8080".to_owned(),
            from: "Perennial <hello@localhost>".to_owned(),
            shop: ShopConfig::default(),
            transport: TransportKind::Maildir,
            maildir: MaildirConfig::default(),
            smtp: SmtpConfig::default(),
            hand_over_timeout_s: 600,
            link_secret: Secret::default(),
        }
    }
}

/// The shop, as templates name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShopConfig {
    /// Its name.
    pub name: String,
    /// Its address on the web.
    pub url: String,
    /// ISO 4217 currency of amounts whose message names none.
    pub currency: String,
}

impl Default for ShopConfig {
    fn default() -> Self {
        Self { name: "our shop".to_owned(), url: "http://localhost".to_owned(), currency: "EUR".to_owned() }
    }
}

/// How e-mail leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransportKind {
    /// Into files, one a message: for demos, tests, and anything that picks them up.
    #[default]
    Maildir,
    /// To a server.
    Smtp,
}

/// The folder of `maildir`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaildirConfig {
    /// Where `tmp`, `new` and `cur` are.
    pub folder: PathBuf,
    /// A message counts as accepted only when the disk has it.
    pub sync: bool,
}

impl Default for MaildirConfig {
    fn default() -> Self {
        Self { folder: PathBuf::from("./data/maildir"), sync: true }
    }
}
