//! The product as it is installed: the binary that was built with these tests, as one process or as six, each with an
//! address of its own.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use perennial::compose::ALL;
use perennial::output::Format;
use perennial::session::Session;
use perennial_runtime::{Config, Mesh};
use perennial_types::Workspace;

/// A running server that does not outlive its test.
pub struct Server(pub Child);

impl Drop for Server {
    fn drop(&mut self) {
        // A second `kill` of what is dead already changes nothing.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// How the product is spread over processes.
pub enum Shape {
    /// One process on SQLite.
    One,
    /// A process for each service, on PostgreSQL and Redis.
    Six {
        /// The database, in which each service has a schema.
        postgres: String,
        /// The cache.
        redis: String,
    },
}

/// A process: the services it runs, and where.
pub struct Place {
    pub services: Vec<&'static str>,
    pub grpc: SocketAddr,
    pub http: SocketAddr,
}

/// An installation.
pub struct House {
    pub folder: tempfile::TempDir,
    pub places: Vec<Place>,
    settings: BTreeMap<String, String>,
    id: uuid::Uuid,
    /// Its databases are on a server, and its processes know where the others are.
    shared: bool,
}

/// The value of a variable that names a server for tests; says so if there is none.
pub fn given(variable: &str) -> Option<String> {
    let value = std::env::var_os(variable).and_then(|it| it.into_string().ok());
    if value.is_none() {
        eprintln!("{variable} is not set: not tested (tests/with-services sets it)");
    }
    value
}

/// The number that a variable holds.
pub fn number<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var_os(variable).and_then(|it| it.into_string().ok()?.parse().ok())
}

/// An address that nobody uses, below those that the system gives to whoever connects: one that is free between two
/// processes of ours stays free.
pub fn free() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = uuid::Uuid::now_v7().as_u128() % 9_000;
    let _ = NEXT.compare_exchange(0, 10_000 + base as u16, Ordering::SeqCst, Ordering::SeqCst);
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], NEXT.fetch_add(1, Ordering::SeqCst)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// Whoever orders is thanked with a coupon for the next order: documents to be put behind others.
pub const THANKS: &str = "---
kind: Offer
name: next-time
amount: 5.00 EUR
cost: 5.00 EUR
valid: 60d
limit_per_customer: 9
budget: 900 EUR per month
code_prefix: next
---
kind: Template
name: thanks
subject: Thanks
text: Your code {{ coupon.code }} is for your next order.
---
kind: Campaign
name: thanks
trigger: { event: Order Completed }
reenter: after 1d
holdout: 0%
steps:
  - offer: { coupon: next-time, valid: 60d }
    message: { template: thanks, expires: 3d }
";

/// The binary that was built with these tests.
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

impl House {
    /// An installation with these settings, by their paths: `scoring.fit_interval_days`.
    pub fn new(shape: Shape, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = |services| Place { services, grpc: free(), http: free() };
        let shared = matches!(shape, Shape::Six { .. });
        let mut house = Self {
            places: vec![place(ALL.to_vec())],
            folder,
            settings: BTreeMap::new(),
            id: uuid::Uuid::now_v7(),
            shared,
        };
        house.set("telemetry.log", "error");
        house.set("notification.maildir.folder", &house.mail().display().to_string());
        if let Shape::Six { postgres, redis } = shape {
            house.places = ALL.into_iter().map(|it| place(vec![it])).collect();
            house.set("cache.url", &redis);
            let prefix = house.prefix();
            for service in ALL {
                let address = format!("http://{}", house.place(service).grpc);
                house.set(&format!("peers.{service}"), &address);
                house.set(&format!("{service}.database.url"), &postgres);
                house.set(&format!("{service}.database.schema_prefix"), &prefix);
            }
            let public = format!("http://{}", house.place("notification").http);
            house.set("notification.public_url", &public);
        }
        for (name, value) in settings {
            house.set(name, value);
        }
        house
    }

    /// Leaves only so many processes, all of them of one service.
    pub fn only(&mut self, service: &'static str, replicas: usize) {
        self.places.retain_mut(|it| {
            it.services.retain(|it| *it == service);
            !it.services.is_empty()
        });
        while self.places.len() < replicas {
            self.places.push(Place { services: vec![service], grpc: free(), http: free() });
        }
    }

