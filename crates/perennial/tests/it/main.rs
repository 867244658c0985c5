//! The program as a whole, on SQLite in a temporary folder: commands through the binary, demos through the library.

#![expect(clippy::unwrap_used, reason = "tests")]

mod campaigns;
mod commands;
mod corpora;
mod demos;
mod exports;
mod imports;
mod rejected;
mod retail;
mod scores;

use std::path::Path;
use std::process::Command;

/// What a run of the program answered.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }
}

/// Runs the program on a data folder, with nothing of ours in its environment.
fn perennial(data: &Path, words: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perennial"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PERENNIAL_")) {
        command.env_remove(name);
    }
    let ran = command.arg("--data-dir").arg(data).args(words).output().unwrap();
    Ran {
        code: ran.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&ran.stdout).into_owned(),
        err: String::from_utf8_lossy(&ran.stderr).into_owned(),
    }
}
