//! The words and signs of an expression.

use super::Problem;

/// A word or sign.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// A name, or a word of the language.
    Name(String),
    /// A text in quotes.
    Text(String),
    /// A number.
    Number(String),
    /// Anything else, by itself.
    Sign(char),
    /// `..`
    Through,
}

/// Splits an expression.
pub fn tokens(text: &str, line: usize) -> Result<Vec<Token>, Problem> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(it) = rest.chars().next() {
        let taken = match it {
            _ if it.is_whitespace() => it.len_utf8(),
            '"' | '\'' => {
                let Some(end) = rest[1..].find(it) else {
                    return Err(Problem::syntax(line, format!("a text is never closed: add {it}")));
                };
                found.push(Token::Text(rest[1..=end].to_owned()));
                end + 2
            }
            _ if it.is_ascii_alphabetic() || it == '_' => {
                let end = rest.find(|it: char| !(it.is_ascii_alphanumeric() || it == '_' || it == '-'));
                let end = end.unwrap_or(rest.len());
                found.push(Token::Name(rest[..end].to_owned()));
                end
            }
            _ if it.is_ascii_digit() => {
                let mut end = rest.find(|it: char| !it.is_ascii_digit()).unwrap_or(rest.len());
                let fraction = rest[end..]
                    .strip_prefix('.')
                    .map_or(0, |it| it.find(|it: char| !it.is_ascii_digit()).unwrap_or(it.len()));
                end += if fraction > 0 { fraction + 1 } else { 0 };
                found.push(Token::Number(rest[..end].to_owned()));
                end
            }
            '.' if rest.starts_with("..") => {
                found.push(Token::Through);
                2
            }
            _ => {
                found.push(Token::Sign(it));
                it.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    Ok(found)
}
