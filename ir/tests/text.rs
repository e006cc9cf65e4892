//! The text format: what is printed parses back, and what is no program is refused with the place.

use egrad_ir::builder::GraphBuilder;
use egrad_ir::eval::{Elementary, eval};
use egrad_ir::op::Axes;
use egrad_ir::*;
use expect_test::expect;
use proptest::prelude::*;
use std::time::{Duration, Instant};

/// The tutorial's program: per-example gradients of a linear model.
fn tutorial() -> Program {
    let mut program = Program::new();
    let mut b = GraphBuilder::new(&mut program, "squared_error");
    let [w, c, x, y] = [0; 4].map(|_| b.param(Dtype::F32, []).unwrap());
    let product = b.mul(w, x).unwrap();
    let predicted = b.add(product, c).unwrap();
    let error = b.sub(predicted, y).unwrap();
    let square = b.integer_pow(error, 2).unwrap();
    let loss = b.finish(&[square]).unwrap();

    let mut b = GraphBuilder::new(&mut program, "gradient");
    let params = [0; 4].map(|_| b.param(Dtype::F32, []).unwrap());
    let one = b.constant(Dtype::F32, 1.0).unwrap();
    let args: Vec<NodeId> = params.into_iter().chain([one]).collect();
    let parts = b.vjp(loss, &[0, 1], &args).unwrap();
    let gradient = b.finish(&parts[1..]).unwrap();

    let mut b = GraphBuilder::new(&mut program, "main");
    let [w, c] = [0; 2].map(|_| b.param(Dtype::F32, []).unwrap());
    let [x, y] = [0; 2].map(|_| b.param(Dtype::F32, [5]).unwrap());
    let all = b.vmap(gradient, &[None, None, Some(0), Some(0)], &[0, 0], 5, &[w, c, x, y]).unwrap();
    b.finish(&all).unwrap();
    program
}

