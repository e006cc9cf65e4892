//! Hand-made kernels of every kind against the graphs they stand for, and what the verifiers refuse.

use egrad_ir::eval::{Elementary, eval};
use egrad_ir::kernel::*;
use egrad_ir::schedule::{Buffer, BufferId, Schedule, Step};
use egrad_ir::*;
use proptest::prelude::*;

fn read(dtype: Dtype, len: usize) -> Operand {
    Operand { dtype, len, written: false }
}

fn write(dtype: Dtype, len: usize) -> Operand {
    Operand { dtype, len, written: true }
}

fn at(offset: usize, strides: &[usize]) -> Affine {
    Affine { offset, strides: strides.into() }
}

fn load(operand: usize, strides: &[usize]) -> Inst {
    Inst::Load { operand, index: at(0, strides) }
}

fn v(i: usize) -> ValueId {
    ValueId::from(i)
}

fn store(operand: usize, strides: &[usize], value: usize) -> Store {
    Store { operand, index: at(0, strides), value: v(value) }
}

fn nest(name: &str, operands: Vec<Operand>, domain: &[usize], passes: Vec<Pass>) -> Kernel {
    let body = Body::Loops(LoopNest { domain: domain.to_vec(), passes });
    Kernel { name: name.into(), operands, body, numerics: Numerics::Strict }
}

fn numbers(dtype: Dtype, shape: &[usize]) -> Array {
    let n: usize = shape.iter().product();
    let data: Vec<f64> = (0..n).map(|i| ((i * 7919 + 13) % 1000) as f64 / 300.0 - 1.5).collect();
    Array::from_f64(dtype, &data, shape).unwrap()
}

/// `a·b + a` of 3×5 matrices, b being a row; and a mask as a second output.
fn elementwise() -> Kernel {
    let pass = Pass {
        insts: vec![
            load(0, &[5, 1]),
            load(1, &[0, 1]),
            Inst::Binary(Binary::Mul, v(0), v(1)),
            Inst::Binary(Binary::Add, v(2), v(0)),
            Inst::Literal(Literal::new(Dtype::F32, 0.25)),
            Inst::Compare(Compare::Lt, v(3), v(4)),
        ],
        stores: vec![store(2, &[5, 1], 3), store(3, &[1, 3], 5)],
        ..Pass::default()
    };
    let operands = vec![read(Dtype::F32, 15), read(Dtype::F32, 5), write(Dtype::F32, 15), write(Dtype::Bool, 15)];
    nest("mul_add_lt", operands, &[3, 5], vec![pass])
}

/// `sqrt(Σ exp x)` of the rows of 4×11: a prologue and an epilogue.
fn reduction() -> Kernel {
    let sum = Pass {
        loops: vec![11],
        insts: vec![load(0, &[11, 1]), Inst::Unary(Unary::Exp, v(0))],
        accs: vec![Acc { kind: Reduce::Sum, value: v(1) }],
        stores: vec![],
    };
    let root = Pass { insts: vec![Inst::Unary(Unary::Sqrt, v(2))], stores: vec![store(1, &[1], 3)], ..Pass::default() };
    nest("exp_sum_sqrt", vec![read(Dtype::F64, 44), write(Dtype::F64, 4)], &[4], vec![sum, root])
}

/// The softmax of the rows of 3×17, passing over each row three times, the exponentials kept.
fn softmax() -> Kernel {
    let max = Pass {
        loops: vec![17],
        insts: vec![load(0, &[17, 1])],
        accs: vec![Acc { kind: Reduce::Max, value: v(0) }],
        stores: vec![],
    };
    let sum = Pass {
        loops: vec![17],
        insts: vec![load(0, &[17, 1]), Inst::Binary(Binary::Sub, v(2), v(1)), Inst::Unary(Unary::Exp, v(3))],
        stores: vec![store(1, &[17, 1], 4)],
        accs: vec![Acc { kind: Reduce::Sum, value: v(4) }],
    };
    let divide = Pass {
        loops: vec![17],
        insts: vec![load(1, &[17, 1]), Inst::Binary(Binary::Div, v(6), v(5))],
        stores: vec![store(2, &[17, 1], 7)],
        accs: vec![],
    };
    let operands = vec![read(Dtype::F32, 51), write(Dtype::F32, 51), write(Dtype::F32, 51)];
    nest("row_softmax", operands, &[3], vec![max, sum, divide])
}

