//! A way to a server that can be closed: then connections to it are refused, and those that were open end.

use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::house::free;

/// A way to a server; closed at first.
pub struct Relay {
    /// Where it is.
    pub address: SocketAddr,
    to: String,
    is_open: Arc<AtomicBool>,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    door: Option<JoinHandle<()>>,
}

impl Relay {
    /// A way to `host:port`.
    pub fn to(server: &str) -> Self {
        let (is_open, streams) = (Arc::default(), Arc::default());
        Self { address: free(), to: server.to_owned(), is_open, streams, door: None }
    }

    /// Lets everybody through.
    pub fn open(&mut self) {
        if self.door.is_some() {
            return;
        }
        let listener = TcpListener::bind(self.address).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.is_open.store(true, Ordering::SeqCst);
        let (is_open, streams, to) = (self.is_open.clone(), self.streams.clone(), self.to.clone());
        self.door = Some(std::thread::spawn(move || {
            while is_open.load(Ordering::SeqCst) {
                let Ok((here, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                here.set_nonblocking(false).unwrap();
                let Ok(there) = TcpStream::connect(&to) else { continue };
                let ways = [(&here, &there), (&there, &here)];
                for (from, into) in ways.map(|(a, b)| (a.try_clone().unwrap(), b.try_clone().unwrap())) {
                    std::thread::spawn(move || pass(from, into));
                }
                streams.lock().unwrap().extend([here, there]);
            }
        }));
    }

    /// Refuses everybody, and ends what is going on.
    pub fn close(&mut self) {
        self.is_open.store(false, Ordering::SeqCst);
        if let Some(door) = self.door.take() {
            door.join().unwrap();
        }
        for stream in self.streams.lock().unwrap().drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

/// From one to the other until one of them ends.
fn pass(mut from: TcpStream, mut into: TcpStream) {
    drop(copy(&mut from, &mut into));
    drop(into.shutdown(Shutdown::Both));
}
