//! What a print says, and where to.

use crate::array::Array;
use crate::error::{Error, Result};
use crate::eval::element;
use crate::shape::Shape;
use std::cell::Cell;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes what is printed, a line (or the lines of one print for one element of a batch) at a time,
/// without the newline at the end.
pub type Sink = Arc<dyn Fn(&str) + Send + Sync>;

static SINK: Mutex<Option<Sink>> = Mutex::new(None);

/// Sends what the programs of this process print to `sink` from now on, to standard error if there is
/// none. Gives the sink before it.
///
/// ```
/// use std::sync::{Arc, Mutex};
/// let lines = Arc::new(Mutex::new(Vec::new()));
/// let to = lines.clone();
/// egrad_ir::print::set_sink(Some(Arc::new(move |line: &str| to.lock().unwrap().push(line.to_owned()))));
/// let x = egrad_ir::Array::from(2.0f32);
/// egrad_ir::print::print("x = {}", &[], &[x]).unwrap();
/// assert_eq!(*lines.lock().unwrap(), ["x = 2.0"]);
/// ```
pub fn set_sink(sink: Option<Sink>) -> Option<Sink> {
    std::mem::replace(&mut *SINK.lock().unwrap_or_else(PoisonError::into_inner), sink)
}

thread_local! {
    static SILENT: Cell<bool> = const { Cell::new(false) };
}

/// Runs `f`, and prints nothing of what this thread would print meanwhile: for what is run again.
///
/// ```
/// let x = egrad_ir::Array::from(2.0f32);
/// egrad_ir::print::silently(|| egrad_ir::print::print("x = {}", &[], &[x])).unwrap();
/// ```
pub fn silently<T>(f: impl FnOnce() -> T) -> T {
    struct Before(bool);
    impl Drop for Before {
        fn drop(&mut self) {
            SILENT.set(self.0);
        }
    }
    let _before = Before(SILENT.replace(true));
    f()
}

/// The texts around the placeholders `{}` of a format, one more than there are placeholders. `{{` and
/// `}}` are braces.
///
/// ```
/// assert_eq!(egrad_ir::print::pieces("{{x}} = {} m").unwrap(), ["{x} = ", " m"]);
/// assert!(egrad_ir::print::pieces("{x}").is_err());
/// ```
///
/// # Errors
/// [`Error::Parse`] if a brace is alone, or there is something in a placeholder.
pub fn pieces(format: &str) -> Result<Vec<String>> {
    let (mut pieces, mut piece) = (Vec::new(), String::new());
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        match (c, c == '{' || c == '}') {
            (c, false) => piece.push(c),
            (c, true) => match chars.next() {
                Some(next) if next == c => piece.push(c),
                Some('}') => pieces.push(std::mem::take(&mut piece)),
                Some(_) | None => {
                    let m = format!("the placeholders of a print are `{{}}`, and braces are doubled: {format:?}");
                    return Err(Error::parse(m));
                }
            },
        }
    }
    pieces.push(piece);
    Ok(pieces)
}

/// Prints the format with these values for its placeholders: once for each index of the levels, which
/// are the leading axes of every value, the last one varying slowest.
///
/// # Errors
/// [`Error::Parse`] if it is no format, [`Error::Shape`] if the values don't fit it or the levels, or
/// memory runs out.
pub fn print(format: &str, levels: &[usize], values: &[Array]) -> Result<()> {
    let pieces = pieces(format)?;
    if values.len() + 1 != pieces.len() || values.iter().any(|x| !x.shape().starts_with(levels)) {
        return Err(Error::shape(format!("a print of {format:?} for each of {levels:?} doesn't fit its operands")));
    }
    let count = levels.iter().product::<usize>();
    if SILENT.get() {
        return Ok(());
    }
    let flat = |x: &Array| x.reshape([&[count], &x.shape()[levels.len()..]].concat());
    let values = values.iter().map(flat).collect::<Result<Vec<Array>>>()?;
    let sink = SINK.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let slowest_first: Vec<usize> = levels.iter().rev().copied().collect();
    for index in Shape::from(&slowest_first[..]).indices() {
        let at = index.iter().rev().zip(levels).fold(0, |at, (i, extent)| at * extent + i);
        let mut text = pieces[0].clone();
        for (x, piece) in values.iter().zip(&pieces[1..]) {
            let x = element(x, at)?;
            let every = x.shape().size() <= MOST;
            show(&mut text, &x, &x.shape()[..], 0, every);
            text.push_str(piece);
        }
        match &sink {
            Some(sink) => sink(&text),
            None => eprintln!("{text}"),
        }
    }
    Ok(())
}

/// Tensors of more elements are shortened.
const MOST: usize = 1000;

/// How many are left at either end of an axis then.
const ENDS: usize = 3;

/// Writes the elements from `first` on that are of this shape, in brackets per axis.
fn show(text: &mut String, x: &Array, shape: &[usize], first: usize, every: bool) {
    let Some((n, rest)) = shape.split_first() else {
        let x = x.literal(first);
        // Writing to a text can't fail.
        let _ = match x.to_f64().is_nan() {
            // Whichever it is.
            true => text.write_str("nan"),
            false => write!(text, "{x}"),
        };
        return;
    };
    let inner = rest.iter().product::<usize>();
    let all = every || *n <= 2 * ENDS;
    text.push('[');
    for i in (0..*n).filter(|i| all || *i < ENDS || *i >= n - ENDS) {
        if i > 0 {
            text.push_str(if !all && i == n - ENDS { ", …, " } else { ", " });
        }
        show(text, x, rest, first + i * inner, every);
    }
    text.push(']');
}
