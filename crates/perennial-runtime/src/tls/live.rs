//! What is made of files, and made anew when they have changed: certificates are renewed in place.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

/// Something made of files. They are looked at when it is asked for, and not more often than set.
pub struct Live<T> {
    files: Vec<PathBuf>,
    every: Duration,
    make: Box<dyn Fn() -> anyhow::Result<T> + Send + Sync>,
    state: Mutex<State<T>>,
}

struct State<T> {
    made: Arc<T>,
    /// The digest of the files that it was made of.
    of: Option<[u8; 32]>,
    looked: Instant,
}

impl<T> Live<T> {
    /// Makes it of `files`, which `make` reads.
    ///
    /// # Errors
    /// What `make` says: at first there is nothing to go on with.
    pub fn new(
        files: Vec<PathBuf>,
        every: Duration,
        make: impl Fn() -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        // What changes between the two is seen at the next look.
        let of = digest(&files).ok();
        let state = State { made: Arc::new(make()?), of, looked: Instant::now() };
        Ok(Self { files, every, make: Box::new(make), state: Mutex::new(state) })
    }

    /// As of its files; as it was, if they cannot be used now: half of them may be replaced yet.
    pub fn current(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() < self.every {
            return state.made.clone();
        }
        state.looked = Instant::now();
        let made = digest(&self.files).map_err(anyhow::Error::from).and_then(|of| {
            if state.of == Some(of) { Ok(None) } else { (self.make)().map(|made| Some((of, made))) }
        });
        match made {
            Ok(None) => {}
            Ok(Some((of, made))) => {
                tracing::info!("the files of server.tls have changed: new connections use them");
                (state.of, state.made) = (Some(of), Arc::new(made));
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "the files of server.tls cannot be used: those before stay in use");
            }
        }
        state.made.clone()
    }
}

fn digest(files: &[PathBuf]) -> std::io::Result<[u8; 32]> {
    let mut all = Sha256::new();
    for file in files {
        // Each by its own digest, or bytes might go from one to the next unnoticed.
        all.update(Sha256::digest(std::fs::read(file)?));
    }
    Ok(all.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_when_it_has_changed_and_kept_while_it_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("number");
        let live = |every| {
            std::fs::write(&file, "1").unwrap();
            let path = file.clone();
            let make = move || Ok(std::fs::read_to_string(&path)?.parse::<u32>()?);
            Live::new(vec![file.clone()], every, make).unwrap()
        };
        let number = live(Duration::ZERO);
        let first = number.current();
        assert!(Arc::ptr_eq(&first, &number.current()), "nothing changed");
        std::fs::write(&file, "half").unwrap();
        assert_eq!(*number.current(), 1);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(*number.current(), 1);
        std::fs::write(&file, "2").unwrap();
        assert_eq!(*number.current(), 2);

        let patient = live(Duration::from_secs(3_600));
        std::fs::write(&file, "2").unwrap();
        assert_eq!(*patient.current(), 1, "it is not time to look");
    }
}