/// A batched product with a transposed right operand shared by the batch.
fn contract() -> Kernel {
    let body = Body::Contract(Contract {
        dtype: Dtype::F32,
        batch: vec![2],
        m: 3,
        n: 4,
        k: 13,
        a: Matrix { operand: 0, offset: 0, batch_strides: vec![39], row: 13, column: 1 },
        b: Matrix { operand: 1, offset: 0, batch_strides: vec![0], row: 1, column: 13 },
        c: Matrix { operand: 2, offset: 0, batch_strides: vec![12], row: 4, column: 1 },
    });
    let operands = vec![read(Dtype::F32, 78), read(Dtype::F32, 52), write(Dtype::F32, 24)];
    Kernel { name: "dot".into(), operands, body, numerics: Numerics::Strict }
}

/// Both gradients of a batch of linear models in one kernel: an integer index, a select, a power.
fn indices() -> Kernel {
    let pass = Pass {
        insts: vec![
            Inst::Index(at(3, &[2])),
            Inst::Convert(Dtype::F64, v(0)),
            Inst::IntegerPow(-2, v(1)),
            load(0, &[0]),
            Inst::Select(v(3), v(1), v(2)),
        ],
        stores: vec![store(1, &[1], 0), store(2, &[1], 4)],
        ..Pass::default()
    };
    let operands = vec![read(Dtype::Bool, 1), write(Dtype::I32, 6), write(Dtype::F64, 6)];
    nest("index_select", operands, &[6], vec![pass])
}

fn all() -> Vec<Kernel> {
    vec![elementwise(), reduction(), softmax(), contract(), indices(), batched_call()]
}

/// [`schedule`] for each of two elements that share the predicate; the first result is laid out
/// after the others.
fn batched_call() -> Kernel {
    let slot = |operand, stride| Slot { operand, stride };
    let call = Call {
        callee: std::sync::Arc::new(schedule()),
        count: 2,
        inputs: vec![slot(0, 60), slot(1, 0)],
        outputs: vec![slot(5, 51), slot(2, 51), slot(3, 6), slot(4, 6)],
    };
    let operands = vec![
        read(Dtype::F32, 111),
        read(Dtype::Bool, 1),
        write(Dtype::F32, 102),
        write(Dtype::F64, 12),
        write(Dtype::F64, 12),
        write(Dtype::F32, 102),
    ];
    Kernel { name: "call_twice".into(), operands, body: Body::Call(call), numerics: Numerics::Strict }
}

/// Builds a function and runs it.
fn graph(inputs: &[&Array], build: impl FnOnce(&mut Function, &[NodeId]) -> Vec<NodeId>) -> Vec<Array> {
    let mut f = Function::new("f", inputs.iter().map(|x| (x.aval().clone(), Span::Unknown)));
    let params: Vec<NodeId> = f.params().collect();
    let results = build(&mut f, &params);
    f.set_results(results);
    f.verify().unwrap();
    eval(&f, inputs, Elementary::Shared).unwrap()
}

fn add(f: &mut Function, op: Op, args: &[NodeId]) -> NodeId {
    f.add(op, args, Span::here()).unwrap()
}

fn same(kernel: &Kernel, read: &[&Array], want: &[Array]) {
    let got = kernel.eval(read, Elementary::Shared).unwrap();
    assert_eq!(got.len(), want.len());
    for (g, w) in got.iter().zip(want) {
        assert_eq!(g, &w.reshape([w.shape().size()]).unwrap(), "{kernel}");
    }
}

#[test]
fn elementwise_kernel() {
    let (x, y) = (numbers(Dtype::F32, &[3, 5]), numbers(Dtype::F32, &[5]));
    let want = graph(&[&x, &y], |f, p| {
        let row = add(f, Op::BroadcastInDim { shape: [3, 5].into(), dims: [1].into_iter().collect() }, &[p[1]]);
        let product = add(f, Op::Binary(Binary::Mul), &[p[0], row]);
        let sum = add(f, Op::Binary(Binary::Add), &[product, p[0]]);
        let quarter = add(f, Op::Constant(Literal::new(Dtype::F32, 0.25)), &[]);
        let all = add(f, Op::BroadcastInDim { shape: [3, 5].into(), dims: Default::default() }, &[quarter]);
        let less = add(f, Op::Compare(Compare::Lt), &[sum, all]);
        let turned = add(f, Op::Transpose([1, 0].into_iter().collect()), &[less]);
        vec![sum, turned]
    });
    same(&elementwise(), &[&x, &y], &want);
}

#[test]
fn reduction_kernel() {
    let x = numbers(Dtype::F64, &[4, 11]);
    let want = graph(&[&x], |f, p| {
        let e = add(f, Op::Unary(Unary::Exp), p);
        let s = add(f, Op::Reduce { kind: Reduce::Sum, axes: [1].into_iter().collect() }, &[e]);
        vec![add(f, Op::Unary(Unary::Sqrt), &[s])]
    });
    same(&reduction(), &[&x], &want);
}

