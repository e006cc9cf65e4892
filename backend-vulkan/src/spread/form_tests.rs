//! Which form kernels get, and that a product means the same as a loop nest.

use super::form::{form as form_on, untiled};
use super::{Form, Part, Tile, Worth};
use crate::device::{Caps, FloatCaps};
use egrad_ir::kernel::{Body, Contract, Kernel, Matrix, Operand};
use egrad_ir::scalar::Elementary;
use egrad_ir::{Array, Dtype, Numerics};

/// A card with everything.
fn card() -> Caps {
    Caps {
        float64: true,
        int64: true,
        storage8: true,
        storage16: true,
        fused: true,
        f32: FloatCaps::default(),
        f64: FloatCaps::default(),
        workgroup: 256,
        subgroup: Some(32),
        local_bytes: 48 << 10,
        cooperative: Vec::new(),
        iterations: usize::MAX,
        groups: [1 << 31, 65_535],
        range: 1 << 31,
        bindings: 64,
        allocation: 1 << 31,
        alignment: 64,
        shared_memory: true,
        worth: Worth::USUAL,
    }
}

/// The form of a kernel outside of loops.
fn form(kernel: Kernel, caps: &Caps) -> (Kernel, Form) {
    let Part { kernel, bindings, .. } = Part::whole(kernel);
    form_on(kernel, &bindings, caps)
}

/// The kernel with every element of `b0` summed over the loops, by these strides.
fn sum(domain: &[usize], loops: &[usize], strides: &[usize]) -> Kernel {
    let axes = |letter: &str, extents: &[usize]| {
        extents.iter().enumerate().map(|(i, n)| format!("{letter}{i} in 0..{n}")).collect::<Vec<_>>().join(", ")
    };
    let names: Vec<String> =
        (0..domain.len()).map(|i| format!("p{i}")).chain((0..loops.len()).map(|i| format!("r{i}"))).collect();
    let terms: Vec<String> = strides.iter().zip(&names).map(|(s, n)| format!("{s}*{n}")).collect();
    let extents: Vec<usize> = domain.iter().chain(loops).copied().collect();
    let len = 1 + strides.iter().zip(&extents).map(|(s, n)| s * (n - 1)).sum::<usize>();
    let out = egrad_ir::Shape::from(domain).strides();
    let store: Vec<String> = out.iter().zip(&names).map(|(s, n)| format!("{s}*{n}")).collect();
    let points: usize = domain.iter().product();
    let store = if store.is_empty() { "0".into() } else { store.join(" + ") };
    let text = format!(
        "kernel sum(b0: read f32[{len}], b1: write f32[{points}]) fast {{
  parallel {} {{
    for {} {{
      %0 = load b0[{}]
      %1 = reduce_sum %0
    }}
    once {{
      store b1[{store}] = %1
    }}
  }}
}}
",
        axes("p", domain),
        axes("r", loops),
        terms.join(" + "),
    );
    let kernel = Kernel::parse(&text.replace("parallel  {", "parallel {")).unwrap_or_else(|e| panic!("{e}\n{text}"));
    kernel.verify().unwrap();
    kernel
}

#[track_caller]
fn check_team(domain: &[usize], loops: &[usize], strides: &[usize], caps: &Caps, expect: u32) {
    assert_eq!(form(sum(domain, loops, strides), caps).1, Form::Team(expect), "{domain:?} {loops:?} {strides:?}");
}

#[test]
fn teams() {
    let card = card();
    // Rows: short ones of many points; a subgroup each; more for longer ones or fewer points.
    check_team(&[100_000], &[3], &[3, 1], &card, 1);
    check_team(&[100_000], &[40], &[40, 1], &card, 32);
    check_team(&[4096], &[1024], &[1024, 1], &card, 32);
    check_team(&[4096], &[100_000], &[100_000, 1], &card, 256);
    check_team(&[128], &[1024], &[1024, 1], &card, 256);
    check_team(&[128], &[40], &[40, 1], &card, 64);
    check_team(&[], &[1_000_000], &[1], &card, 256);
    check_team(&[], &[5], &[1], &card, 8);
    check_team(&[1], &[1], &[0, 0], &card, 1);
    // Columns: an invocation each where there are many, else as many as leave whole lines.
    check_team(&[100_000], &[1000], &[1, 100_000], &card, 1);
    check_team(&[16_384], &[1000], &[1, 16_384], &card, 4);
    check_team(&[1024], &[1024], &[1, 1024], &card, 8);
    check_team(&[1024], &[10], &[1, 1024], &card, 1);
    // Smaller workgroups, no subgroups, a driver that stops.
    check_team(&[], &[1_000_000], &[1], &Caps { workgroup: 128, ..card.clone() }, 128);
    check_team(&[4096], &[1024], &[1024, 1], &Caps { subgroup: None, ..card.clone() }, 128);
    check_team(&[100_000], &[100_000], &[1, 1000], &Caps { iterations: 65_535, ..card }, 4);
}

