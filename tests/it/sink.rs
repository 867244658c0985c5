//! A mail server on loopback that counts what it accepted.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Accepts everything, unless it is told to be away.
#[derive(Clone, Default)]
pub struct Sink {
    /// How often a message was accepted, by its `Message-ID` up to the `@`.
    mails: Arc<Mutex<BTreeMap<String, u32>>>,
    away: Arc<AtomicBool>,
}

impl Sink {
    /// A server, and where it is. It ends with the tests.
    pub fn open() -> (Self, SocketAddr) {
        let sink = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serving = sink.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let sink = serving.clone();
                // A client that is killed in the middle of a word ends its conversation.
                std::thread::spawn(move || drop(sink.talk(stream)));
            }
        });
        (sink, address)
    }

    /// What was accepted so far.
    pub fn mails(&self) -> BTreeMap<String, u32> {
        self.mails.lock().unwrap().clone()
    }

    /// Hangs up on everybody, or serves again.
    pub fn be_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    fn talk(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut answer = stream.try_clone()?;
        let mut lines = BufReader::new(stream).lines();
        if self.away.load(Ordering::SeqCst) {
            return answer.write_all(b"421 away\r\n");
        }
        answer.write_all(b"220 sink\r\n")?;
        while let Some(line) = lines.next() {
            if self.away.load(Ordering::SeqCst) {
                return answer.write_all(b"421 away\r\n");
            }
            let command = line?.to_ascii_uppercase();
            if command.starts_with("EHLO") {
                answer.write_all(b"250-sink\r\n250 8BITMIME\r\n")?;
            } else if command.starts_with("DATA") {
                answer.write_all(b"354 go on\r\n")?;
                let mut id = String::new();
                loop {
                    // A message whose end never came was never accepted.
                    let Some(line) = lines.next() else { return Ok(()) };
                    let line = line?;
                    if line == "." {
                        break;
                    }
                    let header = line.strip_prefix("Message-ID: <").and_then(|it| it.split('@').next());
                    if let Some(found) = header.filter(|_| id.is_empty()) {
                        found.clone_into(&mut id);
                    }
                }
                // From here on it is delivered, whether the client hears of it or not.
                *self.mails.lock().unwrap().entry(id).or_default() += 1;
                answer.write_all(b"250 taken\r\n")?;
            } else if command.starts_with("QUIT") {
                return answer.write_all(b"221 bye\r\n");
            } else {
                answer.write_all(b"250 ok\r\n")?;
            }
        }
        Ok(())
    }
}
