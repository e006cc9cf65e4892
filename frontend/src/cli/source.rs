//! Where programs come from: a file, or one of the built-in programs.

use super::{Failure, programs};
use egrad::{Error, Program, Span};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The longest text that is read.
const LONGEST: u64 = 64 << 20;

/// A program and what to call it.
pub(crate) struct Source {
    /// The built-in's name, or the file's path as it was given.
    pub(crate) name: String,
    pub(crate) program: Program,
}

impl Source {
    /// The program in a file.
    pub(crate) fn file(path: &Path) -> Result<Source, Failure> {
        let name = path.display().to_string();
        let text = read(path)?;
        match Program::parse(&text) {
            Ok(program) => Ok(Source { name, program }),
            Err(e) => Err(Failure::In(name, e)),
        }
    }

    /// The built-in program of that name, else the program in a file.
    pub(crate) fn named(what: &str) -> Result<Source, Failure> {
        if let Some(builtin) = programs::find(what) {
            let program = (builtin.trace)()?;
            return Ok(Source { name: what.to_owned(), program });
        }
        let path = Path::new(what);
        // A bare word was meant as a name.
        if !path.exists() && !what.contains(['/', '\\', '.']) {
            let names: Vec<&str> = programs::ALL.iter().map(|p| p.name).collect();
            let why = format!(
                "there is no such file, and no built-in program of that name; built in are {}",
                names.join(", ")
            );
            return Err(Failure::Unusable(what.to_owned(), why));
        }
        Source::file(path)
    }

    /// The error, placed in this source if it has a place in a text.
    pub(crate) fn blame(&self, e: Error) -> Failure {
        match e.report().at {
            Span::Text { .. } => Failure::In(self.name.clone(), e),
            Span::Unknown | Span::Rust(_) => Failure::Error(e),
        }
    }
}

/// A file's text.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let fail = |why: String| Failure::Unusable(path.display().to_string(), why);
    let unreadable = |e: std::io::Error| fail(format!("the file can't be read: {e}"));
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > LONGEST {
        return Err(fail(format!("the file is longer than {} MiB, the most that is read", LONGEST >> 20)));
    }
    String::from_utf8(bytes).map_err(|e| {
        let good = String::from_utf8_lossy(&e.as_bytes()[..e.utf8_error().valid_up_to()]);
        let line = good.matches('\n').count() + 1;
        let column = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let at = Span::Text { line: line as u32, column: column as u32 };
        let byte = e.as_bytes()[e.utf8_error().valid_up_to()];
        let m = format!("the file is not UTF-8 text: byte {byte:#04x} begins no character");
        Failure::In(path.display().to_string(), Error::parse(m).at(at))
    })
}
