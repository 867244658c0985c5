//! Cells of CSV that a spreadsheet would take for formulas.
//!
//! A text that begins with `=`, `@`, a tab, or a sign before anything but a number would be run by whoever opens the file in
//! a spreadsheet, and texts come from anybody who can fill in a form. So an apostrophe goes before it, which
//! spreadsheets take as "this is text". The importers take one away again, and where a text has apostrophes of its own before
//! such a beginning it gets one more: every text comes back as it was.

/// Whether a text, its leading apostrophes aside, begins like a formula.
fn is_one(text: &str) -> bool {
    let bare = text.trim_start_matches('\'');
    let harmless = |it: char| it.is_ascii_digit() || " .,:()/-".contains(it);
    match bare.chars().next() {
        Some('=' | '@' | '\t' | '\r' | '＝' | '＋' | '－' | '＠') => true,
        // A telephone number or an amount is one.
        Some('+' | '-') => !bare[1..].chars().all(harmless),
        _ => false,
    }
}

/// A text as it may stand in CSV.
#[must_use]
pub fn guarded(text: String) -> String {
    if is_one(&text) { format!("'{text}") } else { text }
}

/// A text of CSV as it was before [`guarded`].
#[must_use]
pub fn plain(text: &str) -> &str {
    match text.strip_prefix('\'') {
        Some(rest) if is_one(text) => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn formulas_get_an_apostrophe_and_numbers_do_not() {
        for (text, written) in [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-2+3+cmd|'x'", "'-2+3+cmd|'x'"),
            ("+49 30 1234-567", "+49 30 1234-567"),
            ("-12.50", "-12.50"),
            ("'=1", "''=1"),
            ("'s-Hertogenbosch", "'s-Hertogenbosch"),
            ("", ""),
        ] {
            assert_eq!(guarded(text.to_owned()), written);
            assert_eq!(plain(written), text);
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(text in "['=+@\\-\t\r]{0,3}.{0,6}") {
            let written = guarded(text.clone());
            prop_assert_eq!(plain(&written), &text);
            prop_assert!(written.starts_with('\'') || !is_one(&written));
        }
    }
}
