//! A PostgreSQL of a test's own, which may be killed and restarted without disturbing any other test.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::house::{free, given};

/// A server on loopback, gone with the test.
pub struct Postgres {
    /// Where it is.
    pub url: String,
    folder: tempfile::TempDir,
    /// `pg_ctl`, and what has to stand before it: PostgreSQL refuses to run as root.
    words: Vec<String>,
    options: String,
}

impl Postgres {
    /// Starts one from the programs beside the `pg_ctl` that `PERENNIAL_TEST_PG_CTL` names; none if it names none.
    pub fn start() -> Option<Self> {
        let given = given("PERENNIAL_TEST_PG_CTL")?;
        let words: Vec<String> = given.split_whitespace().map(str::to_owned).collect();
        let at = words.iter().position(|it| it.ends_with("pg_ctl"))?;
        let data = words.iter().skip_while(|it| *it != "-D").nth(1)?;
        let folder = tempfile::tempdir().unwrap();
        let port = free().port();
        let url = format!("postgres://perennial@127.0.0.1:{port}/postgres");
        let options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories= -c max_connections=300 \
             -c fsync=on -c synchronous_commit=on -c logging_collector=off"
        );
        let postgres = Self { url, folder, words: words[..=at].to_vec(), options };
        // Whoever owns that server's data is who may run one.
        let inner = postgres.inner();
        std::fs::create_dir(&inner).unwrap();
        open_to_all(postgres.folder.path());
        run(Command::new("chown").arg(format!("--reference={data}")).arg(&inner));
        let initdb = Path::new(&words[at]).with_file_name("initdb");
        let mut command = postgres.command(&initdb.display().to_string());
        command.args(["-U", "perennial", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", "-D"]);
        run(command.arg(inner.join("data")));
        postgres.revive();
        Some(postgres)
    }

    fn inner(&self) -> PathBuf {
        self.folder.path().join("pg")
    }

    fn command(&self, program: &str) -> Command {
        let before = &self.words[..self.words.len() - 1];
        let mut words = before.iter().map(String::as_str).chain([program]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).current_dir(self.inner());
        command
    }

    fn ctl(&self) -> Command {
        let mut command = self.command(self.words.last().unwrap());
        command.arg("-D").arg(self.inner().join("data")).args(["-w", "-t", "60", "-l"]);
        command.arg(self.inner().join("log"));
        command
    }

    /// A client program of PostgreSQL for this server.
    pub fn client(&self, program: &str) -> Command {
        let program = Path::new(self.words.last().unwrap()).with_file_name(program);
        let mut command = Command::new(program);
        command.arg("-d").arg(&self.url);
        command
    }

    /// What a statement answers, as text.
    pub fn query(&self, sql: &str) -> String {
        let output = self.client("psql").args(["-v", "ON_ERROR_STOP=1", "-Atc", sql]).output().unwrap();
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The process that all its others come from.
    pub fn process(&self) -> u32 {
        let words = ["sh", "-c", "head -n 1 \"$0\""].map(str::to_owned);
        let before = &self.words[..self.words.len() - 1];
        let mut words = before.iter().chain(&words);
        let mut command = Command::new(words.next().unwrap());
        let output = command.args(words).arg(self.inner().join("data/postmaster.pid")).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    }

    /// Crashes it (`immediate`) or lets it end its transactions (`fast`), and starts it again.
    pub fn restart(&self, mode: &str) {
        run(self.ctl().args(["-m", mode, "restart"]));
    }

    /// Crashes it.
    pub fn crash(&self) {
        run(self.ctl().args(["-m", "immediate", "stop"]));
    }

    /// Starts it, for the first time or after a crash.
    pub fn revive(&self) {
        run(self.ctl().args(["-o", &self.options, "start"]));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let mut command = self.ctl();
        drop(command.args(["-m", "immediate", "stop"]).stdout(Stdio::null()).stderr(Stdio::null()).status());
    }
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn run(command: &mut Command) {
    // Not its output: a server that is started would hold a pipe open for ever.
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
}
