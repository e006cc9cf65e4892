//! What every e-node means, computed: primitives by the interpreter, `pull` and `push` by central
//! differences, `batch` by a loop. A class whose e-nodes mean different things exposes a wrong rule.

use super::{Random, close, same_bits, slice, stack};
use egg::{Id, Language};
use egrad_ir::eval::{Elementary, eval_op};
use egrad_ir::{Array, Aval, Dtype, Op};
use egrad_rewrite::analysis::{EGraph, operation};
use egrad_rewrite::term::{Head, Prim, Term};
use std::collections::HashMap;

/// How closely the e-nodes of a class must agree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Agreement {
    /// The same bits.
    Bits,
    /// Relative to the largest entry; NaN and infinities at the same places.
    Within(f64),
}

impl Agreement {
    fn holds(self, a: &Array, b: &Array) -> bool {
        match self {
            Agreement::Bits => same_bits(a, b),
            Agreement::Within(tolerance) => close(a, b, tolerance),
        }
    }
}

/// The step of differences.
const H: f64 = 1e-6;

/// Whether values at `x + h`, `x` and `x − h` lie on a line, but for rounding and curvature: at a
/// kink or a tie, differences say nothing about a convention.
pub fn smooth(plus: &[f64], zero: &[f64], minus: &[f64]) -> bool {
    let bend = |((p, z), m): ((&f64, &f64), &f64)| (p - 2.0 * z + m).abs() <= 1e-8 * (1.0 + z.abs());
    plus.iter().zip(zero).zip(minus).all(bend)
}

/// What comes of a term whose arguments have these values.
fn denote(egraph: &EGraph, term: &Term, values: &HashMap<Id, Array>, inputs: &[Array]) -> Option<Array> {
    let value = |id: &Id| values.get(&egraph.find(*id));
    let operands: Vec<&Array> = term.operands().iter().map(value).collect::<Option<_>>()?;
    let op = |prim: Prim| operation(egraph, prim, term.attrs()).unwrap();
    let apply = |op: &Op, args: &[&Array]| eval_op(op, args, Elementary::Shared).unwrap();
    Some(match term.head {
        Head::Param(i) => inputs[i as usize].clone(),
        Head::Prim(prim) => apply(&op(prim), &operands),
        Head::Pull(prim, k) => {
            let (k, op, c) = (usize::from(k), op(prim), operands[prim.arity() + 1].to_f64());
            let along = |j: usize, h: f64| -> Vec<f64> {
                let mut data = operands[k].to_f64();
                data[j] += h;
                let moved = Array::from_f64(operands[k].dtype(), &data, operands[k].shape().clone()).unwrap();
                let mut args = operands[..prim.arity()].to_vec();
                args[k] = &moved;
                eval_op(&op, &args, Elementary::Std).unwrap().to_f64()
            };
            let mut gradient = Vec::new();
            for j in 0..operands[k].shape().size() {
                let (p, z, m) = (along(j, H), along(j, 0.0), along(j, -H));
                if !smooth(&p, &z, &m) {
                    return None;
                }
                gradient.push(p.iter().zip(&m).zip(&c).map(|((p, m), c)| (p - m) / (2.0 * H) * c).sum());
            }
            Array::from_f64(operands[k].dtype(), &gradient, operands[k].shape().clone()).unwrap()
        }
        Head::Push(prim, k) => {
            let (k, op, t) = (usize::from(k), op(prim), operands[prim.arity() + 1].to_f64());
            let along = |h: f64| {
                let data: Vec<f64> = operands[k].to_f64().iter().zip(&t).map(|(x, t)| x + h * t).collect();
                let moved = Array::from_f64(operands[k].dtype(), &data, operands[k].shape().clone()).unwrap();
                let mut args = operands[..prim.arity()].to_vec();
                args[k] = &moved;
                eval_op(&op, &args, Elementary::Std).unwrap()
            };
            let (p, m) = (along(H), along(-H));
            if !smooth(&p.to_f64(), &along(0.0).to_f64(), &m.to_f64()) {
                return None;
            }
            let tangent: Vec<f64> = p.to_f64().iter().zip(m.to_f64()).map(|(p, m)| (p - m) / (2.0 * H)).collect();
            Array::from_f64(p.dtype(), &tangent, p.shape().clone()).unwrap()
        }
        Head::Batch(prim, mask) => {
            let op = op(prim);
            let size = (0..prim.arity()).find(|k| mask.get(*k)).map(|k| operands[k].shape()[0]).unwrap();
            let aval = egraph[egraph.lookup(term.clone())?].data.aval()?.clone();
            let element = Aval::new(aval.dtype, &aval.shape[1..]);
            let rows: Vec<Array> = (0..size)
                .map(|row| {
                    let one = |(k, x): (usize, &&Array)| if mask.get(k) { slice(x, 0, row) } else { (*x).clone() };
                    let args: Vec<Array> = operands.iter().enumerate().map(one).collect();
                    apply(&op, &args.iter().collect::<Vec<_>>())
                })
                .collect();
            stack(&element, &rows, 0)
        }
        Head::Attr(_)
        | Head::Call(..)
        | Head::Get(_)
        | Head::Kernel
        | Head::Body
        | Head::Source
        | Head::Load
        | Head::Inline
        | Head::Compute(_)
        | Head::Contract => return None,
    })
}

