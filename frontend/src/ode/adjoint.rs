//! The derivative in reverse mode: the adjoint equation, backwards in time.
//!
//! Along with y, backwards, go its cotangent a, whose equation is da/dt = −a · ∂f/∂y, and the
//! cotangents of the first time and of the arguments, which gather a · ∂f/∂t and a · ∂f/∂args.

use super::{Field, Pieces, Tolerance, integrate};
use crate::tensor::{Tensor, concatenate, zeros, zeros_like};
use crate::transform::{ScanOptions, scan_with, vjp};
use std::rc::Rc;

/// The cotangents of the first y, of the times and of the arguments, of those `g` of `ys`.
pub(super) fn pull(
    field: &Field,
    ys: Tensor,
    ts: Tensor,
    args: Vec<Tensor>,
    g: Tensor,
    tolerance: Tolerance,
) -> (Tensor, Tensor, Vec<Tensor>) {
    let (dtype, count) = (ts.dtype(), ts.shape()[0]);
    let floats: Vec<Tensor> = args.iter().copied().filter(|a| a.dtype().is_float()).collect();
    let (y, t) = (ys.slice_axis(0, 0, 1).squeeze(0), zeros([], dtype));
    let parts = Pieces::of(&[&[y, y, t][..], &floats].concat());
    let backwards = backwards(field, parts.clone(), &args);

    let back = {
        let (field, args) = (Rc::clone(field), args.clone());
        move |(a, gathered): (Tensor, Vec<Tensor>), [y, g, g_before, t, t_before]: [Tensor; 5]| {
            // What moving this time does.
            let moved = (field(y, t, &args) * g).sum();
            let state = [&[y, a, gathered[0] - moved][..], &gathered[1..]].concat();
            let span = concatenate([(-t).expand_dims(0), (-t_before).expand_dims(0)], 0);
            let (states, _) = integrate(&backwards, Pieces::join(&state, dtype), span, &args, tolerance);
            let state = parts.split(states.slice_axis(0, 1, 2).squeeze(0));
            ((state[1] + g_before, state[2..].to_vec()), moved)
        }
    };
    let (after, until) = (|x: Tensor| x.slice_axis(0, 1, count), |x: Tensor| x.slice_axis(0, 0, count - 1));
    let last = g.slice_axis(0, count - 1, count).squeeze(0);
    let nothing: Vec<Tensor> = [t].iter().chain(&floats).map(|x| zeros_like(*x)).collect();
    let steps = [after(ys), after(g), until(g), after(ts), until(ts)];
    let reverse = ScanOptions { reverse: true, ..ScanOptions::default() };
    let ((a, gathered), moved) = scan_with(back, (last, nothing), steps, reverse);

    let mut of_floats = gathered[1..].iter().copied();
    let of_args = args.iter().map(|x| if x.dtype().is_float() { of_floats.next() } else { None });
    let of_args = of_args.zip(&args).map(|(g, x)| g.unwrap_or_else(|| zeros_like(*x))).collect();
    (a, concatenate([gathered[0].expand_dims(0), moved], 0), of_args)
}

/// The equation of y and of all cotangents, by −t.
fn backwards(field: &Field, parts: Pieces, args: &[Tensor]) -> Field {
    let is_float: Vec<bool> = args.iter().map(|a| a.dtype().is_float()).collect();
    let field = Rc::clone(field);
    Rc::new(move |state: Tensor, s: Tensor, args: &[Tensor]| {
        let state_of = parts.split(state);
        let (y, a) = (state_of[0], state_of[1]);
        let field = Rc::clone(&field);
        let forward = move |y: Tensor, t: Tensor, args: Vec<Tensor>| field(y, t, &args);
        let (slope, (of_y, of_t, of_args)) = vjp(forward)((y, -s, args.to_vec()), a);
        let of_args = of_args.into_iter().zip(&is_float).filter(|(_, float)| **float).map(|(g, _)| g);
        let all: Vec<Tensor> = [-slope, of_y, of_t].into_iter().chain(of_args).collect();
        Pieces::join(&all, state.dtype())
    })
}
