//! The double-entry ledger. An entry moves units between accounts and its postings add up to nothing; an account with a
//! floor never goes below it. Nothing is ever edited: what was wrong is moved back by another entry.

use std::collections::BTreeMap;

use perennial_types::Timestamp;

/// An account as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// A currency's code, `coupon` or `use`.
    pub unit: String,
    /// Sum of its postings.
    pub balance: i64,
    /// The balance never goes below this.
    pub floor: Option<i64>,
}

/// What is posted together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The coupon it is about, by its code.
    pub coupon: String,
    /// Which of the coupon's entries it is, from 0: with the coupon, the entry's key.
    pub sequence: i64,
    /// What happened: `issue`, `reserve`, `redeem`, `release`, `expire`, `exception`, `withdraw`.
    pub kind: &'static str,
    /// When.
    pub at: Timestamp,
    /// Account and amount; the amounts of each unit add up to zero.
    pub postings: Vec<(String, i64)>,
}

/// An account has too little left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("account {0} has too little left")]
pub struct Short(pub String);

/// The accounts a use case may touch, locked, and what it posts to them.
#[derive(Clone, Debug, Default)]
pub struct Books {
    accounts: BTreeMap<String, Account>,
    changes: BTreeMap<String, i64>,
    entries: Vec<Entry>,
}

impl Books {
    /// Opens the books on these accounts.
    #[must_use]
    pub fn open(accounts: BTreeMap<String, Account>) -> Self {
        Self { accounts, ..Self::default() }
    }

    /// The account, if it was opened.
    #[must_use]
    pub fn account(&self, name: &str) -> Option<&Account> {
        self.accounts.get(name)
    }

    /// Posts an entry wholly or not at all. Postings of zero are left out.
    ///
    /// # Errors
    /// [`Short`] naming the account whose floor it would break.
    ///
    /// # Panics
    /// If its amounts do not add up, or it names an account that was not opened: a mistake of ours, found by tests.
    pub fn post(&mut self, mut entry: Entry) -> Result<(), Short> {
        entry.postings.retain(|(_, amount)| *amount != 0);
        let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
        for (name, amount) in &entry.postings {
            let account = self.accounts.get(name).expect("a use case opens every account it posts to");
            *sums.entry(&account.unit).or_default() += amount;
            if *amount < 0 && account.floor.is_some_and(|floor| account.balance + amount < floor) {
                return Err(Short(name.clone()));
            }
        }
        assert!(sums.values().all(|it| *it == 0), "an entry's amounts add up to nothing: {entry:?}");
        for (name, amount) in &entry.postings {
            if let Some(account) = self.accounts.get_mut(name) {
                account.balance += amount;
                *self.changes.entry(name.clone()).or_default() += amount;
            }
        }
        if !entry.postings.is_empty() {
            self.entries.push(entry);
        }
        Ok(())
    }

    /// What was posted, and by how much each account changed.
    #[must_use]
    pub fn close(self) -> (Vec<Entry>, BTreeMap<String, i64>) {
        (self.entries, self.changes)
    }
}