#[test]
fn softmax_kernel() {
    let x = numbers(Dtype::F32, &[3, 17]);
    let want = graph(&[&x], |f, p| {
        let row = |f: &mut Function, x| {
            add(f, Op::BroadcastInDim { shape: [3, 17].into(), dims: [0].into_iter().collect() }, &[x])
        };
        let max = add(f, Op::Reduce { kind: Reduce::Max, axes: [1].into_iter().collect() }, p);
        let max = row(f, max);
        let shifted = add(f, Op::Binary(Binary::Sub), &[p[0], max]);
        let e = add(f, Op::Unary(Unary::Exp), &[shifted]);
        let sum = add(f, Op::Reduce { kind: Reduce::Sum, axes: [1].into_iter().collect() }, &[e]);
        let sum = row(f, sum);
        vec![e, add(f, Op::Binary(Binary::Div), &[e, sum])]
    });
    same(&softmax(), &[&x], &want);
}

#[test]
fn contract_kernel() {
    let (x, y) = (numbers(Dtype::F32, &[2, 3, 13]), numbers(Dtype::F32, &[4, 13]));
    let want = graph(&[&x, &y], |f, p| {
        let contract = [[2].into_iter().collect(), [1].into_iter().collect()];
        vec![add(f, Op::DotGeneral(DotDims { contract, batch: Default::default() }), p)]
    });
    same(&contract(), &[&x, &y], &want);
}

#[test]
fn index_kernel() {
    for (truth, powers) in [(true, [3.0, 5.0, 7.0]), (false, [1.0 / 9.0, 1.0 / 25.0, 1.0 / 49.0])] {
        let got = indices().eval(&[&Array::from(truth)], Elementary::Std).unwrap();
        assert_eq!(got[0].as_slice::<i32>().unwrap(), [3, 5, 7, 9, 11, 13]);
        assert_eq!(got[1].as_slice::<f64>().unwrap()[..3], powers);
    }
}

#[test]
fn reductions_have_eight_lanes_in_the_documented_order() {
    let x = [1e8f32, 1.0, -1e8, 0.5, 3.0, 1e-3, 7.0, 1e7, 2.0, -1e7, 0.125];
    let kernel = nest(
        "sum",
        vec![read(Dtype::F32, 11), write(Dtype::F32, 1)],
        &[],
        vec![
            Pass {
                loops: vec![11],
                insts: vec![load(0, &[1])],
                accs: vec![Acc { kind: Reduce::Sum, value: v(0) }],
                stores: vec![],
            },
            Pass { stores: vec![store(1, &[], 1)], ..Pass::default() },
        ],
    );
    let lane = |i: usize| if i < 3 { (0.0 + x[i]) + x[i + 8] } else { 0.0 + x[i] };
    let want = ((lane(0) + lane(4)) + (lane(2) + lane(6))) + ((lane(1) + lane(5)) + (lane(3) + lane(7)));
    let array = Array::from_vec(x.to_vec(), [11]).unwrap();
    let got = kernel.eval(&[&array], Elementary::Shared).unwrap();
    assert_eq!(got[0].as_slice::<f32>().unwrap(), [want]);
}

/// Two steps: `y = softmax(x)`, then the index kernel on its own input; the first input returned.
fn schedule() -> Schedule {
    let buffer = |dtype, len| Buffer { dtype, len };
    let id = BufferId::from;
    Schedule {
        buffers: vec![
            buffer(Dtype::F32, 51),
            buffer(Dtype::Bool, 1),
            buffer(Dtype::F32, 51),
            buffer(Dtype::F32, 51),
            buffer(Dtype::I32, 6),
            buffer(Dtype::F64, 6),
            buffer(Dtype::F32, 51),
            buffer(Dtype::F32, 51),
        ],
        inputs: vec![(id(0), Aval::new(Dtype::F32, [3, 17])), (id(1), Aval::new(Dtype::Bool, []))],
        outputs: vec![
            (id(7), Aval::new(Dtype::F32, [51])),
            (id(0), Aval::new(Dtype::F32, [17, 3])),
            (id(5), Aval::new(Dtype::F64, [2, 3])),
            (id(5), Aval::new(Dtype::F64, [6])),
        ],
        steps: vec![
            Step { kernel: softmax(), operands: vec![id(0), id(2), id(3)] },
            Step { kernel: indices(), operands: vec![id(1), id(4), id(5)] },
            Step { kernel: softmax(), operands: vec![id(3), id(6), id(7)] },
        ],
    }
}

