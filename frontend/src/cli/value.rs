//! Arrays as text: nested lists, as in JSON, with `nan` and `inf` beside numbers.
//!
//! `[[1, 2.5], [nan, -inf]]`. In quotes (`"nan"`) they are valid JSON too, which is how they are
//! printed there.

use egrad::{Array, Aval, Dtype, Element, Error, Result, Shape, Span, bf16, f16};
use std::fmt::{self, Write};

/// Reads one array of this type from the whole text; `what` names it in errors.
pub(crate) fn parse(text: &str, aval: &Aval, what: &str) -> Result<Array> {
    let mut reader = Reader::new(text);
    let array = reader.array(aval, what)?;
    reader.end()?;
    Ok(array)
}

/// Reads a list with an array of each of these types; `what` names the one at a position.
pub(crate) fn parse_list(text: &str, avals: &[Aval], what: impl Fn(usize) -> String) -> Result<Vec<Array>> {
    let mut reader = Reader::new(text);
    let expected = || format!("a list of {} inputs, one for each parameter", avals.len());
    if !reader.skip('[') {
        return Err(reader.expected(&expected()));
    }
    let mut arrays = Vec::new();
    for (i, aval) in avals.iter().enumerate() {
        if (i > 0 && !reader.skip(',')) || reader.peek() == Some(']') {
            return Err(Error::tree(format!("{} is expected, this one has {i}", expected())).at(reader.span()));
        }
        arrays.push(reader.array(aval, &what(i))?);
    }
    if reader.peek() == Some(',') {
        return Err(Error::tree(format!("{} is expected, this one has more", expected())).at(reader.span()));
    }
    if !reader.skip(']') {
        return Err(reader.expected("`]`"));
    }
    reader.end()?;
    Ok(arrays)
}

struct Reader<'a> {
    rest: std::str::Chars<'a>,
    line: u32,
    column: u32,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str) -> Reader<'a> {
        Reader { rest: text.chars(), line: 1, column: 1 }
    }

    fn span(&self) -> Span {
        Span::Text { line: self.line, column: self.column }
    }

    fn bump(&mut self) {
        match self.rest.next() {
            Some('\n') => (self.line, self.column) = (self.line + 1, 1),
            Some(_) => self.column += 1,
            None => {}
        }
    }

    /// The next character that is no white space.
    fn peek(&mut self) -> Option<char> {
        while let Some(c) = self.rest.clone().next() {
            if !c.is_whitespace() {
                return Some(c);
            }
            self.bump();
        }
        None
    }

    fn skip(&mut self, c: char) -> bool {
        let there = self.peek() == Some(c);
        if there {
            self.bump();
        }
        there
    }

    fn end(&mut self) -> Result<()> {
        if self.peek().is_none() { Ok(()) } else { Err(self.expected("the end")) }
    }

    fn expected(&mut self, what: &str) -> Error {
        let found = match self.peek() {
            None => "the text ends".to_owned(),
            Some(c) if c.is_alphanumeric() => format!("there is `{}`", self.word()),
            Some(c) => format!("there is {c:?}"),
        };
        Error::parse(format!("{what} is expected, {found}")).at(self.span())
    }

    /// What follows up to a separator, shortened; nothing is read.
    fn word(&self) -> String {
        self.rest.as_str().chars().take_while(|c| is_word(*c)).take(40).collect()
    }

    fn array(&mut self, aval: &Aval, what: &str) -> Result<Array> {
        let dims = &aval.shape;
        match aval.dtype {
            Dtype::F32 => self.typed(dims, what, |w| float(w, w.parse::<f32>().ok()?, f32::is_infinite)),
            Dtype::F64 => self.typed(dims, what, |w| float(w, w.parse::<f64>().ok()?, f64::is_infinite)),
            Dtype::F16 => self.typed(dims, what, |w| float(w, f16::from_f32(w.parse().ok()?), f16::is_infinite)),
            Dtype::Bf16 => self.typed(dims, what, |w| float(w, bf16::from_f32(w.parse().ok()?), bf16::is_infinite)),
            Dtype::I32 => self.typed(dims, what, |w| w.parse::<i32>().ok()),
            Dtype::I64 => self.typed(dims, what, |w| w.parse::<i64>().ok()),
            Dtype::U32 => self.typed(dims, what, |w| w.parse::<u32>().ok()),
            Dtype::U8 => self.typed(dims, what, |w| w.parse::<u8>().ok()),
            Dtype::Bool => self.typed(dims, what, |w| w.parse::<bool>().ok()),
        }
    }

    fn typed<T: Element>(&mut self, shape: &Shape, what: &str, read: impl Fn(&str) -> Option<T>) -> Result<Array> {
        let mut data = Vec::new();
        self.nested(shape, 0, what, &read, &mut data)?;
        Array::from_vec(data, shape.clone())
    }

    /// The list along an axis; no deeper than the shape has axes.
    fn nested<T: Element>(
        &mut self,
        shape: &Shape,
        axis: usize,
        what: &str,
        read: &impl Fn(&str) -> Option<T>,
        data: &mut Vec<T>,
    ) -> Result<()> {
        let full = || format!("{what} is {}{shape}", T::DTYPE);
        self.peek();
        let start = self.span();
        let Some(n) = shape.get(axis).copied() else {
            if self.peek() == Some('[') {
                return Err(Error::shape(format!("{}: no list belongs here", full())).at(self.span()));
            }
            data.push(self.scalar(what, read)?);
            return Ok(());
        };
        if !self.skip('[') {
            let found = self.expected("a list").report().message.clone();
            return Err(Error::shape(format!("{}: {found}", full())).at(self.span()));
        }
        let mut count = 0;
        while self.peek() != Some(']') {
            if count > 0 && !self.skip(',') {
                return Err(self.expected("`,` or `]`"));
            }
            if count == n {
                return Err(Error::shape(format!("{}: the list for axis {axis} is longer than {n}", full())).at(start));
            }
            self.nested(shape, axis + 1, what, read, data)?;
            count += 1;
        }
        self.bump();
        // `[]` stands for anything that has no elements.
        if count != n && !(count == 0 && shape[axis..].contains(&0)) {
            let m = format!(
                "{}: the list for axis {axis} has {count} element{}, not {n}",
                full(),
                if count == 1 { "" } else { "s" }
            );
            return Err(Error::shape(m).at(start));
        }
        Ok(())
    }

    fn scalar<T: Element>(&mut self, what: &str, read: &impl Fn(&str) -> Option<T>) -> Result<T> {
        let quoted = self.skip('"');
        let text = self.rest.as_str();
        let word = &text[..text.find(|c| !is_word(c)).unwrap_or(text.len())];
        let kind = match T::DTYPE {
            Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => "a number, `nan` or `inf`",
            Dtype::I32 => "an integer of 32 bits",
            Dtype::I64 => "an integer of 64 bits",
            Dtype::U32 => "an integer from 0 to 4294967295",
            Dtype::U8 => "an integer from 0 to 255",
            Dtype::Bool => "`true` or `false`",
        };
        let Some(value) = (!word.is_empty()).then(|| read(word)).flatten() else {
            if word.is_empty() {
                return Err(self.expected(kind));
            }
            let m = format!("{what} is {}: `{}` is not {kind}", T::DTYPE, self.word());
            return Err(Error::dtype(m).at(self.span()));
        };
        word.chars().for_each(|_| self.bump());
        if quoted && !self.skip('"') {
            return Err(self.expected("`\"`"));
        }
        Ok(value)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '+' | '-' | '.' | '_')
}

