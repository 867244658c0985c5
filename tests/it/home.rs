//! The product in one process, run and asked through its binary, and a search of everything it leaves anywhere.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use perennial_testing::{TestDatabase, leaks, values_in};
use serde_json::{Value, json};

use crate::house::{Server, binary, free};

pub const SERVICES: [&str; 6] =
    ["ingestion", "scoring", "segmentation", "campaign", "loyalty", "notification"];

/// The product in one process on a database of its own.
pub struct Home {
    pub folder: tempfile::TempDir,
    pub database: TestDatabase,
    redis: Option<String>,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    /// Settings by the names of their variables.
    pub settings: Vec<(&'static str, String)>,
}

impl Home {
    pub fn new(database: TestDatabase, redis: Option<String>) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            database,
            redis,
            grpc: free(),
            http: free(),
            settings: Vec::new(),
        }
    }

    pub fn log(&self) -> PathBuf {
        self.folder.path().join("serve.log")
    }

    pub fn is_embedded(&self) -> bool {
        self.database.config.url.starts_with("sqlite:")
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.folder.path());
        for service in SERVICES {
            let set = |name: &str| format!("PERENNIAL_{}__DATABASE__{name}", service.to_uppercase());
            command.env(set("URL"), &self.database.config.url);
            if !self.is_embedded() {
                command.env(set("SCHEMA_PREFIX"), &self.database.config.schema_prefix);
                command.env(set("MAX_CONNECTIONS"), "6");
            }
        }
        command.env("PERENNIAL_NOTIFICATION__MAILDIR__FOLDER", self.folder.path().join("maildir"));
        if let Some(url) = &self.redis {
            command.env("PERENNIAL_CACHE__URL", url);
        }
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    pub fn serve(&self) -> Server {
        let mut command = self.command();
        command.args(["serve", "--listen", &self.grpc.to_string(), "--http-listen", &self.http.to_string()]);
        command.env("PERENNIAL_TELEMETRY__LOG", "debug");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        let server = Server(command.stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let is_up = |_| {
            std::thread::sleep(Duration::from_millis(50));
            TcpStream::connect(self.http).is_ok() && TcpStream::connect(self.grpc).is_ok()
        };
        assert!((0..1_200).any(is_up), "not up after a minute:\n{}", self.said());
        server
    }

    pub fn said(&self) -> String {
        std::fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Asks the running server.
    pub fn ask(&self, arguments: &[&str]) -> Value {
        self.try_asking(arguments).unwrap_or_else(|said| panic!("{arguments:?}: {said}"))
    }

    /// Asks the running server, perhaps in vain: then what the program says.
    pub fn try_asking(&self, arguments: &[&str]) -> Result<Value, String> {
        let mut command = self.command();
        command.env("PERENNIAL_ADDR", self.grpc.to_string());
        Self::answer_of(command, arguments)
    }

    /// The same, as the holder of a key.
    pub fn ask_as(&self, key: &str, arguments: &[&str]) -> Result<Value, String> {
        let mut command = self.command();
        command.env("PERENNIAL_ADDR", self.grpc.to_string()).env("PERENNIAL_KEY", key);
        Self::answer_of(command, arguments)
    }

    /// Works on the folder itself, while no server runs.
    pub fn work(&self, arguments: &[&str]) -> Value {
        let answer = Self::answer_of(self.command(), arguments);
        answer.unwrap_or_else(|said| panic!("{arguments:?}: {said}"))
    }

    fn answer_of(mut command: Command, arguments: &[&str]) -> Result<Value, String> {
        let output = command.args(arguments).output().unwrap();
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    pub fn post(&self, key: &str, items: &[Value]) {
        let body = json!({ "batch": items }).to_string();
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(
            stream,
            "POST /v1/batch HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nx-write-key: {key}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Mails handed over to an address.
    pub fn mails_to(&self, address: &str) -> usize {
        let new = self.folder.path().join("maildir").join("new");
        let mails = std::fs::read_dir(new).into_iter().flatten();
        mails
            .filter(|it| std::fs::read_to_string(it.as_ref().unwrap().path()).unwrap().contains(address))
            .count()
    }

    pub fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let looked = (0..600).any(|_| {
            std::thread::sleep(Duration::from_millis(100));
            is_so()
        });
        assert!(looked, "{what}: not after a minute");
    }

    pub fn messages(&self, state: &str) -> usize {
        let messages = self.ask(&["get", "messages", "-o", "json"]);
        messages.as_array().unwrap().iter().filter(|it| it["state"] == state).count()
    }

    pub fn leaks(&self, values: &[&str]) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut found = runtime.block_on(leaks(&self.database.config, &SERVICES, values));
        found.extend(values_in(self.said().as_bytes(), values).map(|it| format!("the log: {it}")));
        if let Some(url) = &self.redis {
            found.extend(in_redis(url, values).into_iter().map(|it| format!("redis: {it}")));
        }
        found
    }
}

/// Which values any key or value of Redis holds.
fn in_redis(url: &str, values: &[&str]) -> Vec<String> {
    let mut stream = TcpStream::connect(url.trim_start_matches("redis://").trim_end_matches('/')).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut reply = |command: &[&[u8]]| -> Vec<u8> {
        let mut asked = format!("*{}\r\n", command.len()).into_bytes();
        for part in command {
            asked.extend(format!("${}\r\n", part.len()).bytes());
            asked.extend_from_slice(part);
            asked.extend_from_slice(b"\r\n");
        }
        // What follows the answer tells where it ends.
        asked.extend_from_slice(b"*2\r\n$4\r\nECHO\r\n$11\r\nthe-end-is-\r\n");
        stream.write_all(&asked).unwrap();
        let (mut answer, mut part) = (Vec::new(), [0; 65_536]);
        while !answer.ends_with(b"the-end-is-\r\n") {
            let read = stream.read(&mut part).unwrap();
            answer.extend_from_slice(&part[..read]);
        }
        answer
    };
    let keys = reply(&[b"KEYS", b"*"]);
    let mut found: Vec<String> = values_in(&keys, values).map(str::to_owned).collect();
    let names = keys.split(|it| *it == b'\n').map(|it| it.strip_suffix(b"\r").unwrap_or(it));
    for name in names.filter(|it| !it.is_empty() && !it.starts_with(b"$") && !it.starts_with(b"*")) {
        let dump = reply(&[b"DUMP", name]);
        found.extend(values_in(&dump, values).map(str::to_owned));
    }
    found
}