#[test]
fn schedules_run() {
    let (x, p) = (numbers(Dtype::F32, &[3, 17]), Array::from(true));
    schedule().verify().unwrap();
    let compiled = KernelInterpreter::new(Elementary::Shared).compile(schedule()).unwrap();
    let run = compiled.run(&[&x, &p]).unwrap();
    assert_eq!(run.dispatches, 3);
    assert_eq!(run.outputs[1], x.reshape([17, 3]).unwrap());
    assert_eq!(run.outputs[2].to_f64(), run.outputs[3].to_f64());
    let once = softmax().eval(&[&x], Elementary::Shared).unwrap();
    let twice = softmax().eval(&[&once[1]], Elementary::Shared).unwrap();
    assert_eq!(run.outputs[0], twice[1]);
    assert_eq!(compiled.listing("kernels").unwrap().len(), 3);
    assert!(compiled.listing("clif").is_none());
    let error = schedule().eval(&[&p, &x], Elementary::Std).unwrap_err();
    assert_eq!(error.kind(), "dtype");
}

#[test]
fn calls_run_for_every_element() {
    let (x, p) = (numbers(Dtype::F32, &[111]), Array::from(true));
    let got = batched_call().eval(&[&x, &p], Elementary::Shared).unwrap();
    for i in 0..2 {
        let data = x.to_f64()[60 * i..60 * i + 51].to_vec();
        let element = Array::from_f64(Dtype::F32, &data, [3, 17]).unwrap();
        let want = schedule().eval(&[&element, &p], Elementary::Shared).unwrap().outputs;
        for (got, want) in got.iter().zip([&want[1], &want[2], &want[3], &want[0]]) {
            let n = want.shape().size();
            assert_eq!(got.to_f64()[i * n..(i + 1) * n], want.to_f64());
        }
    }
    let launches = Schedule {
        buffers: batched_call().operands.iter().map(|o| Buffer { dtype: o.dtype, len: o.len }).collect(),
        steps: vec![Step { kernel: batched_call(), operands: (0..6).map(BufferId::from).collect() }],
        ..Schedule::default()
    };
    assert_eq!(launches.launches(), 3);
}

#[test]
fn mutant_calls_are_refused() {
    let check = |mutate: &dyn Fn(&mut Kernel, &mut Call), expect: &str| {
        let mut kernel = batched_call();
        let Body::Call(mut call) = kernel.body.clone() else { panic!("a call") };
        mutate(&mut kernel, &mut call);
        kernel.body = Body::Call(call);
        let error = kernel.verify().expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}\nshould say: {expect}");
    };
    check(&|_, c| c.count = 0, "calls for no element");
    check(&|_, c| c.count = 3, "input 0: reaches 171 elements, but there are 111");
    check(&|_, c| c.count = usize::MAX, "overflow");
    check(&|_, c| c.inputs.truncate(1), "has 1 inputs, the callee 2");
    check(&|_, c| c.inputs.swap(0, 1), "input 0: b1 is bool, the callee's f32");
    check(&|_, c| c.inputs[0].operand = 9, "there is no operand b9");
    check(&|_, c| c.inputs[0].operand = 2, "b2 is written");
    check(&|_, c| c.outputs[0].operand = 0, "b0 is only read");
    check(&|_, c| c.outputs[0].stride = 0, "output 0: stride 0 doesn't lay elements of 51 side by side in 102");
    check(&|_, c| c.outputs[0].stride = 60, "output 0: reaches 111 elements, but there are 102");
    check(&|k, _| k.operands[5].len = 103, "output 0: stride 51 doesn't lay elements of 51 side by side in 103");
    check(&|_, c| c.outputs[2].operand = 4, "output 3: b4 is another output's operand");
    check(&|k, _| k.operands.push(write(Dtype::F32, 1)), "b6 is written, but is no output");
    let wrong = |s: &mut Schedule| s.steps.truncate(2);
    check(&|_, c| wrong(std::sync::Arc::make_mut(&mut c.callee)), "callee: schedule: output 0: b7 is never written");
}

#[test]
fn good_kernels_verify() {
    for kernel in all() {
        kernel.verify().unwrap();
    }
    let two = |loops: Vec<usize>, index: Affine, value: usize| Pass {
        loops,
        stores: vec![Store { operand: 0, index, value: v(value) }],
        ..Pass::default()
    };
    let constant = Pass { insts: vec![Inst::Literal(Literal::new(Dtype::I32, 1.0))], ..Pass::default() };
    // A row of ten put together from four and six, interleaved over the domain.
    let (left, right) = (two(vec![4], at(0, &[10, 1]), 0), two(vec![6], at(4, &[10, 1]), 0));
    nest("rows", vec![write(Dtype::I32, 30)], &[3], vec![constant.clone(), left, right]).verify().unwrap();
    // Halves of a buffer.
    let (left, right) = (two(vec![4], at(0, &[1, 3]), 0), two(vec![2], at(12, &[2, 1]), 0));
    nest("halves", vec![write(Dtype::I32, 18)], &[3], vec![constant, left, right]).verify().unwrap();
}