/// The number, unless it is infinite and was written in digits.
fn float<T: Copy>(word: &str, value: T, infinite: impl Fn(T) -> bool) -> Option<T> {
    (!infinite(value) || !word.contains(|c: char| c.is_ascii_digit())).then_some(value)
}

/// An array as nested lists.
pub(crate) struct Nested<'a> {
    pub(crate) array: &'a Array,
    /// Whether what JSON has no number for is put in quotes.
    pub(crate) json: bool,
}

impl fmt::Display for Nested<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shape = self.array.shape();
        if shape.size() == 0 {
            return empty(f, shape);
        }
        // The extents of the lists that open before, and close after, an element.
        let blocks: Vec<usize> = shape.strides().iter().zip(shape.iter()).map(|(s, n)| s * n).collect();
        for i in 0..shape.size() {
            f.write_str(if i > 0 { ", " } else { "" })?;
            blocks.iter().filter(|b| i % **b == 0).try_for_each(|_| f.write_char('['))?;
            let literal = self.array.literal(i);
            let quote = if self.json && !literal.to_f64().is_finite() { "\"" } else { "" };
            write!(f, "{quote}{literal}{quote}")?;
            blocks.iter().filter(|b| (i + 1) % **b == 0).try_for_each(|_| f.write_char(']'))?;
        }
        Ok(())
    }
}

