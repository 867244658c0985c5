//! Numbers as people read them.

use perennial_types::Currency;

/// Digits in groups of three: `302,118`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count that may come as a signed number from the wire.
#[must_use]
pub fn count(number: i64) -> String {
    let sign = if number < 0 { "−" } else { "" };
    format!("{sign}{}", thousands(number.unsigned_abs()))
}

/// A rounded number that shows its sign: `+21,400`, `−5,900`.
#[must_use]
pub fn signed(number: f64) -> String {
    let rounded = number.round();
    let sign = if rounded < 0.0 { "−" } else { "+" };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "made positive; a number beyond u64 saturates"
    )]
    let whole = rounded.abs() as u64;
    format!("{sign}{}", thousands(whole))
}

/// Minor units as an amount with its currency: `1,184.20 EUR`.
#[must_use]
pub fn money(minor: i64, currency: &str) -> String {
    let of = Currency::parse(currency).unwrap_or(Currency::EUR);
    let text = of.format(minor);
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("−", rest));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), thousands);
    let point = if fraction.is_empty() { "" } else { "." };
    let amount = format!("{sign}{whole}{point}{fraction}");
    if currency.is_empty() { amount } else { format!("{amount} {currency}") }
}

/// A share as a percentage: `68 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!([0, 999, 1_000, 302_118].map(thousands), ["0", "999", "1,000", "302,118"]);
        assert_eq!([21_400.2, -5_900.0, 0.2].map(signed), ["+21,400", "−5,900", "+0"]);
        assert_eq!(money(118_420, "EUR"), "1,184.20 EUR");
        assert_eq!(money(-5, "EUR"), "−0.05 EUR");
        assert_eq!(money(1_500, "JPY"), "1,500 JPY");
        assert_eq!(percent(0.684), "68 %");
    }
}