#[test]
fn the_tutorial_prints() {
    let program = tutorial();
    program.verify().unwrap();
    expect![[r#"
        egrad 1

        fn @0 squared_error(%0: f32[], %1: f32[], %2: f32[], %3: f32[]) -> (f32[]) {
          %4: f32[] = mul %0 %2
          %5: f32[] = add %4 %1
          %6: f32[] = sub %5 %3
          %7: f32[] = integer_pow %6 {n = 2}
          return %7
        }

        fn @1 gradient(%0: f32[], %1: f32[], %2: f32[], %3: f32[]) -> (f32[], f32[]) {
          %4: f32[] = constant {value = 1.0}
          %5: (f32[], f32[], f32[]) = vjp @0 %0 %1 %2 %3 %4 {wrt = [0, 1]}
          %6: f32[] = get %5 {index = 0}
          %7: f32[] = get %5 {index = 1}
          %8: f32[] = get %5 {index = 2}
          return %7 %8
        }

        fn @2 main(%0: f32[], %1: f32[], %2: f32[5], %3: f32[5]) -> (f32[5], f32[5]) {
          %4: (f32[5], f32[5]) = vmap @1 %0 %1 %2 %3 {in_axes = [_, _, 0, 0], out_axes = [0, 0], size = 5}
          %5: f32[5] = get %4 {index = 0}
          %6: f32[5] = get %4 {index = 1}
          return %5 %6
        }
    "#]]
    .assert_eq(&program.to_string());
    assert_eq!(Program::parse(&program.to_string()).unwrap(), program);
    let alone = format!("egrad 1 {}", program.function(FnId(0)));
    assert_eq!(Program::parse(&alone).unwrap().entry(), program.function(FnId(0)));
}

const EVERY_OP: &str = "\
egrad 1

fn @0 every_op(%0: f32[2,3], %1: i32[2,3], %2: bool[2,3]) -> () {
  %3: f32[2,3] = neg %0
  %4: f32[] = constant {value = -0.0}
  %5: f32[] = constant {value = nan}
  %6: f32[] = constant {value = nan(0xffc00001)}
  %7: f64[] = constant {value = -inf}
  %8: f64[] = constant {value = 1e-320}
  %9: i32[] = constant {value = -2147483648}
  %10: bool[] = constant {value = true}
  %11: f32[3,4] = iota {dtype = f32, shape = [3,4], axis = 1}
  %12: bool[2,3] = le %0 %3
  %13: f32[2,3] = select %12 %0 %3
  %14: f32[2,3] = integer_pow %0 {n = -3}
  %15: i32[2,3] = convert %0 {dtype = i32}
  %16: f32[2,5,3] = broadcast_in_dim %0 {shape = [2,5,3], dims = [0, 2]}
  %17: f32[6] = reshape %0 {shape = [6]}
  %18: f32[3,2] = transpose %0 {perm = [1, 0]}
  %19: f32[2] = reduce_sum %0 {axes = [1]}
  %20: f32[] = reduce_max %0 {axes = [0, 1]}
  %21: f32[2,4] = dot_general %0 %11 {contract = [[1], [0]], batch = [[], []]}
  %22: bool[2,3] = and %2 %12
  return
}
";

#[test]
fn every_attribute_round_trips() {
    let program = Program::parse(EVERY_OP).unwrap();
    program.verify().unwrap();
    assert_eq!(program.to_string(), EVERY_OP);
}

#[test]
fn what_may_be_left_out() {
    let short = "// a comment
egrad 1 # another
fn helper(%7:f32[3])->(f32[]){%3=reduce_sum %7{axes=[0]}return %3}
fn @9 \"two words\"(%7: f32[3]) {
  %4294967294 = exp
     %7     // operands may be on other lines
  %0 = constant {value = false}
  return %4294967294 %0
}
fn @0 main(%0: f32[3]) { %1 = call @9 %0 %2 = get %1 {index = 0} return %2 %2 }";
    let program = Program::parse(short).unwrap();
    assert_eq!(program.functions().len(), 3);
    assert_eq!(program.function(FnId(1)).name, "two words");
    assert_eq!(program.function(FnId(1)).result_avals()[1], Aval::new(Dtype::Bool, []));
    assert_eq!(Program::parse(&program.to_string()).unwrap(), program);
    let exp = program.function(FnId(1)).node(NodeId(1));
    assert_eq!(exp.span, Span::Text { line: 5, column: 3 });
    // Windows line ends, a byte order mark, tabs.
    let odd = format!("\u{feff}{}", short.replace('\n', "\r\n").replace("  ", "\t"));
    assert_eq!(Program::parse(&odd).unwrap(), program);
}

#[test]
fn odd_names_round_trip() {
    for name in
        ["", "a b", "\"", "\\", "line\nbreak", "\u{7f}\u{0}\u{2028}", "ünïcødé 🦀", "3x", "fn", "return", "_", "a.b"]
    {
        let mut program = Program::new();
        program.add(Function::new(name, []));
        let text = program.to_string();
        assert_eq!(Program::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}")), program);
    }
}

#[test]
fn malformed_text_is_refused_with_the_place() {
    let f = |body: &str| format!("egrad 1\nfn @0 f(%0: f32[2], %1: i32[]) {{\n{body}\n}}\n");
    let table: Vec<(String, &str, &str)> = vec![
        (String::new(), "1:1", "expected `egrad`, found the end of the text"),
        ("egrad".into(), "1:6", "expected `1`, the only version"),
        ("egrad 2".into(), "1:7", "found `2`"),
        ("egrad 1".into(), "1:8", "expected a function, which starts with `fn`, found the end"),
        ("egrad 1 fnord".into(), "1:9", "found `fnord`"),
        ("egrad 1 fn @0 {".into(), "1:15", "expected the function's name, found `{`"),
        ("egrad 1 fn f {".into(), "1:14", "expected `(` that starts the parameters"),
        ("egrad 1 fn f(x: f32[])".into(), "1:14", "expected a parameter, such as `%0: f32[]`, found `x`"),
        ("egrad 1 fn f(%0)".into(), "1:16", "expected `:` and the parameter's type"),
        (
            "egrad 1 fn f(%0: f8[])".into(),
            "1:18",
            "expected an element type (`f32`, `f64`, `f16`, `bf16`, `i32`, `i64`, `u32`, `u8` or `bool`), found `f8`",
        ),
        ("egrad 1 fn f(%0: f32)".into(), "1:21", "expected `[`"),
        ("egrad 1 fn f(%0: f32[-1])".into(), "1:22", "expected a number of elements, found `-1`"),
        ("egrad 1 fn f(%0: f32[1 2])".into(), "1:24", "expected `,` or `]` after a number"),
        ("egrad 1 fn f(%0: f32[18446744073709551616])".into(), "1:22", "expected a number of elements"),
        ("egrad 1 fn f(%0: f32[18446744073709551615,2])".into(), "1:14", "more than any memory holds"),
        (format!("egrad 1 fn f(%0: f32[{}1])", "1,".repeat(70)), "1:150", "more than 64 axes"),
        ("egrad 1 fn f(%0: f32[], %0: f32[])".into(), "1:25", "`%0` is defined twice"),
        ("egrad 1 fn f(%0: f32[] %1: f32[])".into(), "1:24", "expected `,` or `)` after a parameter"),
        ("egrad 1 fn f() ->".into(), "1:18", "expected `(` that starts a list of types"),
        ("egrad 1 fn f() -> (f32[]) { return }".into(), "1:16", "the function returns (), not (f32[])"),
        ("egrad 1 fn f() { return } fn".into(), "1:29", "expected the function's name"),
        ("egrad 1 fn @0 f() { return } fn @0 g() { return }".into(), "1:33", "`@0` is defined twice"),
        ("egrad 1 fn \"f() { return }".into(), "1:12", "no closing `\"`"),
        ("egrad 1 fn \"\\q\"() { return }".into(), "1:12", "a `\\` in a string must be followed by"),
        ("egrad 1 fn \"\\u{110000}\"() { return }".into(), "1:12", "is no character"),
        (f(""), "4:1", "expected a value's definition (`%1 = …`) or `return`, found `}`"),
        (f("return %0"), "", ""),
        (f("return %2"), "3:8", "`%2` is not defined"),
        (f("return 2"), "3:8", "expected `}` or a value to return, found `2`"),
        (f("%2 neg %0 return"), "3:4", "expected `=` and what the value is, found `neg`"),
        (f("%2 = %0 return"), "3:6", "expected the name of an operation or a transform, found `%0`"),
        (f("%2 = negate %0 return"), "3:6", "there is no operation `negate`"),
        (f("%2 = reduce_min %0 return"), "3:6", "did you mean `reduce_max`?"),
        (f("%2 = ad %0 %0 return"), "3:6", "did you mean `add`?"),
        (f(&format!("%2 = {} %0 return", "x".repeat(99999))), "3:6", "of 99999 letters"),
        (f("%2 = neg %2 return"), "3:10", "`%2` is not defined: values are defined before they are used"),
        (f("%2 = neg %3 %3 = neg %0 return"), "3:10", "`%3` is not defined"),
        (f("%0 = neg %0 return"), "3:1", "`%0` is defined twice"),
        (f("%2 = add %0 return"), "3:6", "`add` takes 2 operands, found 1"),
        (f("%2 = add %0 %0 %0 return"), "3:6", "`add` takes 2 operands, found 3"),
        (f("%2 = add %0 %1 return"), "3:1", "`add` takes operands of one type, not f32[2] and i32[]"),
        (f("%2: f32[3] = neg %0 return"), "3:5", "`%2` is f32[2], not f32[3]"),
        (f("%2: (f32[2]) = neg %0 return"), "3:5", "`%2` is f32[2], not (f32[2])"),
        (f("%2 = neg @0 %0 return"), "3:10", "`@0` is not defined: functions come before"),
        (f("%2 = call @1 %0 return"), "3:11", "`@1` is not defined"),
        (f("%2 = call %0 return"), "3:6", "`call` needs a function"),
        (f("%2 = get %0 {index = 0} return"), "3:10", "`get` takes a tuple"),
        (f("%2 = get {index = 0} return"), "3:6", "`get` takes one tuple, not 0 operands"),
        (f("%2 = neg %0 {n = 1} return"), "3:18", "`neg` has no attribute `n`"),
        (f("%2 = integer_pow %0 return"), "3:6", "`integer_pow` needs the attribute `n`"),
        (f("%2 = integer_pow %0 {n = 2, n = 2} return"), "3:29", "attribute `n` is given twice"),
        (f("%2 = integer_pow %0 {n = 2147483648} return"), "3:26", "expected a number for `n` that fits it"),
        (f("%2 = integer_pow %0 {n = 2.0} return"), "3:26", "expected a number for `n`"),
        (f("%2 = integer_pow %0 {n 2} return"), "3:24", "expected `=` and the attribute's value"),
        (f("%2 = integer_pow %0 {a=1,b=1,c=1,d=1,e=1} return"), "3:38", "no operation has more than 4 attributes"),
        (f("%2 = constant {value = 1.5} return"), "3:6", "a constant needs its type"),
        (f("%2: i32[] = constant {value = 1.5} return"), "3:31", "`1.5` is no i32"),
        (f("%2: i32[] = constant {value = 2147483648} return"), "3:31", "`2147483648` is no i32"),
        (f("%2: f32[] = constant {value = 1e39} return"), "3:31", "too large for f32; write `inf`"),
        (f("%2: f64[] = constant {value = 1e999} return"), "3:31", "too large for f64"),
        (f("%2: f64[] = constant {value = 1x} return"), "3:31", "`1x` is no number"),
        (f("%2: f32[] = constant {value = nan(0x1)} return"), "3:31", "not the bits of a NaN of f32"),
        (f("%2: f32[] = constant {value = nan(0x7ff8000000000000)} return"), "3:31", "not the bits of a NaN"),
        (f("%2: bool[] = constant {value = 1} return"), "3:32", "`1` is neither `true` nor `false`"),
        (f("%2: bool[2] = constant {value = true} return"), "3:5", "`%2` is bool[], not bool[2]"),
        (f("%2 = reshape %0 {shape = 2} return"), "3:26", "expected a list for `shape`"),
        (f("%2 = reshape %0 {shape = [[2]]} return"), "3:26", "an element of `shape` is not what `reshape` takes"),
        (f("%2 = reshape %0 {shape = [[[2]]]} return"), "3:28", "expected a number or a word, found `[`"),
        (f("%2 = reshape %0 {shape = [3]} return"), "3:1", "can't reshape f32[2] (2 elements) to [3]"),
        (f("%2 = reshape %0 {shape = [2} return"), "3:28", "expected `,` or `]` in a list, found `}`"),
        (f("%2 = reduce_sum %0 {axes = [1]} return"), "3:1", "axis 1 of `reduce_sum` is out of range for rank 1"),
        (f("%2 = dot_general %0 %0 {contract = [[0]], batch = [[], []]} return"), "3:6", "a pair of lists"),
        (f("%2 = convert %0 {dtype = f8} return"), "3:26", "expected an element type"),
        (f("%2 = neg %99999999999 return"), "3:10", "`%99999999999` is too large"),
        (f("%2 = neg % return"), "3:10", "expected a number after `%`"),
        (f("%2 = neg %0; return"), "3:12", "`;` has no meaning here"),
        (f("%2 = neg %0 /* */ return"), "3:13", "`/` has no meaning here"),
        (f("é"), "3:1", "`é` has no meaning here"),
    ];
    for (text, place, expect) in table {
        if expect.is_empty() {
            Program::parse(&text).unwrap();
            continue;
        }
        let error = Program::parse(&text).expect_err(expect);
        let Span::Text { line, column } = error.report().at else { panic!("{error} has no place") };
        let shown: String = text.chars().take(200).collect();
        assert_eq!(format!("{line}:{column}"), place, "{shown}\n{error}");
        assert!(error.to_string().contains(expect), "{shown}\n{error}\nshould say: {expect}");
    }
}

#[test]
fn malformed_transforms_are_refused() {
    let head = "egrad 1 fn @0 f(%0: f32[], %1: i32[]) { return %0 %1 }\nfn @1 g(%0: f32[], %1: i32[], %2: f32[3]) {\n";
    let table = [
        ("%3 = call @0 %0", "must be", "takes 2 argument"),
        ("%3 = call @0 %2 %1", "argument 0 of `f` must be f32[], not f32[3]", ""),
        ("%3 = call @1 %0 %1", "`@1` is not defined", ""),
        ("%3 = call @0 %0 %1 {size = 1}", "`call` has no attribute `size`", ""),
        ("%3 = jvp @0 %0 %1 %0", "`jvp` needs the attribute `wrt`", ""),
        ("%3 = jvp @0 %0 %1 %0 {wrt = [1]}", "only floats have derivatives", ""),
        ("%3 = vjp @0 %0 %1 %0 {wrt = [2]}", "there is no argument 2", ""),
        ("%3 = vjp @0 %0 %1 %0 {wrt = [0, 0]}", "must increase", ""),
        ("%3 = vmap @0 %2 %1 {in_axes = [0, _], out_axes = [0], size = 3}", "1 out_axes", ""),
        ("%3 = vmap @0 %2 %1 {in_axes = [1, _], out_axes = [0, 0], size = 3}", "in_axes 1 is out of range", ""),
        ("%3 = vmap @0 %2 %1 {in_axes = [0, _], out_axes = [0, 1], size = 3}", "out_axes 1 is out of range", ""),
        ("%3 = vmap @0 %2 %1 {in_axes = [0, _], out_axes = [0, 0], size = 4}", "must be f32[4], not f32[3]", ""),
        ("%3 = vmap @0 %2 %1 {in_axes = [0, x], out_axes = [0, 0], size = 3}", "an element of `in_axes`", ""),
        ("%3 = call @0 %0 %1 %4 = neg %3", "operand %3 is a tuple: take its parts by `get`", ""),
        ("%3 = call @0 %0 %1 %4 = get %3 {index = 2}", "there is no result 2 of a tuple of 2", ""),
        ("%3 = call @0 %0 %1 return %3", "`%3` is a tuple", ""),
        ("%3: f32[] = call @0 %0 %1", "`%3` is (f32[], i32[]), not f32[]", ""),
        ("%3: (f32[]) = call @0 %0 %1", "`%3` is (f32[], i32[]), not (f32[])", ""),
    ];
    for (line, expect, or) in table {
        let error = Program::parse(&format!("{head}{line} return }}")).expect_err(line);
        let Span::Text { line: 3, .. } = error.report().at else { panic!("{error}: not in line 3") };
        let text = error.to_string();
        assert!(text.contains(expect) || (!or.is_empty() && text.contains(or)), "{line}: {text}\nshould say: {expect}");
    }
}

#[test]
fn every_truncation_is_an_error() {
    let text = tutorial().to_string();
    for end in 0..text.trim_end().len() {
        if let Ok(program) = Program::parse(&text[..end]) {
            // Whole functions make a program too.
            assert!(text[..end].trim_end().ends_with('}') && program.functions().len() < 3, "{}", &text[..end]);
        }
    }
}

#[track_caller]
fn quickly<T>(run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    result
}

#[test]
fn huge_texts_parse_in_linear_time() {
    // A million nodes, one function; then the same in one line.
    let mut text = "egrad 1\nfn f(%0: f32[]) {\n".to_owned();
    for i in 1..=1_000_000 {
        text.push_str(&format!("%{i} = neg %{}\n", i - 1));
    }
    text.push_str("return %1000000 }");
    let program = quickly(|| Program::parse(&text).unwrap());
    assert_eq!(program.entry().len(), 1_000_001);
    let line = quickly(|| Program::parse(&text.replace('\n', " ")).unwrap());
    assert_eq!(line, program);
    quickly(|| program.verify().unwrap());
    assert_eq!(quickly(|| Program::parse(&program.to_string()).unwrap()), program);
}

#[test]
fn hostile_texts_are_refused_in_time_and_memory() {
    let n = 3_000_000;
    let starts = ["", "egrad 1 ", "egrad 1 fn f(", "egrad 1 fn f() { ", "egrad 1 fn f() { %1 = neg ", "egrad 1 fn \""];
    for start in starts {
        for part in
            ["(", "[", "{", "%0 ", "%0: f32[], ", "-", "\\", "\"", "#", "/", "0", ".", "é", "\n", "a", "fn ", "{a="]
        {
            let text = start.to_owned() + &part.repeat(n / part.len());
            let error = quickly(|| Program::parse(&text).unwrap_err());
            assert!(error.to_string().len() < 1000, "{start} {part}");
        }
    }
    for deep in ["[", "[["] {
        let text = format!("egrad 1 fn f() {{ %0 = iota {{shape = {}", deep.repeat(1_000_000));
        quickly(|| Program::parse(&text).unwrap_err());
    }
    // Wide axes lists, and many results of many calls.
    let wide = format!("egrad 1 fn f(%0: f32[]) {{ %1 = transpose %0 {{perm = [{}0]}} return }}", "0,".repeat(n));
    assert!(quickly(|| Program::parse(&wide).unwrap_err()).to_string().contains("64 are the most"));
    let results = "%0 ".repeat(100_000);
    let calls: String = (0..100_000).map(|i| format!("%{i} = call @0 %x\n").replace("%x", "")).collect();
    let many =
        format!("egrad 1 fn @0 f() {{ %0 = constant {{value = true}} return {results}}} fn g() {{ {calls} return }}");
    assert!(quickly(|| Program::parse(&many).unwrap_err()).to_string().contains("too many results"));
    // Each function adds an axis to the last one's result.
    let mut nested = "egrad 1 fn @0 f() { %0 = constant {value = true} return %0 }\n".to_owned();
    for i in 1..100 {
        let vmap = format!("vmap @{} {{in_axes = [], out_axes = [0], size = 1}}", i - 1);
        nested.push_str(&format!("fn @{i} f() {{ %0 = {vmap} %1 = get %0 {{index = 0}} return %1 }}\n"));
    }
    assert!(quickly(|| Program::parse(&nested).unwrap_err()).to_string().contains("64 are the most"));
    let growing = nested.replace("size = 1}", "size = 1000}");
    assert!(quickly(|| Program::parse(&growing).unwrap_err()).to_string().contains("more than any memory"));
}

/// Random numbers as a generator of structure.
struct Dice(std::vec::IntoIter<u32>);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0.next().unwrap_or(0) as usize % sides.max(1)
    }
}