/// An array without elements: lists down to the first axis of length 0.
fn empty(f: &mut fmt::Formatter<'_>, shape: &[usize]) -> fmt::Result {
    f.write_char('[')?;
    let n = shape.first().copied().unwrap_or(0);
    // Axes before the empty one may be long; the type says how long.
    if n == 1 {
        empty(f, &shape[1..])?;
    }
    f.write_char(']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, dtype: Dtype, shape: &[usize]) -> Result<String> {
        let array = parse(text, &Aval::new(dtype, shape), "it")?;
        Ok(Nested { array: &array, json: false }.to_string())
    }

    #[test]
    fn reads_what_it_prints() {
        for (text, dtype, shape) in [
            ("[[1.0, 2.5], [nan, -inf]]", Dtype::F32, &[2, 2][..]),
            ("0.1", Dtype::F32, &[]),
            ("[[[1], [-2147483648]]]", Dtype::I32, &[1, 2, 1]),
            ("[-9223372036854775808, 9007199254740993]", Dtype::I64, &[2]),
            ("[0, 4294967295]", Dtype::U32, &[2]),
            ("[[0], [255]]", Dtype::U8, &[2, 1]),
            ("[true, false]", Dtype::Bool, &[2]),
            ("[1e300, -0.0]", Dtype::F64, &[2]),
            ("[0.1, -65500.0, 6e-8, nan]", Dtype::F16, &[4]),
            ("[0.1, 3.39e38, -0.0, inf]", Dtype::Bf16, &[4]),
            ("[]", Dtype::F32, &[0]),
            ("[[]]", Dtype::F32, &[1, 0]),
        ] {
            assert_eq!(read(text, dtype, shape).unwrap(), text);
        }
        assert_eq!(read(" [ 1,\n\t\"NaN\" , +Infinity ]\n", Dtype::F32, &[3]).unwrap(), "[1.0, nan, inf]");
        assert_eq!(read("[]", Dtype::F32, &[3, 0]).unwrap(), "[]");
        assert_eq!(read("[[],[],[]]", Dtype::F32, &[3, 0]).unwrap(), "[]");
        let array = Array::from(f32::NAN);
        assert_eq!(Nested { array: &array, json: true }.to_string(), "\"nan\"");
    }

    #[test]
    fn says_what_is_wrong() {
        let wrong = |text: &str, dtype, shape: &[usize], expect: &str| {
            let e = read(text, dtype, shape).unwrap_err().to_string();
            assert!(e.contains(expect), "{text}: {e}");
        };
        wrong(
            "[1, 2]",
            Dtype::F32,
            &[3],
            "it is f32[3]: the list for axis 0 has 2 elements, not 3\n  --> line 1, column 1",
        );
        wrong("[1, 2, 3, 4]", Dtype::F32, &[3], "longer than 3");
        wrong("[[1], [2, 3]]", Dtype::F32, &[2, 1], "the list for axis 1 is longer than 1\n  --> line 1, column 7");
        wrong("1", Dtype::F32, &[1], "a list is expected, there is `1`");
        wrong("[1]", Dtype::F32, &[], "no list belongs here");
        wrong(&"[".repeat(100_000), Dtype::F32, &[1, 1], "no list belongs here");
        wrong("1.5", Dtype::I32, &[], "it is i32: `1.5` is not an integer of 32 bits");
        wrong("2147483648", Dtype::I32, &[], "not an integer");
        wrong("9223372036854775808", Dtype::I64, &[], "not an integer of 64 bits");
        wrong("-1", Dtype::U32, &[], "not an integer from 0 to 4294967295");
        wrong("256", Dtype::U8, &[], "`256` is not an integer from 0 to 255");
        wrong("1", Dtype::Bool, &[], "`1` is not `true` or `false`");
        wrong("1e39", Dtype::F32, &[], "`1e39` is not a number");
        wrong("65520", Dtype::F16, &[], "`65520` is not a number");
        wrong("1 2", Dtype::F32, &[], "the end is expected, there is `2`");
        wrong("", Dtype::F32, &[], "the text ends");
        wrong("[1, 2", Dtype::F32, &[2], "`,` or `]` is expected, the text ends");
        wrong("[1,\n 2 x]", Dtype::F32, &[3], "`,` or `]` is expected, there is `x`\n  --> line 2, column 4");
        wrong("\"1", Dtype::F32, &[], "`\"` is expected");
        wrong("{}", Dtype::F32, &[], "there is '{'");
        let list = |text: &str| {
            parse_list(text, &[Aval::new(Dtype::F32, []), Aval::new(Dtype::F32, [1])], |i| format!("input {i}"))
        };
        assert_eq!(list("[1, [2]]").unwrap().len(), 2);
        assert!(list("[1]").unwrap_err().to_string().contains("this one has 1"));
        assert!(list("[]").unwrap_err().to_string().contains("this one has 0"));
        assert!(list("[1, [2], 3]").unwrap_err().to_string().contains("this one has more"));
        assert!(list("[1, 2]").unwrap_err().to_string().contains("input 1 is f32[1]: a list is expected"));
        assert!(list("{\"x\": 1}").unwrap_err().to_string().contains("a list of 2 inputs"));
    }
}
