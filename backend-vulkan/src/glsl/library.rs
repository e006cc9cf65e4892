//! The functions that GLSL lacks or leaves loose, of `functions/`, and what each of them needs.
//!
//! They are written for `double`; those for `float` and for what all numbers have are the same text with
//! other types. Bytes are computed with as `uint`, and floats of 16 bits are moved as such.
//! Paragraphs of a file are its definitions; a shader gets the ones that it uses.

use egrad_ir::{Dtype, Unary, elementary};
use hashbrown::HashMap;
use std::sync::LazyLock;

const DOUBLE: &str = include_str!("functions/double.glsl");
const FLOAT: &str = include_str!("functions/float.glsl");
const SHORT: &str = include_str!("functions/short.glsl");
const INT: &str = include_str!("functions/int.glsl");
const LONG: &str = include_str!("functions/long.glsl");
const UNSIGNED: &str = include_str!("functions/unsigned.glsl");
const ANY_FLOAT: [&str; 7] = [
    include_str!("functions/primitives.glsl"),
    include_str!("functions/exponential.glsl"),
    include_str!("functions/logarithm.glsl"),
    include_str!("functions/trigonometry.glsl"),
    include_str!("functions/power.glsl"),
    include_str!("functions/arc.glsl"),
    include_str!("functions/error.glsl"),
];
const ANY: &str = include_str!("functions/team.glsl");

/// The function that an elementary function is.
pub(super) fn elementary(op: Unary) -> String {
    format!("accurate_{}", op.name())
}

// Each of them has one, or else compiling stops here.
const _: () = {
    let mut i = 0;
    while i < Unary::ALL.len() {
        if matches!(Unary::ALL[i], elementary!()) && !is_defined(Unary::ALL[i].name()) {
            panic!("{}", Unary::ALL[i].name()); // has no `double accurate_…(double …)` in functions/*.glsl
        }
        i += 1;
    }
};

/// Whether a file has a line `double accurate_…(double …)` for that name.
const fn is_defined(name: &str) -> bool {
    let mut file = 0;
    while file < ANY_FLOAT.len() {
        let (text, mut at) = (ANY_FLOAT[file].as_bytes(), 0);
        while at < text.len() {
            if (at == 0 || text[at - 1] == b'\n') && begins(text, at, ["double accurate_", name, "(double "]) {
                return true;
            }
            at += 1;
        }
        file += 1;
    }
    false
}

/// Whether these words stand at a position of the text.
const fn begins(text: &[u8], mut at: usize, words: [&str; 3]) -> bool {
    let mut i = 0;
    while i < words.len() {
        let (word, mut j) = (words[i].as_bytes(), 0);
        while j < word.len() {
            if at == text.len() || text[at] != word[j] {
                return false;
            }
            (j, at) = (j + 1, at + 1);
        }
        i += 1;
    }
    true
}

/// Marks loops that must not stay loops: llvmpipe stops an invocation after so many iterations of
/// all its loops together.
pub(super) const UNROLL: &str = "[[unroll]]";

/// The definitions for one element type.
struct Library {
    paragraphs: Vec<String>,
    /// The paragraph that defines a name.
    by_name: HashMap<String, usize>,
}

static OF_F32: LazyLock<Library> = LazyLock::new(|| Library::new(Dtype::F32));
static OF_F64: LazyLock<Library> = LazyLock::new(|| Library::new(Dtype::F64));
static OF_I32: LazyLock<Library> = LazyLock::new(|| Library::new(Dtype::I32));
static OF_I64: LazyLock<Library> = LazyLock::new(|| Library::new(Dtype::I64));
static OF_U32: LazyLock<Library> = LazyLock::new(|| Library::new(Dtype::U32));

/// The definitions a shader includes, in an order that it can be read in.
#[derive(Default)]
pub(super) struct Included {
    paragraphs: Vec<&'static str>,
}

