//! Plain SMTP over a few connections kept open. Everything up to `DATA` happens before the hand-over is committed, so an
//! unreachable server or a refused recipient costs nothing; only silence after the message itself leaves it unknown.

use std::error::Error;
use std::time::Duration;

use futures::future::join_all;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Outcome, Parcel, Prepared};
use crate::domain::mail::Letter;

/// The server to hand mail to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmtpConfig {
    /// Its host name or address.
    pub host: String,
    /// Its port. The connection is plain: put a relay on the same machine or network.
    pub port: u16,
    /// The name we greet with.
    pub hello: String,
    /// Connections kept open.
    pub connections: usize,
    /// Seconds to wait for each answer.
    pub timeout_seconds: u64,
}

impl Default for SmtpConfig {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 25,
            hello: "localhost".to_owned(),
            connections: 8,
            timeout_seconds: 30,
        }
    }
}

/// A server and the connections to it.
pub struct Smtp {
    config: SmtpConfig,
    lanes: Vec<Option<AsyncSmtpConnection>>,
}

impl Smtp {
    /// Connects when there is something to send.
    #[must_use]
    pub fn new(config: SmtpConfig) -> Self {
        let lanes = (0..config.connections.clamp(1, 64)).map(|_| None).collect();
        Self { config, lanes }
    }

    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    pub(super) async fn prepare(&mut self, parcels: &[Parcel]) -> Vec<Prepared> {
        let config = &self.config;
        let lanes = self.lanes.iter_mut().zip(parcels);
        join_all(lanes.map(|(lane, (_, letter))| prepare(config, lane, letter))).await
    }

    pub(super) async fn hand_over(&mut self, parcels: &[Parcel], ready: &[usize]) -> Vec<Outcome> {
        let patience = Duration::from_secs(self.config.timeout_seconds);
        let mut outcomes = Vec::with_capacity(ready.len());
        let mut going = Vec::with_capacity(ready.len());
        for (place, (lane, (_, letter))) in self.lanes.iter_mut().zip(parcels).enumerate() {
            if ready.contains(&place) {
                going.push(hand_over(patience, lane, letter));
            } else if let Some(connection) = lane
                && wait(patience, connection.command(Rset)).await.is_err()
            {
                // Its message was named to the server, but is not to be sent after all.
                *lane = None;
            }
        }
        outcomes.extend(join_all(going).await);
        outcomes
    }
}

/// An answer, or silence.
enum Failure {
    Said(SmtpError),
    Silence,
}

async fn wait<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, SmtpError>>,
) -> Result<T, Failure> {
    match timeout(patience, answer).await {
        Ok(answer) => answer.map_err(Failure::Said),
        Err(_) => Err(Failure::Silence),
    }
}

async fn prepare(config: &SmtpConfig, lane: &mut Option<AsyncSmtpConnection>, letter: &Letter) -> Prepared {
    // A connection kept open may have been closed by the server meanwhile: then a new one gets one try.
    let kept = lane.is_some();
    match prepare_once(config, lane, letter).await {
        Prepared::Later(_) if kept && lane.is_none() => prepare_once(config, lane, letter).await,
        answer => answer,
    }
}

async fn prepare_once(
    config: &SmtpConfig,
    lane: &mut Option<AsyncSmtpConnection>,
    letter: &Letter,
) -> Prepared {
    let patience = Duration::from_secs(config.timeout_seconds);
    let name = format!("SMTP server {}:{}", config.host, config.port);
    let mut connection = match lane.take() {
        Some(it) => it,
        None => match timeout(patience, connect(config)).await {
            Ok(Ok(it)) => it,
            Ok(Err(it)) => return Prepared::Later(format!("{name} is not reachable: {}", chain(&*it))),
            Err(_) => return Prepared::Later(format!("{name} does not answer")),
        },
    };
    let mut answer = wait(patience, connection.command(Mail::new(Some(letter.from.clone()), vec![]))).await;
    if answer.is_ok() {
        answer = wait(patience, connection.command(Rcpt::new(letter.to.clone(), vec![]))).await;
    }
    match answer {
        Ok(_) => {
            *lane = Some(connection);
            Prepared::Ready
        }
        Err(Failure::Said(it)) if it.is_permanent() || it.is_transient() => {
            if wait(patience, connection.command(Rset)).await.is_ok() {
                *lane = Some(connection);
            }
            let said = format!("{name} said: {}", chain(&it));
            if it.is_permanent() { Prepared::Refused(said) } else { Prepared::Later(said) }
        }
        Err(Failure::Said(it)) => Prepared::Later(format!("{name}: {}", chain(&it))),
        Err(Failure::Silence) => Prepared::Later(format!("{name} does not answer")),
    }
}

async fn connect(config: &SmtpConfig) -> Result<AsyncSmtpConnection, Box<dyn Error + Send + Sync>> {
    let stream = TcpStream::connect((config.host.as_str(), config.port)).await?;
    // A message and the dot that ends it are written one after the other: the dot would wait for the server's
    // acknowledgement of the message, which servers hold back for 40 ms.
    stream.set_nodelay(true)?;
    let hello = ClientId::Domain(config.hello.clone());
    Ok(AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello).await?)
}

async fn hand_over(patience: Duration, lane: &mut Option<AsyncSmtpConnection>, letter: &Letter) -> Outcome {
    let Some(mut connection) = lane.take() else {
        return Outcome::Later("the connection was closed before the message".to_owned());
    };
    match wait(patience, connection.command(Data)).await {
        Ok(_) => {}
        // Nothing of the message was sent yet.
        Err(Failure::Said(it)) if it.is_permanent() => return Outcome::Refused(chain(&it)),
        Err(Failure::Said(it)) => return Outcome::Later(chain(&it)),
        Err(Failure::Silence) => return Outcome::Later("no answer to DATA".to_owned()),
    }
    match wait(patience, connection.message(&letter.bytes)).await {
        Ok(_) => {
            *lane = Some(connection);
            Outcome::Accepted
        }
        Err(Failure::Said(it)) if it.is_permanent() => {
            *lane = Some(connection);
            Outcome::Refused(chain(&it))
        }
        Err(Failure::Said(it)) if it.is_transient() => {
            *lane = Some(connection);
            Outcome::Later(chain(&it))
        }
        Err(Failure::Said(it)) => Outcome::Unknown(format!("no answer after the message: {}", chain(&it))),
        Err(Failure::Silence) => Outcome::Unknown("no answer after the message".to_owned()),
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(it) = source {
        let next = it.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        source = it.source();
    }
    text.chars().take(400).collect()
}