/// The axes of a sum are put in the order in which its elements are.
#[test]
fn axes_in_order() {
    let (kernel, _) = form(sum(&[2, 3], &[4, 5], &[1, 40, 2, 8]), &card());
    let Body::Loops(nest) = &kernel.body else { panic!("{kernel}") };
    assert_eq!((&nest.domain[..], &nest.passes[0].loops[..]), (&[2, 3][..], &[4, 5][..]));
    let (kernel, _) = form(sum(&[2, 3], &[4, 5], &[20, 40, 1, 4]), &card());
    kernel.verify().unwrap();
    let Body::Loops(nest) = &kernel.body else { panic!("{kernel}") };
    assert_eq!((&nest.domain[..], &nest.passes[0].loops[..]), (&[2, 3][..], &[5, 4][..]));
    let x = counting(Dtype::F32, 120);
    let before = sum(&[2, 3], &[4, 5], &[20, 40, 1, 4]).eval(&[&x], Elementary::Std).unwrap();
    assert_eq!(kernel.eval(&[&x], Elementary::Std).unwrap(), before);
}

#[test]
fn the_axis_of_most_loads_and_stores_is_innermost() {
    let text = "kernel turned(b0: read f32[60], b1: read f32[60], b2: write f32[60]) fast {
  parallel p0 in 0..3, p1 in 0..4, p2 in 0..5 {
    once {
      %0 = load b0[p0 + 3*p1 + 12*p2]
      %1 = load b1[p0 + 15*p1 + 3*p2]
      %2 = mul %0 %1
      store b2[20*p0 + 5*p1 + p2] = %2
    }
  }
}
";
    let kernel = Kernel::parse(text).unwrap();
    let (ordered, made) = form(kernel.clone(), &card());
    ordered.verify().unwrap();
    assert_eq!(made, Form::Team(1));
    let Body::Loops(nest) = &ordered.body else { panic!("{ordered}") };
    assert_eq!(nest.domain, [4, 5, 3]);
    let x = counting(Dtype::F32, 60);
    let [before, after] = [kernel, ordered].map(|k| k.eval(&[&x, &x], Elementary::Std).unwrap());
    assert_eq!(before, after);
}

fn counting(dtype: Dtype, len: usize) -> Array {
    let values: Vec<f64> = (0..len).map(|i| ((i * 7) % 23) as f64 - 11.0).collect();
    Array::from_f64(dtype, &values, [len]).unwrap()
}

/// A product of row-major matrices, or of transposed ones.
fn product(dtype: Dtype, batch: &[usize], [m, n, k]: [usize; 3], transposed: [bool; 2]) -> Kernel {
    let matrix = |operand, rows: usize, columns: usize, transposed: bool| {
        let (row, column) = if transposed { (1, rows) } else { (columns, 1) };
        let strides = egrad_ir::Shape::from(batch).strides();
        let batch_strides = strides.iter().map(|s| s * rows * columns).collect();
        Matrix { operand, offset: 0, batch_strides, row, column }
    };
    let count: usize = batch.iter().product();
    let operand = |size: usize, written| Operand { dtype, len: count * size, written };
    let (a, b, c) = (matrix(0, m, k, transposed[0]), matrix(1, k, n, transposed[1]), matrix(2, m, n, false));
    Kernel {
        name: "dot".into(),
        operands: vec![operand(m * k, false), operand(k * n, false), operand(m * n, true)],
        body: Body::Contract(Contract { dtype, batch: batch.into(), m, n, k, a, b, c }),
        numerics: Numerics::Fast,
    }
}

