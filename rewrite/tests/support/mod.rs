//! What the tests of this package share: building functions, random values, and slow reference
//! implementations of the transforms by differences and loops.
#![allow(dead_code, unreachable_pub)] // each test file uses a part

pub mod denote;
pub mod programs;
pub mod samples;

use egrad_ir::eval::{Elementary, eval};
use egrad_ir::{Array, Aval, Dtype, Function, Literal, NodeId, Op, Program, Shape, Span, Transform};

/// A function of parameters of these avals.
#[track_caller]
pub fn function(name: &str, params: &[Aval], body: impl FnOnce(&mut Build, &[NodeId]) -> Vec<NodeId>) -> Function {
    let span = Span::here();
    let mut build = Build { f: Function::new(name, params.iter().map(|p| (p.clone(), span))) };
    let params: Vec<NodeId> = build.f.params().collect();
    let results = body(&mut build, &params);
    build.f.set_results(results);
    build.f
}

/// A function being built.
pub struct Build {
    pub f: Function,
}

impl Build {
    #[track_caller]
    pub fn op(&mut self, op: Op, args: &[NodeId]) -> NodeId {
        self.f.add(op, args, Span::here()).unwrap_or_else(|e| panic!("{e}"))
    }

    #[track_caller]
    pub fn unary(&mut self, name: &str, x: NodeId) -> NodeId {
        self.op(Op::Unary(egrad_ir::Unary::parse(name).unwrap()), &[x])
    }

    #[track_caller]
    pub fn binary(&mut self, name: &str, x: NodeId, y: NodeId) -> NodeId {
        self.op(Op::Binary(egrad_ir::Binary::parse(name).unwrap()), &[x, y])
    }

    #[track_caller]
    pub fn sum(&mut self, x: NodeId) -> NodeId {
        let axes = (0..self.f.aval(x).shape.rank()).collect();
        self.op(Op::Reduce { kind: egrad_ir::Reduce::Sum, axes }, &[x])
    }

    #[track_caller]
    pub fn apply(
        &mut self,
        program: &Program,
        transform: Transform,
        callee: egrad_ir::FnId,
        args: &[NodeId],
    ) -> Vec<NodeId> {
        let avals: Vec<Aval> = args.iter().map(|a| self.f.aval(*a).clone()).collect();
        let results = program.apply_avals(&transform, callee, &avals).unwrap_or_else(|e| panic!("{e}"));
        let kind = egrad_ir::NodeKind::Apply(transform, callee);
        let tuple = self.f.push(kind, args, results.clone().into(), Span::here());
        let get = |(i, aval): (usize, Aval)| {
            let avals = std::iter::once(aval).collect();
            self.f.push(egrad_ir::NodeKind::Get(i), &[tuple], avals, Span::here())
        };
        results.into_iter().enumerate().map(get).collect()
    }
}

/// The transform of a function, as a program whose entry applies it to its parameters.
pub fn transformed(f: &Function, transform: &Transform) -> Program {
    let mut program = Program::new();
    let mut avals = f.param_avals();
    let floats = f.result_avals().into_iter().filter(|a| a.dtype.is_float());
    match transform {
        Transform::Call => {}
        Transform::CustomJvp { .. }
        | Transform::CustomVjp { .. }
        | Transform::Checkpoint { .. }
        | Transform::Named { .. } => unreachable!("it is applied, not derived from"),
        Transform::Jvp { wrt } => avals.extend(wrt.iter().map(|i| avals[*i].clone()).collect::<Vec<_>>()),
        Transform::Vjp { .. } => avals.extend(floats),
        Transform::Vmap { in_axes, size, .. } => {
            for (p, axis) in avals.iter_mut().zip(in_axes) {
                if let Some(axis) = axis {
                    p.shape = p.shape.insert(*axis, *size);
                }
            }
        }
    }
    let callee = program.add(f.clone());
    let entry = function("entry", &avals, |b, p| b.apply(&program, transform.clone(), callee, p));
    program.add(entry);
    program
}