fn random_op(dice: &mut Dice, f: &Function, pick: NodeId) -> Op {
    let aval = f.aval(pick).clone();
    let rank = aval.shape.rank();
    let some = |dice: &mut Dice| (0..rank).filter(|_| dice.roll(2) == 0).collect::<Axes>();
    match dice.roll(20) {
        0 => Op::Unary(Unary::ALL[dice.roll(Unary::ALL.len())]),
        1 | 2 => Op::Binary(Binary::ALL[dice.roll(Binary::ALL.len())]),
        3 => Op::Compare(Compare::ALL[dice.roll(6)]),
        4 => Op::IntegerPow(dice.roll(7) as i32 - 3),
        5 => Op::Convert(Dtype::ALL[dice.roll(Dtype::ALL.len())]),
        6 => {
            let mut shape = aval.shape.to_vec();
            let at = dice.roll(rank + 1);
            shape.insert(at, dice.roll(3));
            Op::BroadcastInDim { shape: shape.into(), dims: (0..=rank).filter(|d| *d != at).collect() }
        }
        7 => Op::Reshape([aval.shape.size()].into()),
        8 => Op::Transpose((0..rank).rev().collect()),
        9 => Op::Reduce { kind: Reduce::ALL[dice.roll(2)], axes: some(dice) },
        10 => {
            let bits = u64::from(dice.roll(usize::MAX) as u32) << (32 * dice.roll(2));
            let dtype = Dtype::ALL[dice.roll(Dtype::ALL.len())];
            Op::Constant(Literal::from_bits(dtype, bits).unwrap_or(Literal::new(dtype, 0.5)))
        }
        11 => Op::Slice { start: (0..rank).map(|_| 0).collect(), limit: aval.shape.iter().map(|n| n / 2).collect() },
        12 => {
            let mut amounts = || (0..rank).map(|_| dice.roll(3)).collect();
            Op::Pad { low: amounts(), high: amounts() }
        }
        13 => Op::Reverse(some(dice)),
        14 => Op::Concatenate(dice.roll(rank.max(1))),
        15 => Op::Argsort(dice.roll(rank.max(1))),
        18 => Op::Linalg(match dice.roll(3) {
            0 => Linalg::Factor(Factor::ALL[dice.roll(Factor::ALL.len())]),
            1 => Linalg::Fft { inverse: dice.roll(2) == 0 },
            _ => Linalg::TriangularSolve(Triangle {
                lower: dice.roll(2) == 0,
                transpose: dice.roll(2) == 0,
                unit: dice.roll(2) == 0,
            }),
        }),
        16 => Op::Take { axis: dice.roll(rank.max(1)), batch: 0 },
        17 => Op::Scatter { kind: Reduce::ALL[dice.roll(Reduce::ALL.len())], axis: dice.roll(rank.max(1)), batch: 0 },
        _ => Op::DotGeneral(DotDims { contract: [some(dice), Axes::new()], batch: Default::default() }),
    }
}

