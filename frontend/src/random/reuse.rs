//! The report of keys that are used twice.

use crate::tensor::Tensor;
use crate::trace;
use egrad_ir::{Literal, Span};
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

/// What makes a word the same word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Identity {
    /// A value of a frame.
    Value(u64, egrad_ir::NodeId),
    /// A constant.
    Constant(Literal),
}

/// A key's use.
struct Use {
    by: &'static str,
    at: Span,
    /// The functions being traced, outermost first.
    frames: SmallVec<[u64; 4]>,
}

thread_local! {
    /// The uses of the trace whose outermost frame has that number.
    static USES: RefCell<(u64, HashMap<[Identity; 2], Use>)> = RefCell::new((0, HashMap::new()));
}

/// Notes the use of a key, and reports one that was used before, in debug builds.
///
/// Functions that lie in no other one of them may be branches, of which only one runs: uses in two
/// such are left alone.
pub(super) fn note(words: [Tensor; 2], by: &'static str, at: Span) {
    if !cfg!(debug_assertions) {
        return;
    }
    let frames = trace::frames();
    let Some(outermost) = frames.first().copied() else { return };
    let key = words.map(|t| match trace::constant_of(t) {
        Some(literal) => Identity::Constant(literal),
        None => Identity::Value(t.frame, t.node),
    });
    USES.with_borrow_mut(|(of, uses)| {
        if *of != outermost {
            *of = outermost;
            uses.clear();
        }
        match uses.get(&key) {
            Some(first) if frames.starts_with(&first.frames) || first.frames.starts_with(&frames) => {
                report(first, by, at);
            }
            Some(_) => {}
            None => {
                uses.insert(key, Use { by, at, frames });
            }
        }
    });
}

/// Says so, once for each pair of lines.
fn report(first: &Use, by: &'static str, at: Span) {
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let text = format!(
        "egrad: the key that `{by}` uses at {at} was used before by `{}` at {}, so the two don't give independent \
         numbers: `random::split` makes a key for each",
        first.by, first.at
    );
    let mut said = SAID.lock().unwrap_or_else(PoisonError::into_inner);
    if !said.contains(&text) {
        // Whoever closed standard error doesn't want to know.
        let _ = writeln!(io::stderr(), "{text}");
        said.push(text);
    }
}
