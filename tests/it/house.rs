//! A running server with a folder of its own, as a test meets it from outside.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The binary that was built with this test.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let binary = folder.join("perennial");
    assert!(
        binary.exists(),
        "{} is not built: cargo build -p perennial with the same profile",
        binary.display()
    );
    binary
}

/// A folder, two ports and the settings of a server.
pub struct House {
    folder: tempfile::TempDir,
    /// The gRPC port.
    pub grpc: SocketAddr,
    /// The HTTP port.
    pub http: SocketAddr,
    settings: BTreeMap<String, String>,
}

/// A running server that does not outlive its test.
pub struct Server(pub Child);

impl Drop for Server {
    fn drop(&mut self) {
        // A second `kill` of what is dead already changes nothing.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An address whose port nobody uses.
pub fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl House {
    /// A fresh folder and free ports; `settings` are environment variables of the server and of commands.
    pub fn new(settings: &[(&str, &str)]) -> Self {
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { folder: tempfile::tempdir().unwrap(), grpc: free(), http: free(), settings }
    }

    /// Where the server keeps its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.folder.path()).envs(&self.settings);
        command
    }

    /// Starts the server.
    pub fn serve(&self) -> Server {
        let mut command = self.command();
        command.arg("--data-dir").arg(self.data()).arg("serve");
        command.args(["--listen", &self.grpc.to_string(), "--http-listen", &self.http.to_string()]);
        command.env("PERENNIAL_TELEMETRY__LOG", "error");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        Server(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// What the server says.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("serve.log")
    }

    /// Runs a command against the server, and reads its answer.
    pub fn ask(&self, arguments: &[&str]) -> serde_json::Value {
        let output =
            self.command().env("PERENNIAL_ADDR", self.grpc.to_string()).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {said}\n{}",
            std::fs::read_to_string(self.log()).unwrap()
        );
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// Waits until both ports take connections.
    pub fn wait_until_up(&self) {
        for _ in 0..600 {
            if TcpStream::connect(self.http).is_ok() && TcpStream::connect(self.grpc).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("not up after 30 s:\n{}", std::fs::read_to_string(self.log()).unwrap_or_default());
    }

    /// Sends a batch once; whether it was acknowledged.
    pub fn post(&self, key: &str, body: &str) -> bool {
        let send = || -> std::io::Result<bool> {
            let mut stream = TcpStream::connect_timeout(&self.http, Duration::from_secs(1))?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            write!(
                stream,
                "POST /v1/batch HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-write-key: {key}\r\n\
                 content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer.starts_with("HTTP/1.1 200"))
        };
        send().unwrap_or(false)
    }
}