/// A program of random functions; functions after the first may apply transforms to earlier ones.
fn random_program(seeds: Vec<u32>) -> Program {
    let mut dice = Dice(seeds.into_iter());
    let mut program = Program::new();
    for index in 0..1 + dice.roll(4) {
        let params: Vec<(Aval, Span)> = (0..dice.roll(4))
            .map(|_| {
                let shape: Vec<usize> = (0..dice.roll(3)).map(|_| dice.roll(4)).collect();
                (Aval::new(Dtype::ALL[dice.roll(Dtype::ALL.len())], shape), Span::here())
            })
            .collect();
        let mut f = Function::new(["main", "a b", "", "f.1"][dice.roll(4)], params);
        let mut values: Vec<NodeId> = f.params().collect();
        for _ in 0..dice.roll(12) {
            if index > 0 && dice.roll(3) == 0 {
                values.extend(random_apply(&mut dice, &program, &mut f));
                continue;
            }
            let Some(pick) = values.get(dice.roll(values.len())).copied() else {
                values.push(f.add(Op::Constant(Literal::new(Dtype::F64, 0.1)), &[], Span::here()).unwrap());
                continue;
            };
            let op = random_op(&mut dice, &f, pick);
            let args = vec![pick; op.arity()];
            values.extend(f.add(op, &args, Span::here()).ok());
        }
        let results = (0..dice.roll(4)).filter_map(|_| values.get(dice.roll(values.len())).copied()).collect();
        f.set_results(results);
        program.add(f);
    }
    program
}

