//! What is recorded: the text of traced programs.

use egrad::*;
use expect_test::{Expect, expect};

fn f32s(shape: impl Into<Shape>) -> Aval {
    Aval::new(Dtype::F32, shape)
}

/// Compares the program's text; `UPDATE_EXPECT=1` writes it here.
fn check(program: Result<Program>, expected: Expect) {
    let program = program.unwrap();
    program.verify().unwrap();
    expected.assert_eq(&program.to_string());
}

fn square(x: Tensor) -> Tensor {
    x * x
}

#[test]
fn operators_broadcast_and_literals_take_the_type() {
    check(
        trace_avals(|x: Tensor, y: Tensor| 2.0 * x + y, &[f32s([3]), f32s([2, 3])]),
        expect![[r#"
        egrad 1

        fn @0 operators_broadcast_and_literals_take_the_type(%0: f32[3], %1: f32[2,3]) -> (f32[2,3]) {
          %2: f32[] = constant {value = 2.0}
          %3: f32[3] = broadcast_in_dim %2 {shape = [3], dims = []}
          %4: f32[3] = mul %3 %0
          %5: f32[2,3] = broadcast_in_dim %4 {shape = [2,3], dims = [1]}
          %6: f32[2,3] = add %5 %1
          return %6
        }
    "#]],
    );
}

#[test]
fn transforms_record_one_node_each() {
    check(
        trace_avals(grad(square), &[f32s([])]),
        expect![[r#"
        egrad 1

        fn @0 square(%0: f32[]) -> (f32[]) {
          %1: f32[] = mul %0 %0
          return %1
        }

        fn @1 f(%0: f32[]) -> (f32[]) {
          %1: f32[] = constant {value = 1.0}
          %2: (f32[], f32[]) = vjp @0 %0 %1 {wrt = [0]}
          %3: f32[] = get %2 {index = 1}
          return %3
        }
    "#]],
    );
    check(
        trace_avals(vmap(grad(square), 0), &[f32s([3])]),
        expect![[r#"
        egrad 1

        fn @0 square(%0: f32[]) -> (f32[]) {
          %1: f32[] = mul %0 %0
          return %1
        }

        fn @1 f(%0: f32[]) -> (f32[]) {
          %1: f32[] = constant {value = 1.0}
          %2: (f32[], f32[]) = vjp @0 %0 %1 {wrt = [0]}
          %3: f32[] = get %2 {index = 1}
          return %3
        }

        fn @2 f(%0: f32[3]) -> (f32[3]) {
          %1: (f32[3]) = vmap @1 %0 {in_axes = [0], out_axes = [0], size = 3}
          %2: f32[3] = get %1 {index = 0}
          return %2
        }
    "#]],
    );
}

#[test]
fn captured_values_become_parameters_and_operands() {
    let f = |w: Tensor, x: Tensor| {
        let y = w.exp();
        vmap(move |x: Tensor| grad(move |x: Tensor| x * y * w)(x), 0)(x)
    };
    check(
        trace_avals(f, &[f32s([]), f32s([3])]),
        expect![[r#"
        egrad 1

        fn @0 captured_values_become_parameters_and_operands(%0: f32[], %1: f32[], %2: f32[]) -> (f32[]) {
          %3: f32[] = mul %0 %1
          %4: f32[] = mul %3 %2
          return %4
        }

        fn @1 captured_values_become_parameters_and_operands(%0: f32[], %1: f32[], %2: f32[]) -> (f32[]) {
          %3: f32[] = constant {value = 1.0}
          %4: (f32[], f32[]) = vjp @0 %0 %1 %2 %3 {wrt = [0]}
          %5: f32[] = get %4 {index = 1}
          return %5
        }

        fn @2 captured_values_become_parameters_and_operands(%0: f32[], %1: f32[3]) -> (f32[3]) {
          %2: f32[] = exp %0
          %3: (f32[3]) = vmap @1 %1 %2 %0 {in_axes = [0, _, _], out_axes = [0], size = 3}
          %4: f32[3] = get %3 {index = 0}
          return %4
        }
    "#]],
    );
}

#[test]
fn equal_bodies_are_one_function() {
    let f = |x: Tensor| grad(|x: Tensor| x.sin())(x) + grad(|z: Tensor| z.sin())(x);
    assert_eq!(trace_avals(f, &[f32s([])]).unwrap().functions().len(), 2);
}

#[test]
fn what_no_result_needs_is_left_out() {
    let f = |x: Tensor, unused: Tensor| {
        let _ = grad(square)(unused) + x.exp();
        x
    };
    check(
        trace_avals(f, &[f32s([]), f32s([])]),
        expect![[r#"
        egrad 1

        fn @0 what_no_result_needs_is_left_out(%0: f32[], %1: f32[]) -> (f32[]) {
          return %0
        }
    "#]],
    );
}

#[test]
fn captured_arrays_become_hidden_inputs_once() {
    let table = Array::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
    let scalar = Array::from(3.0f32);
    let f = move |x: Tensor| {
        let y = vmap(
            {
                let table = table.clone();
                move |x: Tensor| (x * Tensor::from(&table)).sum()
            },
            0,
        )(x);
        y + Tensor::from(&table).sum() + Tensor::from(&scalar)
    };
    check(
        trace_avals(f, &[f32s([3])]),
        expect![[r#"
        egrad 1

        fn @0 captured_arrays_become_hidden_inputs_once(%0: f32[], %1: f32[2]) -> (f32[]) {
          %2: f32[2] = broadcast_in_dim %0 {shape = [2], dims = []}
          %3: f32[2] = mul %2 %1
          %4: f32[] = reduce_sum %3 {axes = [0]}
          return %4
        }

        fn @1 captured_arrays_become_hidden_inputs_once(%0: f32[3], %1: f32[2]) -> (f32[3]) {
          %2: (f32[3]) = vmap @0 %0 %1 {in_axes = [0, _], out_axes = [0], size = 3}
          %3: f32[3] = get %2 {index = 0}
          %4: f32[] = reduce_sum %1 {axes = [0]}
          %5: f32[3] = broadcast_in_dim %4 {shape = [3], dims = []}
          %6: f32[3] = add %3 %5
          %7: f32[] = constant {value = 3.0}
          %8: f32[3] = broadcast_in_dim %7 {shape = [3], dims = []}
          %9: f32[3] = add %6 %8
          return %9
        }
    "#]],
    );
}

#[test]
fn a_jitted_function_is_called() {
    check(
        trace_avals(vmap(jit(square), 0), &[f32s([3])]),
        expect![[r#"
            egrad 1

            fn @0 square(%0: f32[]) -> (f32[]) {
              %1: f32[] = mul %0 %0
              return %1
            }

            fn @1 square(%0: f32[]) -> (f32[]) {
              %1: (f32[]) = call @0 %0
              %2: f32[] = get %1 {index = 0}
              return %2
            }

            fn @2 f(%0: f32[3]) -> (f32[3]) {
              %1: (f32[3]) = vmap @1 %0 {in_axes = [0], out_axes = [0], size = 3}
              %2: f32[3] = get %1 {index = 0}
              return %2
            }
        "#]],
    );
}
