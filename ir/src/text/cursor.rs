//! Tokens of the text formats, with places and errors.

use crate::dtype::{Dtype, Literal};
use crate::error::{Error, Result, Span};
use crate::graph::Aval;
use crate::shape::Shape;
use smallvec::SmallVec;
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// An identifier, keyword or name of an operation.
    Word(&'a str),
    /// What starts like a number, as it is written.
    Number(&'a str),
    /// A quoted string, between the quotes, escapes as they are written.
    Quoted(&'a str),
    /// `%7`
    Value(u32),
    /// `@7`
    Function(u32),
    /// `->`
    Arrow,
    /// `..`
    Dots,
    /// Punctuation.
    Mark(char),
    End,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(s) | Token::Number(s) => write!(f, "`{}`", Short(s)),
            Token::Quoted(s) => write!(f, "\"{}\"", Short(s)),
            Token::Value(n) => write!(f, "`%{n}`"),
            Token::Function(n) => write!(f, "`@{n}`"),
            Token::Arrow => f.write_str("`->`"),
            Token::Dots => f.write_str("`..`"),
            Token::Mark(c) => write!(f, "`{c}`"),
            Token::End => f.write_str("the end of the text"),
        }
    }
}

/// The beginning of a text that may be huge.
struct Short<'a>(&'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 40;
        match self.0.char_indices().nth(SHOWN) {
            Some((end, _)) => write!(f, "{}…", &self.0[..end]),
            None => f.write_str(self.0),
        }
    }
}

