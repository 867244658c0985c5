//! The customers' browser: follows links in messages over plain HTTP, as a mail program and a person do.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, bail};
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A person's; machines are not counted.
const AGENT: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";

/// People who look into their mail at the same moment, at most.
const AT_ONCE: usize = 64;

/// What a person does with a link.
#[derive(Debug)]
pub enum Step {
    /// Looks at a page or a picture, or follows a link.
    Look(String),
    /// Presses the button of a page; with what its form says.
    Press(String, &'static str),
}

/// Everybody's browser: connections that are kept for many requests.
#[derive(Debug)]
pub struct Browser {
    address: SocketAddr,
    idle: Mutex<Vec<Connection>>,
}

impl Browser {
    /// A browser that reaches one server.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self { address, idle: Mutex::default() }
    }

    /// Lets many people take their steps, each one's in order.
    ///
    /// # Errors
    /// If the server does not answer, or says that there is no such thing.
    pub async fn walk(&self, people: Vec<Vec<Step>>) -> anyhow::Result<()> {
        let people = people.into_iter().filter(|it| !it.is_empty());
        futures::stream::iter(people.map(|steps| self.one(steps)))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn one(&self, steps: Vec<Step>) -> anyhow::Result<()> {
        let kept = self.idle().pop();
        let mut connection = kept.unwrap_or(Connection { address: self.address, stream: None });
        for step in &steps {
            match step {
                Step::Look(path) => connection.ask("GET", path, "").await?,
                Step::Press(path, body) => connection.ask("POST", path, body).await?,
            }
        }
        self.idle().push(connection);
        Ok(())
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Connection {
    async fn ask(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<()> {
        for attempt in 0..2 {
            match self.once(method, path, body).await {
                Ok(200..=399) => return Ok(()),
                Ok(code) => bail!("{method} {path}: answered {code}"),
                // A connection kept for long may have been closed meanwhile.
                Err(_) if attempt == 0 => self.stream = None,
                Err(error) => return Err(error).with_context(|| format!("{method} {path}")),
            }
        }
        Ok(())
    }

    async fn once(&mut self, method: &str, path: &str, body: &str) -> anyhow::Result<u16> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                self.stream.insert(stream)
            }
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {AGENT}\r\nContent-Type: \
             application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::with_capacity(1_024);
        loop {
            if let Some((code, length)) = whole(&answer)
                && answer.len() >= length
            {
                return Ok(code);
            }
            if stream.read_buf(&mut answer).await? == 0 {
                bail!("the connection was closed");
            }
        }
    }
}

/// The code of an answer and its whole length, once its head is there.
fn whole(answer: &[u8]) -> Option<(u16, usize)> {
    let head = answer.windows(4).position(|it| it == b"\r\n\r\n")?;
    let text = String::from_utf8_lossy(&answer[..head]);
    let code = text.split(' ').nth(1)?.parse().ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    Some((code, head + 4 + length.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let answer = b"HTTP/1.1 302 Found\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(whole(answer), Some((302, answer.len())));
        assert_eq!(whole(b"HTTP/1.1 200 OK\r\nContent"), None);
    }
}
