//! A small SMTP server on loopback. What it does depends on the recipient: `refuse@` is refused, `later@` is refused the
//! first time, `silent@` gets no answer after the message.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

#[derive(Clone, Default)]
pub struct Mailbox {
    /// Recipient and message.
    pub mail: Arc<Mutex<Vec<(String, String)>>>,
    later: Arc<Mutex<Vec<String>>>,
}

/// Serves until the set is dropped.
pub fn serve(listener: TcpListener, mailbox: Mailbox) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(talk(stream, mailbox.clone()));
        }
    });
    tasks
}

async fn talk(stream: TcpStream, mailbox: Mailbox) {
    let mut stream = BufReader::new(stream);
    let mut to = String::new();
    stream.write_all(b"220 sink\r\n").await.unwrap();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return;
        }
        let command = line.trim().to_ascii_uppercase();
        let answer: &[u8] = if command.starts_with("EHLO") {
            b"250-sink\r\n250 8BITMIME\r\n"
        } else if command.starts_with("MAIL") && !to.is_empty() {
            b"503 nested MAIL\r\n"
        } else if command.starts_with("RCPT") {
            let address = line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
            let mut later = mailbox.later.lock().unwrap();
            if address.starts_with("refuse@") {
                b"550 no such mailbox\r\n"
            } else if address.starts_with("later@") && !later.contains(&address) {
                later.push(address);
                b"451 greylisted\r\n"
            } else {
                to = address;
                b"250 ok\r\n"
            }
        } else if command.starts_with("DATA") {
            stream.write_all(b"354 go on\r\n").await.unwrap();
            let mut message = String::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.unwrap();
                if line == ".\r\n" {
                    break;
                }
                message.push_str(&line);
            }
            let silent = to.starts_with("silent@");
            mailbox.mail.lock().unwrap().push((std::mem::take(&mut to), message));
            if silent {
                return;
            }
            b"250 queued\r\n"
        } else if command.starts_with("RSET") {
            to.clear();
            b"250 ok\r\n"
        } else if command.starts_with("QUIT") {
            return;
        } else {
            b"250 ok\r\n"
        };
        stream.write_all(answer).await.unwrap();
    }
}