/// An attribute's value.
#[derive(Clone, Debug)]
pub(crate) enum Item<'a> {
    Word(&'a str),
    Number(&'a str),
    /// `nan(0x…)`
    Nan(&'a str),
    Text(String),
    List(Vec<Item<'a>>),
}

/// A place in the text: the current token, and one more.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    /// Bytes taken off the text, with the line and column of what follows.
    position: usize,
    line: u32,
    column: u32,
    now: (Token<'a>, Span),
    ahead: Option<(Token<'a>, Span)>,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Result<Cursor<'a>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let start = (Token::End, Span::Unknown);
        let mut cursor = Cursor { text, position: 0, line: 1, column: 1, now: start, ahead: None };
        cursor.now = cursor.scan()?;
        Ok(cursor)
    }

    pub(crate) fn peek(&self) -> Token<'a> {
        self.now.0
    }

    /// The current token's place.
    pub(crate) fn span(&self) -> Span {
        self.now.1
    }

    /// The token after the current one.
    pub(crate) fn peek_second(&mut self) -> Result<Token<'a>> {
        let ahead = match self.ahead {
            Some(ahead) => ahead,
            None => self.scan()?,
        };
        self.ahead = Some(ahead);
        Ok(ahead.0)
    }

    /// Takes the current token.
    pub(crate) fn next(&mut self) -> Result<Token<'a>> {
        let token = self.now.0;
        self.now = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.scan()?,
        };
        Ok(token)
    }

    /// Takes the current token if it is that one.
    pub(crate) fn eat(&mut self, token: Token<'_>) -> Result<bool> {
        if self.now.0 == token { self.next().map(|_| true) } else { Ok(false) }
    }

    /// Takes the current token, which must be that one.
    pub(crate) fn expect(&mut self, token: Token<'_>, after: &str) -> Result<()> {
        if self.eat(token)? { Ok(()) } else { Err(self.expected(&format!("{token} {after}"))) }
    }

    /// The error of the current token not being what the grammar wants.
    pub(crate) fn expected(&self, what: &str) -> Error {
        wrong(self.span(), format!("expected {what}, found {}", self.peek()))
    }

    fn scan(&mut self) -> Result<(Token<'a>, Span)> {
        self.skip_blank();
        let rest = &self.text[self.position..];
        let span = Span::Text { line: self.line, column: self.column };
        let bytes = rest.as_bytes();
        let Some(first) = rest.chars().next() else { return Ok((Token::End, span)) };
        let second = bytes.get(1).copied();
        let (token, len) = match first {
            'a'..='z' | 'A'..='Z' | '_' => {
                let part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b == b'.';
                let len = bytes.iter().position(|b| !part(b)).unwrap_or(bytes.len());
                (Token::Word(&rest[..len]), len)
            }
            '0'..='9' => {
                let len = number(bytes, 0);
                (Token::Number(&rest[..len]), len)
            }
            '-' if second == Some(b'>') => (Token::Arrow, 2),
            '-' if second.is_some_and(|b| b.is_ascii_digit()) || bytes.starts_with(b"-inf") => {
                let len = number(bytes, 1);
                (Token::Number(&rest[..len]), len)
            }
            '.' if second == Some(b'.') => (Token::Dots, 2),
            '%' | '@' => {
                let digits = bytes[1..].iter().position(|b| !b.is_ascii_digit()).unwrap_or(bytes.len() - 1);
                let len = digits + 1;
                if digits == 0 {
                    return Err(wrong(span, format!("expected a number after `{first}`")));
                }
                let id = rest[1..len].parse::<u32>().ok().filter(|n| *n < u32::MAX).ok_or_else(|| {
                    wrong(span, format!("`{first}{}` is too large: ids are below {}", Short(&rest[1..len]), u32::MAX))
                })?;
                (if first == '%' { Token::Value(id) } else { Token::Function(id) }, len)
            }
            '"' => {
                let mut escaped = false;
                let end = bytes[1..].iter().position(|b| match b {
                    b'\n' => true,
                    b'"' if !escaped => true,
                    b => {
                        escaped = *b == b'\\' && !escaped;
                        false
                    }
                });
                match end {
                    Some(end) if bytes[end + 1] == b'"' => (Token::Quoted(&rest[1..end + 1]), end + 2),
                    _ => return Err(wrong(span, "this string has no closing `\"` on its line")),
                }
            }
            '(' | ')' | '[' | ']' | '{' | '}' | ',' | ':' | '=' | '*' | '+' => (Token::Mark(first), 1),
            c => return Err(wrong(span, format!("`{}` has no meaning here", c.escape_debug()))),
        };
        let columns = if rest.as_bytes()[..len].is_ascii() { len } else { rest[..len].chars().count() };
        self.column = self.column.saturating_add(u32::try_from(columns).unwrap_or(u32::MAX));
        self.position += len;
        Ok((token, span))
    }

    fn skip_blank(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(b) = bytes.get(self.position) {
            match b {
                b'\n' => {
                    self.line = self.line.saturating_add(1);
                    self.column = 1;
                    self.position += 1;
                }
                b' ' | b'\t' | b'\r' => {
                    self.column = self.column.saturating_add(1);
                    self.position += 1;
                }
                b'#' => self.skip_line(),
                b'/' if bytes.get(self.position + 1) == Some(&b'/') => self.skip_line(),
                _ => break,
            }
        }
    }

    /// To the end of the line; the column is set when the next line starts.
    fn skip_line(&mut self) {
        let rest = &self.text[self.position..];
        let len = rest.find('\n').unwrap_or(rest.len());
        self.column = self.column.saturating_add(u32::try_from(rest[..len].chars().count()).unwrap_or(u32::MAX));
        self.position += len;
    }

    /// Takes a keyword.
    pub(crate) fn keyword(&mut self, word: &str) -> Result<()> {
        if self.eat(Token::Word(word))? { Ok(()) } else { Err(self.expected(&format!("`{word}`"))) }
    }

    /// Takes any word.
    pub(crate) fn word(&mut self, what: &str) -> Result<&'a str> {
        match self.peek() {
            Token::Word(word) => self.next().map(|_| word),
            _ => Err(self.expected(what)),
        }
    }

    /// Takes a number of that type.
    pub(crate) fn number<T: FromStr>(&mut self, what: &str) -> Result<T> {
        match self.peek() {
            Token::Number(digits) => {
                let n = digits.parse().map_err(|_| self.expected(what))?;
                self.next()?;
                Ok(n)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// Takes a value's id.
    pub(crate) fn value(&mut self, what: &str) -> Result<u32> {
        match self.peek() {
            Token::Value(id) => self.next().map(|_| id),
            _ => Err(self.expected(what)),
        }
    }

    /// Takes an element type.
    pub(crate) fn dtype(&mut self) -> Result<Dtype> {
        const WHAT: &str = "an element type (`f32`, `f64`, `f16`, `bf16`, `i32`, `i64`, `u32`, `u8` or `bool`)";
        match self.peek() {
            Token::Word(word) => {
                let dtype = Dtype::parse(word).ok_or_else(|| self.expected(WHAT))?;
                self.next()?;
                Ok(dtype)
            }
            _ => Err(self.expected(WHAT)),
        }
    }

    /// Takes `[n, n, …]`, of at most as many numbers as a shape can have axes.
    pub(crate) fn numbers(&mut self) -> Result<SmallVec<[usize; 4]>> {
        self.expect(Token::Mark('['), "that starts a list of numbers")?;
        let mut numbers = SmallVec::new();
        while !self.eat(Token::Mark(']'))? {
            if !numbers.is_empty() {
                self.expect(Token::Mark(','), "or `]` after a number")?;
            }
            if numbers.len() == Shape::MAX_RANK {
                return Err(wrong(self.span(), format!("more than {} axes", Shape::MAX_RANK)));
            }
            numbers.push(self.number("a number of elements")?);
        }
        Ok(numbers)
    }

    /// Takes `f32[2,3]`.
    pub(crate) fn aval(&mut self) -> Result<Aval> {
        let dtype = self.dtype()?;
        Ok(Aval::new(dtype, self.numbers()?.into_iter().collect::<Shape>()))
    }

    /// Takes a bare or quoted name.
    pub(crate) fn name(&mut self, what: &str) -> Result<String> {
        match self.peek() {
            Token::Word(word) => {
                self.next()?;
                Ok(word.to_owned())
            }
            Token::Quoted(raw) => {
                let name = unescape(raw).map_err(|e| wrong(self.span(), e))?;
                self.next()?;
                Ok(name)
            }
            _ => Err(self.expected(what)),
        }
    }

    /// Takes an attribute's value; lists nest at most `depth` deep.
    pub(crate) fn item(&mut self, depth: usize) -> Result<Item<'a>> {
        match self.peek() {
            Token::Number(digits) => self.next().map(|_| Item::Number(digits)),
            Token::Word("nan") => {
                self.next()?;
                if !self.eat(Token::Mark('('))? {
                    return Ok(Item::Word("nan"));
                }
                let Token::Number(bits) = self.peek() else { return Err(self.expected("the bits of a NaN")) };
                self.next()?;
                self.expect(Token::Mark(')'), "after the bits of a NaN")?;
                Ok(Item::Nan(bits))
            }
            Token::Word(word) => self.next().map(|_| Item::Word(word)),
            Token::Quoted(_) => self.name("a text").map(Item::Text),
            Token::Mark('[') if depth > 0 => {
                self.next()?;
                let mut items = Vec::new();
                while !self.eat(Token::Mark(']'))? {
                    if !items.is_empty() {
                        self.expect(Token::Mark(','), "or `]` in a list")?;
                    }
                    items.push(self.item(depth - 1)?);
                }
                Ok(Item::List(items))
            }
            _ => Err(self.expected(if depth > 0 { "a value" } else { "a number or a word" })),
        }
    }
}

/// Where a number ends that starts before `from`.
fn number(bytes: &[u8], from: usize) -> usize {
    let mut end = from;
    while let Some(b) = bytes.get(end) {
        let part = match b {
            b'.' => bytes.get(end + 1) != Some(&b'.'),
            b'+' | b'-' => end > from && matches!(bytes[end - 1], b'e' | b'E'),
            b => b.is_ascii_alphanumeric() || *b == b'_',
        };
        if !part {
            break;
        }
        end += 1;
    }
    end
}

fn unescape(raw: &str) -> std::result::Result<String, String> {
    let mut name = String::new();
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            name.push(c);
            continue;
        }
        name.push(match chars.next() {
            Some('n') => '\n',
            Some(c @ ('"' | '\\')) => c,
            Some('u') if chars.next() == Some('{') => {
                let digits: String = chars.by_ref().take_while(|c| *c != '}').take(8).collect();
                let c = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                c.ok_or_else(|| format!("`\\u{{{digits}}}` is no character"))?
            }
            _ => return Err("a `\\` in a string must be followed by `\"`, `\\`, `n` or `u{…}`".to_owned()),
        });
    }
    Ok(name)
}