/// Runs a plain function.
pub fn run(f: &Function, inputs: &[Array]) -> Vec<Array> {
    eval(f, &inputs.iter().collect::<Vec<_>>(), Elementary::Std).unwrap_or_else(|e| panic!("{e}"))
}

/// Small pseudo-random numbers, the same every time.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// Between `low` and `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// An array of numbers between `low` and `high` (of bools: either).
    pub fn array(&mut self, aval: &Aval, low: f64, high: f64) -> Array {
        let data: Vec<f64> = (0..aval.shape.size())
            .map(|_| match aval.dtype {
                Dtype::F32 | Dtype::F64 | Dtype::F16 | Dtype::Bf16 => self.between(low, high),
                Dtype::I32 | Dtype::I64 => self.between(low * 4.0, high * 4.0).round(),
                Dtype::U32 | Dtype::U8 => self.between(low * 4.0, high * 4.0).round().abs(),
                Dtype::Bool => self.below(2) as f64,
            })
            .collect();
        Array::from_f64(aval.dtype, &data, aval.shape.clone()).unwrap()
    }
}

/// What a transform of a plain function computes, by central differences and loops.
pub fn reference(f: &Function, transform: &Transform, inputs: &[Array]) -> Vec<Array> {
    let n = f.params().len();
    let h = 1e-6;
    let float_results = |out: Vec<Array>| out.into_iter().filter(|a| a.dtype().is_float()).collect::<Vec<_>>();
    match transform {
        Transform::Call => run(f, inputs),
        Transform::CustomJvp { .. }
        | Transform::CustomVjp { .. }
        | Transform::Checkpoint { .. }
        | Transform::Named { .. } => unreachable!("it is applied, not derived from"),
        Transform::Jvp { wrt } => {
            let (x, t) = inputs.split_at(n);
            let moved = |h: f64| {
                let mut x = x.to_vec();
                for (i, t) in wrt.iter().zip(t) {
                    let data: Vec<f64> = x[*i].to_f64().iter().zip(t.to_f64()).map(|(x, t)| x + h * t).collect();
                    x[*i] = Array::from_f64(x[*i].dtype(), &data, x[*i].shape().clone()).unwrap();
                }
                float_results(run(f, &x))
            };
            let tangents = moved(h).into_iter().zip(moved(-h)).map(|(p, m)| {
                let data: Vec<f64> = p.to_f64().iter().zip(m.to_f64()).map(|(p, m)| (p - m) / (2.0 * h)).collect();
                Array::from_f64(p.dtype(), &data, p.shape().clone()).unwrap()
            });
            run(f, x).into_iter().chain(tangents).collect()
        }
        Transform::Vjp { wrt } => {
            let (x, c) = inputs.split_at(n);
            let mut out = run(f, x);
            for i in wrt {
                let mut gradient = Vec::new();
                for j in 0..x[*i].shape().size() {
                    let moved = |h: f64| {
                        let mut x = x.to_vec();
                        let mut data = x[*i].to_f64();
                        data[j] += h;
                        x[*i] = Array::from_f64(x[*i].dtype(), &data, x[*i].shape().clone()).unwrap();
                        let y = float_results(run(f, &x));
                        let dot = |(y, c): (&Array, &Array)| -> f64 {
                            y.to_f64().iter().zip(c.to_f64()).map(|(y, c)| y * c).sum()
                        };
                        y.iter().zip(c).map(dot).sum::<f64>()
                    };
                    gradient.push((moved(h) - moved(-h)) / (2.0 * h));
                }
                out.push(Array::from_f64(x[*i].dtype(), &gradient, x[*i].shape().clone()).unwrap());
            }
            out
        }
        Transform::Vmap { in_axes, out_axes, size } => {
            let rows: Vec<Vec<Array>> = (0..*size)
                .map(|row| {
                    let element = |(x, axis): (&Array, &Option<usize>)| match axis {
                        Some(axis) => slice(x, *axis, row),
                        None => x.clone(),
                    };
                    run(f, &inputs.iter().zip(in_axes).map(element).collect::<Vec<_>>())
                })
                .collect();
            let avals = f.result_avals();
            (0..avals.len())
                .map(|r| stack(&avals[r], &rows.iter().map(|row| row[r].clone()).collect::<Vec<_>>(), out_axes[r]))
                .collect()
        }
    }
}