#[test]
fn products_too_small_for_tiles_are_loop_nests() {
    let sizes = [[1, 1, 5], [1, 300, 7], [300, 1, 7], [20, 20, 3], [4, 5, 0], [20, 20, 0], [15, 100, 100], [1, 1, 0]];
    for (sizes, batch) in sizes.iter().flat_map(|s| [&[][..], &[2, 3]].map(|batch| (*s, batch))) {
        for transposed in [[false, false], [true, false], [false, true]] {
            let kernel = product(Dtype::F64, batch, sizes, transposed);
            kernel.verify().unwrap();
            let nest = untiled(kernel.clone(), &card());
            assert!(matches!(nest.body, Body::Loops(_)));
            nest.verify().unwrap_or_else(|e| panic!("{e}\n{nest}"));
            let [x, y] = [0, 1].map(|i| counting(Dtype::F64, kernel.operands[i].len));
            let [before, after] = [kernel, nest].map(|k| k.eval(&[&x, &y], Elementary::Std).unwrap());
            assert_eq!(before, after, "{sizes:?} {batch:?} {transposed:?}");
        }
    }
}

#[track_caller]
fn check_tile(kernel: Kernel, caps: &Caps, expect: [usize; 3]) {
    let kernel = untiled(kernel, caps);
    match form(kernel, caps).1 {
        Form::Tile(Tile { rows, columns, depth, .. }) => assert_eq!([rows, columns, depth], expect),
        Form::Team(lanes) => assert_eq!([1, 1, lanes as usize], expect),
        Form::Cooperative(by) => assert_eq!([by.tile()[0], by.tile()[1], by.shape[2]], expect),
    }
}

#[test]
fn tiles() {
    let card = card();
    let square = |dtype, n| product(dtype, &[], [n, n, n], [false, false]);
    check_tile(square(Dtype::F32, 4096), &card, [128, 128, 8]);
    check_tile(square(Dtype::F32, 1024), &card, [64, 64, 16]);
    check_tile(square(Dtype::F32, 256), &card, [32, 32, 16]);
    check_tile(square(Dtype::F32, 16), &card, [32, 32, 16]);
    check_tile(square(Dtype::F64, 4096), &card, [64, 64, 16]);
    check_tile(product(Dtype::F32, &[1000], [64, 64, 64], [false, false]), &card, [64, 64, 16]);
    check_tile(product(Dtype::F32, &[1000], [20, 64, 64], [false, false]), &card, [32, 32, 16]);
    let small = Caps { workgroup: 128, ..card.clone() };
    check_tile(square(Dtype::F32, 4096), &small, [32, 32, 16]);
    let little = Caps { local_bytes: 16 << 10, ..card.clone() };
    check_tile(square(Dtype::F64, 4096), &little, [32, 32, 16]);
    check_tile(product(Dtype::F32, &[], [16, 16, 40_000], [false, false]), &card, [32, 32, 16]);
    let stops = Caps { iterations: 65_535, ..card };
    check_tile(product(Dtype::F32, &[], [16, 16, 40_000], [false, false]), &stops, [1, 1, 256]);
}

#[test]
fn cooperative_matrices_where_tiles_are_whole() {
    let card = Caps { cooperative: vec![(Dtype::F32, [16, 16, 8]), (Dtype::F64, [8, 8, 4])], ..card() };
    let f32s = |sizes, transposed| product(Dtype::F32, &[2], sizes, transposed);
    check_tile(f32s([128, 64, 64], [false, false]), &card, [64, 64, 8]);
    check_tile(f32s([128, 64, 64], [true, true]), &card, [64, 64, 8]);
    check_tile(product(Dtype::F64, &[], [64, 64, 64], [false, false]), &card, [32, 32, 4]);
    // Parts of tiles, rows that begin anywhere, subgroups that don't fit or can't be required.
    check_tile(f32s([130, 64, 64], [false, false]), &card, [32, 32, 16]);
    check_tile(f32s([64, 96, 64], [false, false]), &card, [32, 32, 16]);
    check_tile(f32s([64, 64, 68], [false, false]), &card, [32, 32, 16]);
    let mut apart = f32s([64, 64, 64], [false, false]);
    let Body::Contract(c) = &mut apart.body else { unreachable!("a product") };
    c.a.row = 66;
    c.a.batch_strides = vec![66 * 64];
    apart.operands[0].len = 2 * 66 * 64;
    apart.verify().unwrap();
    check_tile(apart, &card, [32, 32, 16]);
    check_tile(f32s([64, 64, 64], [false, false]), &Caps { workgroup: 64, ..card.clone() }, [32, 32, 16]);
    check_tile(f32s([64, 64, 64], [false, false]), &Caps { subgroup: None, ..card.clone() }, [32, 32, 16]);
    check_tile(f32s([64, 64, 64], [false, false]), &Caps { cooperative: Vec::new(), ..card }, [32, 32, 16]);
}