/// A parse error at a place.
pub(crate) fn wrong(span: Span, message: impl Into<String>) -> Error {
    Error::parse(message).at(span)
}

/// The literal of that type a value stands for.
pub(crate) fn literal(dtype: Dtype, item: &Item<'_>) -> std::result::Result<Literal, String> {
    let no = |what: &str| {
        let text = match item {
            Item::Word(s) | Item::Number(s) | Item::Nan(s) => Short(s).to_string(),
            Item::Text(_) => "a text".to_owned(),
            Item::List(_) => "a list".to_owned(),
        };
        format!("`{text}` is {what}")
    };
    match (dtype, item) {
        (Dtype::Bool, Item::Word("true")) => Ok(Literal::new(dtype, 1.0)),
        (Dtype::Bool, Item::Word("false")) => Ok(Literal::new(dtype, 0.0)),
        (Dtype::Bool, _) => Err(no("neither `true` nor `false`")),
        (Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8, Item::Number(s)) => {
            Literal::parse_integer(dtype, s).ok_or_else(|| no(&format!("no {dtype}")))
        }
        (Dtype::I32 | Dtype::I64 | Dtype::U32 | Dtype::U8, _) => Err(no(&format!("no {dtype}"))),
        (Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16, Item::Word("nan")) => Ok(Literal::new(dtype, f64::NAN)),
        (Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16, Item::Word("inf")) => {
            Ok(Literal::new(dtype, f64::INFINITY))
        }
        (Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16, Item::Number("-inf")) => {
            Ok(Literal::new(dtype, f64::NEG_INFINITY))
        }
        (Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16, Item::Nan(s)) => {
            let bits = s.strip_prefix("0x").and_then(|s| u64::from_str_radix(s, 16).ok());
            let literal = bits.and_then(|bits| Literal::from_bits(dtype, bits));
            literal.filter(|l| l.to_f64().is_nan()).ok_or_else(|| no(&format!("not the bits of a NaN of {dtype}")))
        }
        (Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16, Item::Number(s)) => {
            let bits = match dtype {
                Dtype::F32 => s.parse::<f32>().ok().map(|x| (u64::from(x.to_bits()), x.is_infinite())),
                _ => {
                    s.parse::<f64>().ok().map(|x| Literal::new(dtype, x)).map(|x| (x.bits(), x.to_f64().is_infinite()))
                }
            };
            match bits {
                None => Err(no("no number")),
                Some((_, true)) => Err(no(&format!("too large for {dtype}; write `inf` if infinity is meant"))),
                Some((bits, false)) => Literal::from_bits(dtype, bits).ok_or_else(|| no("no number")),
            }
        }
        (Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16, _) => Err(no("no number")),
    }
}