/// A random transform of a random function, its operands made of constants.
fn random_apply(dice: &mut Dice, program: &Program, f: &mut Function) -> Vec<NodeId> {
    let callee = FnId::from(dice.roll(program.functions().len()));
    let (params, results) = (program.function(callee).param_avals(), program.function(callee).result_avals());
    let floats = |avals: &[Aval]| avals.iter().filter(|a| a.dtype.is_float()).cloned().collect::<Vec<_>>();
    let wrt: Vec<usize> = (0..params.len()).filter(|i| params[*i].dtype.is_float() && dice.roll(2) == 0).collect();
    let (transform, args) = match dice.roll(4) {
        0 => (Transform::Call, params),
        1 => {
            let tangents: Vec<Aval> = wrt.iter().map(|i| params[*i].clone()).collect();
            (Transform::Jvp { wrt }, [params, tangents].concat())
        }
        2 => (Transform::Vjp { wrt }, [params, floats(&results)].concat()),
        _ => {
            let size = dice.roll(3);
            let axis = |dice: &mut Dice, a: &Aval| dice.roll(a.shape.rank() + 1);
            let in_axes: Vec<Option<usize>> =
                params.iter().map(|p| (dice.roll(3) > 0).then(|| axis(dice, p))).collect();
            let out_axes = results.iter().map(|r| axis(dice, r)).collect();
            let stacked = params.iter().zip(&in_axes).map(|(p, axis)| match axis {
                Some(axis) => Aval::new(p.dtype, p.shape.insert(*axis, size)),
                None => p.clone(),
            });
            let args = stacked.collect();
            (Transform::Vmap { in_axes, out_axes, size }, args)
        }
    };
    let ids: Vec<NodeId> = args
        .iter()
        .map(|aval| {
            let scalar = f.add(Op::Constant(Literal::new(aval.dtype, 1.0)), &[], Span::here()).unwrap();
            let op = Op::BroadcastInDim { shape: aval.shape.clone(), dims: Axes::new() };
            f.add(op, &[scalar], Span::here()).unwrap()
        })
        .collect();
    let avals = program.apply_avals(&transform, callee, &args).unwrap();
    f.apply(transform, callee, &ids, avals, Span::here())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn random_programs_round_trip(seeds in prop::collection::vec(any::<u32>(), 0..300)) {
        let program = random_program(seeds);
        program.verify().unwrap();
        let text = program.to_string();
        let back = Program::parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        prop_assert_eq!(&back, &program);
        prop_assert_eq!(back.to_string(), text);
        for (id, f) in program.functions().filter(|(_, f)| f.is_plain()) {
            let inputs: Vec<Array> =
                f.param_avals().iter().map(|a| Array::full(a.shape.clone(), Literal::new(a.dtype, 0.75)).unwrap()).collect();
            let inputs: Vec<&Array> = inputs.iter().collect();
            let run = |f: &Function| eval(f, &inputs, Elementary::Shared).unwrap();
            let results = run(f);
            prop_assert_eq!(&results, &run(back.function(id)));
            prop_assert_eq!(results.iter().map(|r| r.aval().clone()).collect::<Vec<_>>(), f.result_avals());
        }
    }

    #[test]
    fn mutilated_texts_never_panic(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..24usize), 1..6),
    ) {
        const PARTS: [&str; 24] = [
            "%", "@", "%0", "%4294967295", "@0", "(", ")", "[", "]", "{", "}", ",", ":", "=", "->", "..", "\"", "#",
            "-1", "1e999", "nan(", "fn ", "return", "é",
        ];
        let mut text = tutorial().to_string() + EVERY_OP.trim_start_matches("egrad 1");
        for (from, to, part) in cuts {
            let boundary = |i: usize| (0..=i).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            let from = boundary(from.index(text.len() + 1));
            let to = boundary((from + to.index(12)).min(text.len())).max(from);
            text.replace_range(from..to, PARTS[part]);
        }
        match Program::parse(&text) {
            Ok(program) => program.verify().unwrap(),
            Err(error) => prop_assert!(error.report().at != Span::Unknown, "{}", error),
        }
    }

    #[test]
    fn any_text_is_an_error(text in "\\PC*") {
        prop_assert!(Program::parse(&text).is_err());
    }
}
