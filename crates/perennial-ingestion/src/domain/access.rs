//! Keys: which kinds there are, and what their holders may do.

/// What a key lets its holder do, in its workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Send events.
    Ingest,
    /// Read.
    Read,
    /// Change definitions and act.
    Write,
    /// All of these; and make and end keys, change the workspace.
    Admin,
}

impl Scope {
    const ALL: [Self; 4] = [Self::Ingest, Self::Read, Self::Write, Self::Admin];

    /// Its name, as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }

    /// Scopes as they are stored: names with commas between. A name that a later version wrote is none of ours.
    pub fn list(stored: &str) -> Vec<Self> {
        stored.split(',').filter_map(|name| Self::ALL.into_iter().find(|it| it.as_str() == name)).collect()
    }

    /// How scopes are stored: each once, in order.
    pub fn stored(scopes: &[Self]) -> String {
        let names = Self::ALL.into_iter().filter(|it| scopes.contains(it)).map(Self::as_str);
        names.collect::<Vec<_>>().join(",")
    }
}

/// The kinds of keys. Each has a list of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Stands in web pages and apps, readable by anybody: sends events, and nothing else.
    Write,
    /// For the gRPC API, kept secret: does what its scopes say.
    Api,
}

impl KeyKind {
    /// What keys of this kind begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Write => "wk_",
            Self::Api => "ak_",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_stored_once_and_in_order() {
        let stored = Scope::stored(&[Scope::Write, Scope::Ingest, Scope::Write]);
        assert_eq!(stored, "ingest,write");
        assert_eq!(Scope::list(&stored), [Scope::Ingest, Scope::Write]);
        assert_eq!(Scope::list("read,later"), [Scope::Read]);
    }
}
