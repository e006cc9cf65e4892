//! The one error type, with the places a user needs to see.

use std::fmt;
use std::panic::Location;

/// Where something was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Span {
    /// Not known: made by the compiler itself.
    #[default]
    Unknown,
    /// A line of the user's Rust program.
    Rust(&'static Location<'static>),
    /// A place in a program's text.
    Text {
        /// Line, from 1.
        line: u32,
        /// Column, from 1.
        column: u32,
    },
}

impl Span {
    /// The caller's line.
    #[track_caller]
    pub fn here() -> Span {
        Span::Rust(Location::caller())
    }

    /// This span, or the other where this one is unknown.
    pub fn or(self, other: Span) -> Span {
        if self == Span::Unknown { other } else { self }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Span::Unknown => f.write_str("unknown place"),
            Span::Rust(l) => write!(f, "{}:{}:{}", l.file(), l.line(), l.column()),
            Span::Text { line, column } => write!(f, "line {line}, column {column}"),
        }
    }
}

/// What an error says: one sentence, the place it is about, and further places that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is wrong and what to change, without a full stop.
    pub message: String,
    /// The line that is wrong.
    pub at: Span,
    /// Other places, each with what it shows ("`the left operand, f32[3], was made here`").
    pub notes: Vec<(String, Span)>,
}

/// Everything that can go wrong in egrad. Each kind carries a [`Report`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// Shapes or ranks that don't fit.
    Shape(Box<Report>),
    /// An element type the operation doesn't take.
    Dtype(Box<Report>),
    /// An axis out of range, repeated, or of the wrong length.
    Axis(Box<Report>),
    /// Trees, argument counts or other structure that don't match.
    Tree(Box<Report>),
    /// A value used outside of the trace it belongs to.
    Trace(Box<Report>),
    /// A transform for which a primitive has no rule.
    MissingRule(Box<Report>),
    /// No such device, or one that lacks a feature or failed.
    Device(Box<Report>),
    /// Memory that couldn't be had.
    Memory(Box<Report>),
    /// Text that is no program, or a file that couldn't be read.
    Parse(Box<Report>),
    /// Numbers that aren't what they should be: a NaN that was looked for, a wrong derivative.
    Numeric(Box<Report>),
    /// The compiler broke one of its own invariants: a bug in egrad.
    Internal(Box<Report>),
}

/// A result whose error is egrad's.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident = $Kind:ident;)*) => {
        impl Error {
            $($(#[$doc])*
            pub fn $name(message: impl Into<String>) -> Error {
                Error::$Kind(Box::new(Report { message: message.into(), at: Span::Unknown, notes: Vec::new() }))
            })*

            /// The report inside.
            pub fn report(&self) -> &Report {
                match self { $(Error::$Kind(r) => r,)* }
            }

            fn report_mut(&mut self) -> &mut Report {
                match self { $(Error::$Kind(r) => r,)* }
            }

            /// The kind's name, as in `shape error`.
            pub fn kind(&self) -> &'static str {
                match self { $(Error::$Kind(_) => stringify!($name),)* }
            }
        }
    };
}
constructors! {
    /// A [`Error::Shape`] with this message.
    shape = Shape;
    /// A [`Error::Dtype`] with this message.
    dtype = Dtype;
    /// A [`Error::Axis`] with this message.
    axis = Axis;
    /// A [`Error::Tree`] with this message.
    tree = Tree;
    /// A [`Error::Trace`] with this message.
    trace = Trace;
    /// A [`Error::MissingRule`] with this message.
    missing_rule = MissingRule;
    /// A [`Error::Device`] with this message.
    device = Device;
    /// A [`Error::Memory`] with this message.
    memory = Memory;
    /// A [`Error::Parse`] with this message.
    parse = Parse;
    /// A [`Error::Numeric`] with this message.
    numeric = Numeric;
    /// A [`Error::Internal`] with this message.
    internal = Internal;
}

impl Error {
    /// The error placed at `span`, unless it already has a place.
    #[must_use]
    pub fn at(mut self, span: Span) -> Error {
        let report = self.report_mut();
        report.at = report.at.or(span);
        self
    }

    /// The error with one more place; unknown places are left out.
    #[must_use]
    pub fn note(mut self, what: impl Into<String>, span: Span) -> Error {
        if span != Span::Unknown {
            self.report_mut().notes.push((what.into(), span));
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.report();
        write!(f, "{} error: {}", self.kind().replace('_', " "), r.message)?;
        if r.at != Span::Unknown {
            write!(f, "\n  --> {}", r.at)?;
        }
        for (what, span) in &r.notes {
            write!(f, "\n  note: {what}\n    --> {span}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