#[track_caller]
fn refused(kernel: Kernel, mutate: impl FnOnce(&mut Vec<Operand>, &mut LoopNest), expect: &str) {
    let mut kernel = kernel;
    if let Body::Loops(nest) = &mut kernel.body {
        mutate(&mut kernel.operands, nest);
    }
    let error = kernel.verify().expect_err("the mutant should be refused");
    assert_eq!(error.kind(), "internal");
    assert!(error.to_string().contains(expect), "{error}\nshould say: {expect}");
    assert!(error.to_string().contains(&kernel.name), "{error}");
}

#[test]
fn mutant_loop_nests_are_refused() {
    let x = elementwise;
    refused(x(), |_, n| n.domain[0] = 0, "axis p0 of the domain is empty");
    refused(x(), |_, n| n.domain[0] = 4, "reaches 19");
    refused(x(), |_, n| n.domain[0] = 2, "never stored");
    refused(x(), |o, _| o[0].len = 14, "pass 0: load of b0: the index reaches 14");
    refused(x(), |o, _| o[2].written = false, "only reads");
    refused(x(), |o, _| o[1].written = true, "no earlier pass stored");
    refused(x(), |o, _| o.push(write(Dtype::F32, 3)), "b4 is written, but 3");
    refused(x(), |o, _| o[0].dtype = Dtype::F64, "`mul` takes operands of one type");
    refused(x(), |o, _| o[3].dtype = Dtype::F32, "%5 is bool, the operand f32");
    refused(x(), |_, n| n.passes[0].stores[0].index = at(0, &[4, 1]), "distinct points");
    refused(x(), |_, n| n.passes[0].stores[0].index = at(0, &[0, 1]), "distinct points");
    refused(x(), |_, n| n.passes[0].stores[0].index = at(usize::MAX, &[5, 1]), "overflows");
    refused(x(), |_, n| n.passes[0].stores[0].index = at(0, &[1]), "1 strides for 2 axes");
    refused(x(), |_, n| n.passes[0].stores[0].value = v(6), "%6 is not an earlier value");
    refused(x(), |_, n| n.passes[0].stores[0].operand = 9, "no such operand");
    refused(x(), |_, n| n.passes[0].insts[2] = Inst::Binary(Binary::Mul, v(0), v(3)), "%3 is not an earlier value");
    refused(x(), |_, n| n.passes[0].insts[2] = Inst::Unary(Unary::Not, v(0)), "doesn't take f32");
    refused(x(), |_, n| n.passes[0].insts[0] = load(7, &[5, 1]), "no operand b7");
    refused(x(), |_, n| n.passes[0].insts.push(Inst::Index(at(1 << 31, &[0, 0]))), "is no i32");
    refused(x(), |_, n| n.passes[0].accs.push(Acc { kind: Reduce::Sum, value: v(3) }), "no loops but accumulates");
    let x = reduction;
    refused(x(), |_, n| n.passes[0].loops[0] = 0, "loop r0 of pass 0 is empty");
    refused(x(), |_, n| n.passes[1].insts[0] = Inst::Unary(Unary::Sqrt, v(1)), "loops of another pass");
    refused(x(), |_, n| n.passes[0].accs[0].value = v(2), "no instruction of this pass");
    refused(x(), |_, n| n.passes.swap(0, 1), "");
    refused(x(), |_, n| n.passes[1].accs.push(Acc { kind: Reduce::Sum, value: v(3) }), "no loops but accumulates");
    let x = softmax;
    refused(x(), |_, n| n.passes[2].insts[0] = load(2, &[17, 1]), "no earlier pass stored");
    refused(x(), |_, n| n.passes[2].insts[0] = Inst::Load { operand: 1, index: at(16, &[17, 0]) }, "no earlier pass");
    refused(x(), |_, n| n.passes[2].insts[0] = load(1, &[1, 3]), "no earlier pass stored");
    refused(x(), |_, n| n.passes[1].insts[0] = load(1, &[17, 1]), "no earlier pass stored");
    refused(x(), |_, n| n.passes[2].stores.push(store(1, &[1, 3], 7)), "may meet");
}