/// Whether a marker's derivative is said by its rule instead of computed.
fn is_said(term: &Term) -> bool {
    matches!(term.head, Head::Pull(..) | Head::Push(..))
}

/// Evaluates every e-node of every class; the number evaluated, and what disagrees.
pub fn check(egraph: &EGraph, inputs: &[Array], agreement: Agreement) -> (usize, Vec<String>) {
    let mut values: HashMap<Id, Array> = HashMap::new();
    // Classes in rounds, primitives before markers: a class's value is its primitive's.
    for markers in [false, true] {
        loop {
            let before = values.len();
            for class in egraph.classes() {
                if values.contains_key(&class.id) {
                    continue;
                }
                let of_round = |t: &&Term| markers || !t.head.is_marker();
                let value = class.nodes.iter().filter(of_round).find_map(|t| denote(egraph, t, &values, inputs));
                if let Some(value) = value {
                    values.insert(class.id, value);
                }
            }
            if values.len() == before {
                break;
            }
        }
    }
    let (mut count, mut wrong) = (0, Vec::new());
    for class in egraph.classes() {
        let Some(value) = values.get(&class.id) else {
            if class.data.aval().is_some() {
                wrong.push(format!("class {} has no value: {:?}", class.id, class.nodes));
            }
            continue;
        };
        if class.data.aval() != Some(value.aval()) {
            wrong.push(format!("class {} is {:?}, not {}", class.id, class.data, value.aval()));
        }
        for term in &class.nodes {
            let Some(got) = denote(egraph, term, &values, inputs) else { continue };
            count += 1;
            let agreement = if is_said(term) { Agreement::Within(1e-6) } else { agreement };
            if !agreement.holds(&got, value) {
                wrong.push(format!(
                    "`{term}` {:?} is {:?}, its class {:?}",
                    term.children(),
                    got.to_f64(),
                    value.to_f64()
                ));
            }
        }
    }
    (count, wrong)
}

/// Numbers that break rules: zeros of both signs, infinities, NaN, tiny and large ones.
pub fn special(random: &mut Random, aval: &Aval) -> Array {
    if aval.dtype == Dtype::Bool {
        return random.array(aval, 0.0, 1.0);
    }
    let numbers = [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0, -1.0, 0.5, 3.0, 1e-300, -1e200, 1e-45];
    let data: Vec<f64> = (0..aval.shape.size())
        .map(|_| if random.below(3) == 0 { random.between(-2.0, 2.0) } else { numbers[random.below(numbers.len())] })
        .collect();
    Array::from_f64(aval.dtype, &data, aval.shape.clone()).unwrap()
}
