//! Whether an open or a click was a person's or a machine's. A machine's never counts.
//!
//! The rule is simple and errs towards machine: a `HEAD` request; no user agent, or one of a scanner, bot or library;
//! Apple Mail's prefetch (the bare `Mozilla/5.0`); anything within two seconds of the hand-over, when only the
//! receiving servers have seen the message. Image proxies that fetch when the person opens (Gmail, Yahoo) are people.

use perennial_types::Timestamp;

/// Who reacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A person.
    Human,
    /// A scanner, prefetcher or library.
    Machine,
}

const MACHINES: &[&str] = &[
    "bot",
    "crawl",
    "spider",
    "scan",
    "preview",
    "curl",
    "wget",
    "python",
    "java/",
    "okhttp",
    "go-http-client",
    "headless",
    "phantom",
    "barracuda",
    "proofpoint",
    "mimecast",
    "safelinks",
    "fortinet",
    "trendmicro",
    "sophos",
    "symantec",
    "fireeye",
    "monitor",
];

/// Decides by the request and the time since the hand-over.
#[must_use]
pub fn verdict(head: bool, user_agent: &str, accepted: Option<Timestamp>, at: Timestamp) -> Verdict {
    let agent = user_agent.trim().to_ascii_lowercase();
    let prefetch = agent.is_empty() || agent == "mozilla/5.0";
    let known = MACHINES.iter().any(|it| agent.contains(it));
    // Before it was accepted nobody can have read it.
    let at_once = accepted.is_none_or(|it| at.duration_since(it).as_millis() < 2_000);
    if head || prefetch || known || at_once { Verdict::Machine } else { Verdict::Human }
}

#[cfg(test)]
mod tests {
    use super::*;
    use perennial_types::from_micros;

    #[test]
    fn scanners_prefetchers_and_what_comes_at_once_are_machines() {
        let accepted = Some(from_micros(0));
        let later = from_micros(60_000_000);
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
        let gmail =
            "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)";
        assert_eq!(verdict(false, firefox, accepted, later), Verdict::Human);
        assert_eq!(verdict(false, gmail, accepted, later), Verdict::Human);
        for agent in ["", "Mozilla/5.0", "python-requests/2.31", "Barracuda Sentinel (EE)"] {
            assert_eq!(verdict(false, agent, accepted, later), Verdict::Machine, "{agent}");
        }
        assert_eq!(verdict(true, firefox, accepted, later), Verdict::Machine);
        assert_eq!(verdict(false, firefox, accepted, from_micros(1_500_000)), Verdict::Machine);
        assert_eq!(verdict(false, firefox, None, later), Verdict::Machine);
    }
}