#[test]
fn mutant_contracts_are_refused() {
    let check = |mutate: &dyn Fn(&mut Vec<Operand>, &mut Contract), expect: &str| {
        let mut kernel = contract();
        if let Body::Contract(c) = &mut kernel.body {
            mutate(&mut kernel.operands, c);
        }
        let error = kernel.verify().expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}\nshould say: {expect}");
    };
    check(&|_, c| c.m = 0, "extent is 0");
    check(&|_, c| c.batch[0] = 0, "extent is 0");
    check(&|_, c| c.batch.push(1), "1 strides for 2 batch axes");
    check(&|_, c| c.k = 14, "matrix a: the index reaches");
    check(&|_, c| c.n = 5, "matrix b: the index reaches");
    check(&|_, c| c.c.batch_strides[0] = 0, "distinct");
    check(&|_, c| c.batch[0] = 1, "never stored");
    check(&|_, c| c.c.operand = 0, "only read");
    check(&|_, c| c.b.operand = 2, "written");
    check(&|_, c| c.b.operand = 3, "no operand b3");
    check(&|_, c| c.dtype = Dtype::F64, "b0 is f32");
    check(&|_, c| c.dtype = Dtype::I32, "contracts f32 or f64");
    check(&|o, _| o.push(write(Dtype::F32, 1)), "b3 is written, but never stored");
    let mut empty = contract();
    if let Body::Contract(c) = &mut empty.body {
        c.k = 0;
        empty.operands[0].len = 0;
        empty.operands[1].len = 0;
    }
    let none = numbers(Dtype::F32, &[0]);
    assert_eq!(empty.eval(&[&none, &none], Elementary::Std).unwrap()[0].to_f64(), [0.0; 24]);
}

#[test]
fn mutant_schedules_are_refused() {
    let check = |mutate: &dyn Fn(&mut Schedule), expect: &str| {
        let mut s = schedule();
        mutate(&mut s);
        let error = s.verify().expect_err(expect).to_string();
        assert!(error.contains(expect), "{error}\nshould say: {expect}");
        assert!(KernelInterpreter::default().compile(s).is_err());
    };
    let id = BufferId::from;
    check(&|s| s.steps.swap(0, 2), "reads b3 before it is written");
    check(&|s| s.steps[2].operands[2] = id(3), "writes b3, which is an input or already written");
    check(&|s| s.steps[0].operands[2] = id(0), "writes b0, which is an input");
    check(&|s| s.steps[0].operands[1] = id(3), "writes b3");
    check(&|s| s.steps[2].operands[1] = id(9), "no buffer b9");
    check(&|s| s.steps[2].operands[0] = id(1), "b1 holds 1 bool, not 51 f32");
    check(&|s| s.steps[0].operands.truncate(2), "2 buffers for 3 operands");
    check(&|s| s.steps.truncate(2), "output 0: b7 is never written");
    check(&|s| s.inputs[1] = s.inputs[0].clone(), "another input's buffer");
    check(&|s| s.inputs[1].1 = Aval::new(Dtype::Bool, [2]), "b1 holds 1 bool, not 2 bool");
    check(&|s| s.outputs[0].1 = Aval::new(Dtype::F32, [52]), "output 0");
    check(&|s| s.steps[0].kernel.operands[0].len = 3, "step 0: kernel `row_softmax`");
}

#[test]
fn unfit_operands_are_refused() {
    let x = numbers(Dtype::F32, &[15]);
    for read in [vec![], vec![&x], vec![&x, &x], vec![&x, &x, &x]] {
        assert_eq!(elementwise().eval(&read, Elementary::Std).unwrap_err().kind(), "internal");
    }
}

#[test]
fn text_round_trips() {
    for kernel in all() {
        let text = kernel.to_string();
        assert_eq!(Kernel::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}")), kernel);
        let mut odd = kernel;
        odd.name = "a \"name\"\n with \u{7} é _ and 1.5".into();
        odd.numerics = Numerics::Fast;
        assert_eq!(Kernel::parse(&odd.to_string()).unwrap(), odd);
    }
}

#[test]
fn kernels_print_readably() {
    let text = "\
kernel row_softmax(b0: read f32[51], b1: write f32[51], b2: write f32[51]) strict {
  parallel p0 in 0..3 {
    for r0 in 0..17 {
      %0 = load b0[17*p0 + r0]
      %1 = reduce_max %0
    }
    for r0 in 0..17 {
      %2 = load b0[17*p0 + r0]
      %3 = sub %2 %1
      %4 = exp %3
      store b1[17*p0 + r0] = %4
      %5 = reduce_sum %4
    }
    for r0 in 0..17 {
      %6 = load b1[17*p0 + r0]
      %7 = div %6 %5
      store b2[17*p0 + r0] = %7
    }
  }
}
";
    assert_eq!(softmax().to_string(), text);
}

