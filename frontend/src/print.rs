//! Printing from compiled programs.

use crate::tree::{Flat, Traced};
use crate::{raise, trace};
use egrad_ir::{Error, Span};

/// Prints tensors when the program runs: the format with a tensor for each placeholder `{}`. `tensors`
/// is a tree of them, such as a tuple, taken leaf by leaf; `{{` and `}}` are braces.
///
/// ```
/// use egrad::{Array, Tensor, debug_print, grad, jit, set_print_sink};
/// use std::sync::{Arc, Mutex};
/// let lines = Arc::new(Mutex::new(Vec::new()));
/// let to = lines.clone();
/// set_print_sink(Some(Arc::new(move |line: &str| to.lock().unwrap().push(line.to_owned()))));
///
/// let f = |x: Tensor| {
///     let y = x.sin();
///     debug_print("x = {}, y = {}", (x, y));
///     y * y
/// };
/// jit(grad(f))(&Array::from(0.0f32)).unwrap();
/// assert_eq!(*lines.lock().unwrap(), ["x = 0.0, y = 0.0"]);
/// ```
///
/// Lines go to standard error, or where [`set_print_sink`](crate::set_print_sink) says, in the order of
/// the program, and none is left out, also if nothing else is done with the tensors:
///
/// * a loop prints in every step, a branch if it is taken;
/// * mapped by [`vmap`](crate::vmap) a print prints once for each element, in order; under nested ones
///   the inner one's elements vary slowest. If elements share all that is printed, it is printed once.
///   Where the elements of a batch take different branches, all branches run and print, for all of
///   them (branches of equal prints print once), and a `while_loop` prints for all as long as one goes
///   on;
/// * in a derivative it prints once, when the function itself is computed, the function's values. A
///   [`checkpoint`](crate::checkpoint()) prints what it computes again at most once more.
///
/// On the CPU and the interpreter; on Vulkan a program that prints is [`Error::Device`] before anything
/// runs.
///
/// # Errors and panics
/// As operators do ([`Tensor`](crate::Tensor)): [`Error::Parse`] if the format is none,
/// [`Error::Tree`] if it has another number of placeholders than there are tensors; [`Error::Trace`] if
/// it is in the condition of a [`while_loop`](crate::while_loop), or in a function with a derivative of
/// its own ([`custom_jvp`](crate::custom_jvp()), [`custom_vjp`](crate::custom_vjp())).
#[track_caller]
pub fn debug_print<T: Traced>(format: &str, tensors: T) {
    let span = Span::here();
    let leaves: Vec<_> = Flat::of(&tensors).leaves.iter().map(|t| **t).collect();
    let placeholders = match egrad_ir::print::pieces(format) {
        Ok(pieces) => pieces.len() - 1,
        Err(e) => raise::throw(Error::parse(format!("`debug_print`: {}", e.report().message)).at(span)),
    };
    if placeholders != leaves.len() {
        let m = format!("`debug_print` of {} tensors with {placeholders} placeholders: {format:?}", leaves.len());
        raise::throw(Error::tree(m).at(span));
    }
    trace::print(format, &leaves, span);
}

/// [`debug_print`](crate::debug_print()) of any number of tensors.
///
/// ```
/// use egrad::{Array, Tensor, debug_print, jit};
/// let f = jit(|x: Tensor| {
///     debug_print!("x = {}, twice that is {}", x, 2.0 * x);
///     x
/// });
/// f(&Array::from(1.0f32)).unwrap();
/// ```
#[macro_export]
macro_rules! debug_print {
    ($format:expr $(, $tensor:expr)* $(,)?) => {
        $crate::debug_print($format, ::std::vec::Vec::<$crate::Tensor>::from([$($tensor),*]))
    };
}
