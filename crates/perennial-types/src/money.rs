//! Exact money: integer minor units and an ISO 4217 currency.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An ISO 4217 currency by its three letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

impl Currency {
    /// The euro.
    pub const EUR: Self = Self(*b"EUR");

    /// Reads three letters, in either case.
    ///
    /// # Errors
    /// [`MoneyError::Currency`] if they are not three letters.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        match code.trim().as_bytes() {
            [a, b, c] if [a, b, c].iter().all(|it| it.is_ascii_alphabetic()) => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase(), c.to_ascii_uppercase()]))
            }
            _ => Err(MoneyError::Currency(code.chars().take(20).collect())),
        }
    }

    /// Its three letters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// How many decimals its minor unit has (ISO 4217's exponent).
    #[must_use]
    pub fn decimals(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF"
            | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }

    /// Reads a decimal amount in this currency as minor units, rounding half away from zero. Text may carry
    /// thousands separators (`1,234.50`), a sign, and blanks around it.
    ///
    /// # Errors
    /// [`MoneyError::Amount`] if it is not a decimal number, or too large for 64 bits.
    pub fn minor_units(self, amount: &str) -> Result<i64, MoneyError> {
        let refused = || MoneyError::Amount(amount.chars().take(40).collect());
        let text = amount.trim();
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| refused())?),
            None => (digits, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let grouped = whole.contains(',');
        if grouped && !whole.split(',').skip(1).all(|group| group.len() == 3) {
            return Err(refused());
        }
        let whole: String = whole.chars().filter(|it| *it != ',').collect();
        let all_digits = |text: &str| text.bytes().all(|it| it.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(&whole) || !all_digits(fraction) {
            return Err(refused());
        }
        // The digits without their point, and how many of them lie behind it.
        let mut units: i128 = 0;
        if whole.len() + fraction.len() > 34 || !(-30..=30).contains(&exponent) {
            return Err(refused());
        }
        for digit in whole.bytes().chain(fraction.bytes()) {
            units = units * 10 + i128::from(digit - b'0');
        }
        let behind = i64::try_from(fraction.len()).unwrap_or(0) - i64::from(exponent);
        let mut shift = i64::from(self.decimals()) - behind;
        while shift > 0 {
            units = units.checked_mul(10).ok_or_else(refused)?;
            shift -= 1;
        }
        if shift < 0 {
            let divisor = 10_i128.checked_pow(u32::try_from(-shift).unwrap_or(u32::MAX)).unwrap_or(i128::MAX);
            units = (units + divisor / 2) / divisor;
        }
        i64::try_from(if negative { -units } else { units }).map_err(|_| refused())
    }

    /// Writes minor units as a decimal amount, such as `-12.30`.
    #[must_use]
    pub fn format(self, minor: i64) -> String {
        let decimals = self.decimals() as usize;
        let sign = if minor < 0 { "-" } else { "" };
        let digits = format!("{:0>width$}", minor.unsigned_abs(), width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        if decimals == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;

    fn try_from(code: String) -> Result<Self, MoneyError> {
        Self::parse(&code)
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.code().to_owned()
    }
}

/// An exact amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    /// Minor units of the currency (cents for EUR).
    pub minor: i64,
    /// Its currency.
    pub currency: Currency,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.currency.format(self.minor), self.currency)
    }
}

/// Text that is no money.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not a currency code.
    #[error("{0:?} is not a currency: use its three ISO 4217 letters, such as EUR")]
    Currency(String),
    /// Not an amount.
    #[error("{0:?} is not an amount: use a decimal number with a point, such as 1234.50")]
    Amount(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_read_exactly() {
        let eur = Currency::EUR;
        for (text, minor) in [
            ("29.33", 2933),
            ("-0.005", -1),
            ("1,234.5", 123_450),
            ("12", 1200),
            (".5", 50),
            ("1e2", 10_000),
            ("1.5E-1", 15),
        ] {
            assert_eq!(eur.minor_units(text), Ok(minor), "{text}");
        }
        assert_eq!(Currency::parse("jpy").unwrap().minor_units("1500"), Ok(1500));
        for text in ["", "-", "12,5", "1.2.3", "abc", "NaN", "1e400", "99999999999999999999999"] {
            assert!(eur.minor_units(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(minor in -1_000_000_000_000_i64..1_000_000_000_000) {
            for code in ["EUR", "JPY", "KWD"] {
                let currency = Currency::parse(code).unwrap();
                prop_assert_eq!(currency.minor_units(&currency.format(minor)), Ok(minor));
            }
        }
    }
}