#[test]
fn malformed_kernels_are_refused() {
    let good = softmax().to_string();
    for end in (0..good.len()).filter(|i| good.is_char_boundary(*i)).take(good.len() - 2) {
        let error = Kernel::parse(&good[..end]).expect_err("a truncated kernel");
        assert_eq!(error.kind(), "parse");
    }
    let table = [
        ("row_softmax(", "(", "expected the kernel's name, found `(`"),
        ("b1: write", "b2: write", "line 1, column 38"),
        ("b1: write", "b1: scribble", "expected `read` or `write`, found `scribble`"),
        ("f32[51], b1", "f8[51], b1", "expected an element type"),
        ("[51], b1", "[99999999999999999999], b1", "expected a number of elements"),
        ("strict", "lenient", "expected `fast` or `strict`"),
        (
            "parallel",
            "serial",
            "expected `parallel`, `contract`, `call`, `scatter`, `argsort`, `linalg`, `print`, `scan`, `while` or `switch`",
        ),
        ("p0 in 0..3", "p1 in 0..3", "expected axis `p0`, found `p1`"),
        ("p0 in 0..3", "p0 in 1..3", "expected `0` where the axis starts"),
        ("for r0 in 0..17 {\n      %0", "for {\n      %0", "expected axis `r0`"),
        ("for r0 in 0..17 {\n      %0", "while r0 in 0..17 {\n      %0", "a pass starts with"),
        ("17*p0 + r0]\n      %1", "17*p0 + r1]\n      %1", "expected an axis in scope"),
        ("17*p0 + r0]\n      %1", "17*p0 + 3*p0]\n      %1", "already part of the index"),
        ("17*p0 + r0]\n      %1", "-17*p0]\n      %1", "expected a stride or an offset, found `-17`"),
        ("%1 = reduce_max", "%2 = reduce_max", "expected `%1 = …`"),
        ("reduce_max %0", "reduce_min %0", "there is no instruction `reduce_min`"),
        ("exp %3", "exp", "expected a value, such as `%0`, found `store`"),
        ("store b1", "store 1", "expected an operand, such as `b0`"),
        (
            "%4 = exp %3\n      store b1[17*p0 + r0] = %4\n",
            "store b1[17*p0 + r0] = %3\n      %4 = exp %3\n",
            "come before",
        ),
    ];
    for (from, to, expect) in table {
        assert!(good.contains(from), "{from}");
        let error = Kernel::parse(&good.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(error.contains(expect), "{error}\nshould say: {expect}");
    }
    assert!(Kernel::parse(&(good.clone() + "kernel")).unwrap_err().to_string().contains("the end of the text"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn mutilated_kernels_never_panic(
        which in 0..6usize,
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..20usize), 1..4),
    ) {
        const PARTS: [&str; 20] = [
            "0", "1", "2", "17", "18446744073709551615", "%0", "%3", "b0", "b1", "p0", "r0", " + ", "*", "f64", "write",
            "once", "}", "{", "bool", "",
        ];
        let mut text = all()[which].to_string();
        for (from, to, part) in cuts {
            let from = from.index(text.len() + 1);
            let to = (from + to.index(6)).min(text.len());
            text.replace_range(from..to, PARTS[part]);
        }
        if let Ok(kernel) = Kernel::parse(&text) {
            prop_assert_eq!(Kernel::parse(&kernel.to_string()).unwrap(), kernel.clone());
            let _ = kernel.verify();
        }
    }
}

/// A table looked up by positions of both kinds, and which of them are inside.
const WINDOWS: &str = "\
kernel windows(b0: read f32[12], b1: read i32[4], b2: write f32[24], b3: write bool[24]) strict {
  parallel p0 in 0..4, p1 in 0..6 {
    once {
      %0 = load b1[p0]
      %1 = load b0[0] at %0 in 0..3 by 4, -1*p1 + 4 in 0..4 by 1
      %2 = within %0 in 0..3, -1*p1 + 4 in 0..4
      store b2[6*p0 + p1] = %1
      store b3[6*p0 + p1] = %2
    }
  }
}
";

