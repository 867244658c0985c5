//! From text to a tree, still without knowing what the names mean.

use super::{ExprError, MAX_BYTES, MAX_DEPTH};

/// A node and the byte it begins at.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub at: usize,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Bool(bool),
    Number(f64),
    Text(String),
    Null,
    /// A dotted name.
    Name(String),
    Call(String, Vec<Node>),
    List(Vec<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Operator, Box<Node>, Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Or,
    And,
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Operator {
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Or => "||",
            Self::And => "&&",
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::In => "in",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
        }
    }
}

/// Reads one expression.
pub fn parse(text: &str) -> Result<Node, ExprError> {
    if text.len() > MAX_BYTES {
        return Err(ExprError::at(0, format!("longer than {MAX_BYTES} bytes: split it into segments")));
    }
    let mut reader = Reader { text, at: 0, depth: 0 };
    let node = reader.binary(0)?;
    reader.blanks();
    if reader.at < text.len() {
        return Err(reader.here("unexpected text: join conditions with && or ||"));
    }
    Ok(node)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// Operators by binding strength, loosest first.
const LEVELS: [&[(&str, Operator)]; 5] = [
    &[("||", Operator::Or)],
    &[("&&", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::Unequal),
        ("<=", Operator::LessEqual),
        (">=", Operator::GreaterEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
        ("in ", Operator::In),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide)],
];

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn here(&self, problem: impl Into<String>) -> ExprError {
        ExprError::at(self.at, problem)
    }

    fn eat(&mut self, token: &str) -> bool {
        self.blanks();
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, ExprError>) -> Result<T, ExprError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.here(format!("nested deeper than {MAX_DEPTH}: split it into segments")));
        }
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn binary(&mut self, level: usize) -> Result<Node, ExprError> {
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.binary(level + 1)?;
        loop {
            self.blanks();
            let at = self.at;
            let Some((token, operator)) = operators.iter().find(|(token, _)| self.rest().starts_with(token))
            else {
                return Ok(left);
            };
            self.at += token.len();
            let right = self.binary(level + 1)?;
            left = Node { at, kind: Kind::Binary(*operator, Box::new(left), Box::new(right)) };
        }
    }

    fn unary(&mut self) -> Result<Node, ExprError> {
        self.blanks();
        let at = self.at;
        if self.eat("!") {
            let inner = self.nested(Self::unary)?;
            return Ok(Node { at, kind: Kind::Not(Box::new(inner)) });
        }
        if self.eat("-") {
            let inner = self.nested(Self::unary)?;
            return Ok(Node { at, kind: Kind::Negate(Box::new(inner)) });
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Node, ExprError> {
        self.blanks();
        let at = self.at;
        let kind = match self.rest().chars().next() {
            None => return Err(self.here("the expression ends too early: complete the condition")),
            Some('(') => {
                self.at += 1;
                let inner = self.nested(|it| it.binary(0))?;
                if !self.eat(")") {
                    return Err(self.here("a ) is missing"));
                }
                return Ok(inner);
            }
            Some('[') => {
                self.at += 1;
                Kind::List(self.nested(|it| it.arguments("]"))?)
            }
            Some(quote @ ('"' | '\'')) => Kind::Text(self.quoted(quote)?),
            Some(it) if it.is_ascii_digit() => Kind::Number(self.number()?),
            Some(it) if it.is_ascii_alphabetic() || it == '_' => self.named()?,
            Some(it) => return Err(self.here(format!("unexpected {it:?}: a value or a name belongs here"))),
        };
        Ok(Node { at, kind })
    }

    fn arguments(&mut self, end: &str) -> Result<Vec<Node>, ExprError> {
        let mut list = Vec::new();
        if self.eat(end) {
            return Ok(list);
        }
        loop {
            list.push(self.binary(0)?);
            if self.eat(end) {
                return Ok(list);
            }
            if !self.eat(",") {
                return Err(self.here(format!("a {end} is missing")));
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, ExprError> {
        let begin = self.at;
        self.at += 1;
        let mut text = String::new();
        let mut escaped = false;
        for (offset, it) in self.text[self.at..].char_indices() {
            match it {
                _ if escaped => {
                    text.push(it);
                    escaped = false;
                }
                '\\' => escaped = true,
                _ if it == quote => {
                    self.at += offset + 1;
                    return Ok(text);
                }
                _ => text.push(it),
            }
        }
        Err(ExprError::at(begin, "this text has no closing quote"))
    }

    fn number(&mut self) -> Result<f64, ExprError> {
        let length = self.rest().bytes().take_while(|it| it.is_ascii_digit() || *it == b'.').count();
        let text = &self.rest()[..length];
        let value = text.parse().map_err(|_| self.here(format!("{text:?} is not a number")))?;
        self.at += length;
        Ok(value)
    }

    fn named(&mut self) -> Result<Kind, ExprError> {
        let length = self
            .rest()
            .bytes()
            .take_while(|it| it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.'))
            .count();
        let name = self.rest()[..length].to_owned();
        self.at += length;
        Ok(match name.as_str() {
            "true" => Kind::Bool(true),
            "false" => Kind::Bool(false),
            "null" => Kind::Null,
            _ if self.eat("(") => Kind::Call(name, self.nested(|it| it.arguments(")"))?),
            _ => Kind::Name(name),
        })
    }
}