/// Whether a function is smooth where differences of step 1e-6 look.
pub fn is_smooth(f: &Function, inputs: &[Array]) -> bool {
    let floats = |x: &[Array]| -> Vec<f64> {
        run(f, x).iter().filter(|y| y.dtype().is_float()).flat_map(Array::to_f64).collect()
    };
    let zero = floats(inputs);
    (0..inputs.len()).filter(|i| inputs[*i].dtype().is_float()).all(|i| {
        (0..inputs[i].shape().size()).all(|j| {
            let moved = |h: f64| {
                let mut x = inputs.to_vec();
                let mut data = x[i].to_f64();
                data[j] += h;
                x[i] = Array::from_f64(x[i].dtype(), &data, x[i].shape().clone()).unwrap();
                floats(&x)
            };
            denote::smooth(&moved(1e-6), &zero, &moved(-1e-6))
        })
    })
}

/// Element `row` along an axis.
pub fn slice(x: &Array, axis: usize, row: usize) -> Array {
    let (shape, strides) = (x.shape().without(&[axis]), x.shape().strides());
    let picked: Vec<Literal> = (shape.indices())
        .map(|mut index| {
            index.insert(axis, row);
            x.literal(index.iter().zip(&strides).map(|(i, s)| i * s).sum::<usize>())
        })
        .collect();
    array(x.dtype(), &picked, shape)
}

/// Elements stacked along an axis.
pub fn stack(element: &Aval, rows: &[Array], axis: usize) -> Array {
    let shape = element.shape.insert(axis, rows.len());
    let strides = element.shape.strides();
    let data: Vec<Literal> = (shape.indices())
        .map(|mut index| {
            let row = index.remove(axis);
            rows[row].literal(index.iter().zip(&strides).map(|(i, s)| i * s).sum::<usize>())
        })
        .collect();
    array(element.dtype, &data, shape)
}

/// The array of these elements; those of 64-bit integers are more than an `f64` tells apart.
fn array(dtype: Dtype, data: &[Literal], shape: Shape) -> Array {
    if dtype == Dtype::I64 {
        return Array::from_vec(data.iter().map(|x| x.bits() as i64).collect(), shape).unwrap();
    }
    Array::from_f64(dtype, &data.iter().map(|x| x.to_f64()).collect::<Vec<_>>(), shape).unwrap()
}

/// Whether two arrays agree to a tolerance relative to the largest entry; NaN and infinities at
/// the same places.
pub fn close(a: &Array, b: &Array, tolerance: f64) -> bool {
    if a.aval() != b.aval() {
        return false;
    }
    let (a, b) = (a.to_f64(), b.to_f64());
    let scale = b.iter().filter(|x| x.is_finite()).fold(1.0f64, |m, x| m.max(x.abs()));
    a.iter().zip(&b).all(|(x, y)| x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= tolerance * scale)
}

/// Panics unless the arrays agree.
#[track_caller]
pub fn assert_close(what: &str, got: &[Array], want: &[Array], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}: number of results");
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        let text =
            || format!("{what}: result {i}\n got {} {:?}\nwant {} {:?}", g.aval(), g.to_f64(), w.aval(), w.to_f64());
        assert!(close(g, w, tolerance), "{}", text());
    }
}

/// Whether two arrays have the same bits, NaNs being alike.
pub fn same_bits(a: &Array, b: &Array) -> bool {
    let alike = |i: usize| {
        let (x, y) = (a.literal(i), b.literal(i));
        x == y || (x.to_f64().is_nan() && y.to_f64().is_nan())
    };
    a.aval() == b.aval() && (0..a.shape().size()).all(alike)
}