impl Included {
    /// Includes a function for numbers of that type, and what it needs.
    ///
    /// # Panics
    /// If there is none.
    pub(super) fn function(&mut self, dtype: Dtype, name: &str) {
        let library = match dtype {
            Dtype::F32 => &*OF_F32,
            Dtype::F64 => &*OF_F64,
            Dtype::I32 | Dtype::Bool => &*OF_I32,
            Dtype::I64 => &*OF_I64,
            Dtype::U32 | Dtype::U8 | Dtype::F16 | Dtype::Bf16 => &*OF_U32,
        };
        let at = library.by_name.get(name).unwrap_or_else(|| panic!("no function `{name}` for {dtype}"));
        self.paragraph(library, *at);
    }

    fn paragraph(&mut self, library: &'static Library, at: usize) {
        let text = library.paragraphs[at].as_str();
        if self.paragraphs.contains(&text) {
            return;
        }
        let needs = identifiers(text).filter_map(|name| library.by_name.get(name));
        for other in needs.filter(|other| **other != at) {
            self.paragraph(library, *other);
        }
        self.paragraphs.push(text);
    }

    /// Whether a definition has loops that must not stay loops.
    pub(super) fn unrolls(&self) -> bool {
        self.paragraphs.iter().any(|p| p.contains(UNROLL))
    }

    /// The definitions, for teams of so many invocations, each after an empty line.
    pub(super) fn text(&self, team: u32) -> String {
        let mut text = String::new();
        if self.paragraphs.iter().any(|p| identifiers(p).any(|name| name == "TEAM")) {
            text += &format!("\nconst uint TEAM = {team};\n");
        }
        for paragraph in &self.paragraphs {
            text += &format!("\n{paragraph}\n");
        }
        text
    }
}

impl Library {
    fn new(dtype: Dtype) -> Library {
        let common = ANY_FLOAT.iter().map(|file| typed(file, dtype));
        let files: Vec<String> = match dtype {
            Dtype::F64 => [DOUBLE.into()].into_iter().chain(common).collect(),
            Dtype::F32 => [FLOAT.into(), SHORT.into()].into_iter().chain(common).collect(),
            Dtype::I32 | Dtype::Bool => vec![INT.into()],
            Dtype::I64 => vec![LONG.into()],
            Dtype::U32 | Dtype::U8 | Dtype::F16 | Dtype::Bf16 => vec![UNSIGNED.into()],
        };
        let files = files.into_iter().chain([typed(ANY, dtype)]);
        let paragraphs: Vec<String> =
            files.flat_map(|f| f.trim_end().split("\n\n").map(str::to_owned).collect::<Vec<_>>()).collect();
        let names = |(at, text): (usize, &String)| defined(text).map(|name| (name.to_owned(), at)).collect::<Vec<_>>();
        let by_name = paragraphs.iter().enumerate().flat_map(names).collect();
        Library { paragraphs, by_name }
    }
}

/// A text for doubles, for another type.
pub(super) fn typed(text: &str, dtype: Dtype) -> String {
    let (name, suffix) = match dtype {
        Dtype::F64 => return text.to_owned(),
        Dtype::F32 => ("float", "_32"),
        Dtype::I32 | Dtype::Bool => ("int", "_int"),
        Dtype::I64 => ("int64_t", "_long"),
        Dtype::U32 | Dtype::U8 | Dtype::F16 | Dtype::Bf16 => ("uint", "_uint"),
    };
    let mut text = text.replace("double", name).replace("_64", suffix);
    for digit in '0'..='9' {
        text = text.replace(&format!("{digit}lf"), &digit.to_string());
    }
    text
}

/// The names a paragraph defines.
fn defined(paragraph: &str) -> impl Iterator<Item = &str> {
    let definitions = paragraph.lines().filter(|l| l.starts_with(|c: char| c.is_ascii_alphabetic()));
    definitions.filter_map(|line| match line.strip_prefix("struct ") {
        Some(rest) => rest.split_whitespace().next(),
        None => line.split(['(', '[', '=']).next()?.split_whitespace().last(),
    })
}

/// The identifiers of a text, comments aside.
fn identifiers(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().map(|l| l.split("//").next().unwrap_or_default());
    code.flat_map(|l| l.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
}