#[test]
fn positions_outside_hold_zeros() {
    let kernel = Kernel::parse(WINDOWS).unwrap();
    assert_eq!(kernel.to_string(), WINDOWS);
    let table = Array::from_vec((1..13u8).map(f32::from).collect(), [12]).unwrap();
    let rows = Array::from_vec(vec![2, i32::MIN, 3, 0], [4]).unwrap();
    let out = kernel.eval(&[&table, &rows], Elementary::Std).unwrap();
    let row = |first: f64| [0.0, first + 3.0, first + 2.0, first + 1.0, first, 0.0];
    let none = [0.0; 6];
    assert_eq!(out[0].to_f64(), [row(9.0), none, none, row(1.0)].concat());
    let yes = [0.0, 1.0, 1.0, 1.0, 1.0, 0.0];
    assert_eq!(out[1].to_f64(), [yes, none, none, yes].concat());
}

#[test]
fn wrong_positions_are_refused() {
    let table = [
        ("by 4,", "by 5,", "the index reaches 13, but there are 12 elements"),
        ("load b0[0]", "load b0[p0]", "the index reaches 14"),
        ("in 0..3, -1*p1", "in 0..0, -1*p1", "there are 0 positions"),
        ("in 0..3, -1*p1", "in 0..2147483648, -1*p1", "there are 2147483648 positions"),
        ("-1*p1 + 4 in 0..4\n", "-900000000*p1 + 4 in 0..4\n", "a position is no number of 31 bits"),
        ("-1*p1 + 4 in 0..4\n", "-1*p1 + 4 in 0..4 by 2\n", "there are no elements to go by"),
        ("within %0", "within %1", "%1, added to a position, is f32, not i32"),
        ("within %0", "within %2", "%2 is not an earlier value"),
    ];
    for (from, to, expect) in table {
        assert!(WINDOWS.contains(from), "{from}");
        let error = Kernel::parse(&WINDOWS.replacen(from, to, 1)).unwrap().verify().expect_err(to).to_string();
        assert!(error.contains(expect), "{error}\nshould say: {expect}");
    }
    for (from, to, expect) in [
        ("within %0", "within", "expected an axis in scope"),
        ("in 0..3, -1*p1", "in 1..3, -1*p1", "expected `0` where the positions start"),
        ("-1*p1 + 4 in 0..4\n", "-1*p1 + p1 in 0..4\n", "already part of the position"),
        ("%0 in 0..3 by", "%0 + %0 in 0..3 by", "expected one value to add"),
    ] {
        let error = Kernel::parse(&WINDOWS.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(error.contains(expect), "{error}\nshould say: {expect}");
    }
}

const SOLVE: &str = "\
kernel solve(b0: read f32[18], b1: read f32[12], b2: write f32[12]) strict {
  linalg triangular_solve lower plain read batch 2 rows 3 columns 2 {
    a = b0
    b = b1
    result = b2
  }
}
";

#[test]
fn matrices_have_text_and_checks() {
    let kernel = Kernel::parse(SOLVE).unwrap();
    assert_eq!(kernel.to_string(), SOLVE);
    kernel.verify().unwrap();
    for (what, rows, columns, result) in [
        ("cholesky", 3, 3, 9),
        ("lu", 3, 2, 9),
        ("qr", 3, 2, 10),
        ("eigh", 2, 2, 6),
        ("svd", 3, 2, 12),
        ("fft inverse", 2, 5, 10),
    ] {
        let text = format!(
            "kernel k(b0: read f64[{}], b1: write f64[{result}]) fast {{\n  linalg {what} batch 1 rows {rows} columns \
             {columns} {{\n    x = b0\n    result = b1\n  }}\n}}\n",
            rows * columns
        );
        let kernel = Kernel::parse(&text).unwrap();
        assert_eq!(kernel.to_string(), text);
        kernel.verify().unwrap_or_else(|e| panic!("{e}"));
    }
    let wrong = [
        ("read f32[18]", "read f32[17]", "a: b0 is 17 f32, not 18 f32"),
        ("read f32[12]", "read f64[12]", "b: b1 is 12 f64, not 12 f32"),
        ("batch 2", "batch 18446744073709551615", "too many"),
        ("result = b2", "result = b1", "b1 is only read"),
    ];
    for (from, to, expect) in wrong {
        assert!(SOLVE.contains(from), "{from}");
        let error = Kernel::parse(&SOLVE.replacen(from, to, 1)).unwrap().verify().expect_err(to).to_string();
        assert!(error.contains(expect), "{error}\nshould say: {expect}");
    }
    for (from, to, expect) in [
        ("triangular_solve lower", "triangle lower", "computes a factorisation, `triangular_solve` or `fft`"),
        ("lower", "under", "expected `upper` or `lower`"),
        ("rows 3", "row 3", "rows"),
    ] {
        let error = Kernel::parse(&SOLVE.replacen(from, to, 1)).expect_err(to).to_string();
        assert!(error.contains(expect), "{error}\nshould say: {expect}");
    }
}