    fn set(&mut self, name: &str, value: &str) {
        let variable = format!("PERENNIAL_{}", name.to_uppercase().replace('.', "__"));
        self.settings.insert(variable, value.to_owned());
    }

    /// Where the databases of one process on SQLite are.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// What stands before the schemas' names on a server.
    pub fn prefix(&self) -> String {
        format!("t{}_", self.id.simple())
    }

    /// Where mail comes in.
    pub fn mail(&self) -> PathBuf {
        self.data().join("maildir")
    }

    /// The process that runs a service.
    pub fn place(&self, service: &str) -> &Place {
        self.places.iter().find(|it| it.services.contains(&service)).unwrap()
    }

    /// The product's command line, with this installation's settings.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PERENNIAL_")) {
            command.env_remove(name);
        }
        command.current_dir(self.folder.path()).envs(&self.settings);
        command
    }

    /// Starts a process.
    pub fn serve(&self, place: &Place) -> Server {
        let mut command = self.command();
        if !self.shared {
            command.arg("--data-dir").arg(self.data());
        }
        command.arg("serve").args(&place.services);
        command.args(["--listen", &place.grpc.to_string(), "--http-listen", &place.http.to_string()]);
        let log = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        Server(command.stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }

    /// Starts all processes, and waits until they are up.
    pub fn serve_all(&self) -> Vec<Server> {
        let servers = self.places.iter().map(|it| self.serve(it)).collect();
        self.wait_until_up();
        servers
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("serve.log")
    }

    /// What the processes said: errors only.
    pub fn said(&self) -> String {
        let mut text = String::new();
        let read = File::open(self.log()).and_then(|mut it| it.read_to_string(&mut text));
        read.map(|_| text).unwrap_or_default()
    }

    /// Waits until every process is ready.
    pub fn wait_until_up(&self) {
        let began = Instant::now();
        for place in &self.places {
            while !matches!(request(place.http, "GET", "/readyz", &[], ""), Ok((200, _))) {
                assert!(began.elapsed() < Duration::from_secs(60), "not up after a minute:\n{}", self.said());
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    /// Asks the product by its command line.
    pub fn ask(&self, arguments: &[&str]) -> serde_json::Value {
        let mut command = self.command();
        if !self.shared {
            command.env("PERENNIAL_ADDR", self.places[0].grpc.to_string());
        }
        let output = command.args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}\n{}", self.said());
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// The services, as a client of ours sees them.
    pub fn session(&self) -> Session {
        let way = |it: &Place| {
            let address = format!("http://{}", it.grpc);
            it.services.iter().map(move |it| ((*it).to_owned(), address.clone())).collect::<Vec<_>>()
        };
        let peers = self.places.iter().flat_map(way).collect();
        let mesh = Mesh::new(&Config { peers, ..Config::default() }, &[]).unwrap();
        Session::new(mesh, Workspace::parse("main").unwrap(), Format::Json)
    }

    /// A way to each process by itself.
    pub fn processes(&self, service: &str) -> Vec<perennial_rpc::Transport> {
        let area = service.split('.').nth(1).unwrap().to_owned();
        let way = |it: &Place| {
            let peers = [(area.clone(), format!("http://{}", it.grpc))].into();
            Mesh::new(&Config { peers, ..Config::default() }, &[]).unwrap()
        };
        // A transport lives as long as its mesh: as long as the test.
        self.places.iter().map(|it| Box::leak(Box::new(way(it))).transport(service)).collect()
    }

    /// Sends a batch of events once; the code and the head of the answer.
    pub fn offer(&self, key: &str, body: &str) -> std::io::Result<(u16, String)> {
        let headers = [("x-write-key", key), ("content-type", "application/json")];
        request(self.place("ingestion").http, "POST", "/v1/batch", &headers, body)
    }

    /// Sends a batch of events once; whether it was acknowledged.
    pub fn post(&self, key: &str, body: &str) -> bool {
        matches!(self.offer(key, body), Ok((200, _)))
    }
}

/// One HTTP request on a connection of its own; the code and the head of the answer.
pub fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_lowercase();
    let code = head.split(' ').nth(1).and_then(|it| it.parse().ok());
    code.map(|code| (code, head)).ok_or_else(|| std::io::Error::other("no answer"))
}
