//! The files: `tests/vectors/README.md` is their description, this their reading.

use egrad::{Array, Dtype, Result};
use serde::Deserialize;
use serde::de::{self, DeserializeOwned, Deserializer, Visitor};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fmt;

/// A file: a family of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// `egrad-vectors/1`.
    pub(super) schema: String,
    /// The family's name.
    pub(super) family: String,
    /// What the inputs were drawn with.
    #[expect(dead_code, reason = "read so that every field is known")]
    seed: u64,
    /// What computed the numbers.
    #[expect(dead_code, reason = "read so that every field is known")]
    reference: String,
    /// The cases.
    pub(super) cases: Vec<Case>,
}

/// A program with inputs, and what comes out.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// Its name, unique in the file.
    pub(super) name: String,
    /// `edge`, `convention`, `numpy_differs`, `f64_only`.
    pub(super) tags: Vec<String>,
    /// The functions, by name.
    pub(super) functions: BTreeMap<String, Function>,
    /// What the case calls.
    pub(super) entry: Callable,
    /// The arguments.
    pub(super) inputs: Vec<Tensor>,
    /// `entry(inputs)`.
    pub(super) outputs: Vec<Tensor>,
    /// Reverse mode, where there is a derivative.
    pub(super) vjp: Option<Vjp>,
    /// Forward mode, where there is a derivative.
    pub(super) jvp: Option<Jvp>,
    /// The entry mapped over an axis.
    pub(super) vmap: Vec<Vmap>,
    /// How far JAX's own f32 run is off.
    pub(super) f32_error: Option<F32Error>,
    /// Whether derivatives were compared with differences.
    #[expect(dead_code, reason = "read so that every field is known")]
    finite_difference: bool,
}

/// Gradients for given cotangents.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vjp {
    /// The inputs differentiated by.
    pub(super) wrt: Vec<usize>,
    /// One per output; none for ints and bools.
    pub(super) cotangents: Vec<Option<Tensor>>,
    /// One per position in `wrt`.
    pub(super) grads: Vec<Tensor>,
}

/// Output tangents for given tangents.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Jvp {
    /// The inputs that move.
    pub(super) wrt: Vec<usize>,
    /// One per position in `wrt`.
    pub(super) tangents: Vec<Tensor>,
    /// One per output; none for ints and bools.
    pub(super) outputs: Vec<Option<Tensor>>,
}

/// The entry mapped, with out axis 0.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vmap {
    /// Per input.
    pub(super) in_axes: Vec<Option<isize>>,
    /// The inputs, those mapped with an axis more.
    pub(super) inputs: Vec<Tensor>,
    /// The outputs, stacked along axis 0.
    pub(super) outputs: Vec<Tensor>,
    /// Per-example gradients, stacked along axis 0 for operands that aren't mapped too.
    pub(super) vjp: Option<Vjp>,
}

/// The largest difference of JAX's f32 run, relative to each tensor's largest entry.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct F32Error {
    /// Of the outputs.
    pub(super) outputs: f64,
    /// Of the gradients.
    pub(super) vjp: Option<f64>,
    /// Of the output tangents.
    pub(super) jvp: Option<f64>,
}

/// An element type; `float` is the width under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// f32 or f64.
    Float,
    /// i32.
    Int,
    /// bool.
    Bool,
}

impl Kind {
    /// The element type, where floats are `width` wide.
    pub(super) fn dtype(self, width: Dtype) -> Dtype {
        match self {
            Kind::Float => width,
            Kind::Int => Dtype::I32,
            Kind::Bool => Dtype::Bool,
        }
    }
}

/// Numbers and their shape.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tensor {
    /// The element type.
    pub(super) dtype: Kind,
    /// The shape.
    pub(super) shape: Vec<usize>,
    /// The elements, row-major.
    pub(super) data: Vec<Number>,
}

impl Tensor {
    /// As an array whose floats are `width` wide.
    ///
    /// # Errors
    /// If the shape doesn't hold the elements.
    pub(super) fn array(&self, width: Dtype) -> Result<Array> {
        Array::from_f64(self.dtype.dtype(width), &self.numbers(), self.shape.clone())
    }

    /// The elements; bools are 0 and 1.
    pub(super) fn numbers(&self) -> Vec<f64> {
        self.data.iter().map(|x| x.0).collect()
    }
}

/// An element: a JSON number or bool, or `"nan"`, `"inf"`, `"-inf"`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Number(pub(super) f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> std::result::Result<Number, D::Error> {
        struct Read;
        impl Visitor<'_> for Read {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a bool, \"nan\", \"inf\" or \"-inf\"")
            }
            fn visit_f64<E: de::Error>(self, x: f64) -> std::result::Result<Number, E> {
                Ok(Number(x))
            }
            fn visit_i64<E: de::Error>(self, x: i64) -> std::result::Result<Number, E> {
                Ok(Number(x as f64))
            }
            fn visit_u64<E: de::Error>(self, x: u64) -> std::result::Result<Number, E> {
                Ok(Number(x as f64))
            }
            fn visit_bool<E: de::Error>(self, x: bool) -> std::result::Result<Number, E> {
                Ok(Number(f64::from(u8::from(x))))
            }
            fn visit_str<E: de::Error>(self, x: &str) -> std::result::Result<Number, E> {
                match x {
                    "nan" => Ok(Number(f64::NAN)),
                    "inf" => Ok(Number(f64::INFINITY)),
                    "-inf" => Ok(Number(f64::NEG_INFINITY)),
                    _ => Err(E::invalid_value(de::Unexpected::Str(x), &self)),
                }
            }
        }
        from.deserialize_any(Read)
    }
}

/// A function in single assignment form.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Function {
    /// The parameters.
    pub(super) params: Vec<Param>,
    /// The equations, in order.
    pub(super) body: Vec<Equation>,
    /// Names of the results.
    pub(super) results: Vec<String>,
}

/// A parameter.
#[derive(Debug, Deserialize)]
pub(super) struct Param {
    /// Its name.
    pub(super) name: String,
    /// Its type.
    #[serde(flatten)]
    pub(super) aval: Type,
}

/// An operation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Equation {
    /// Which.
    pub(super) op: String,
    /// Names of the operands.
    pub(super) args: Vec<String>,
    /// Names of the results.
    pub(super) outs: Vec<String>,
    /// The attributes.
    pub(super) attrs: Attrs,
    /// The results' types.
    pub(super) types: Vec<Type>,
}

/// The type of a value, inside the function.
#[derive(Debug, Deserialize)]
pub(super) struct Type {
    /// Its element type.
    pub(super) dtype: Kind,
    /// Its shape.
    pub(super) shape: Vec<usize>,
}

/// An operation's attributes.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Attrs(Map<String, Value>);

impl Attrs {
    /// An attribute that must be there.
    ///
    /// # Errors
    /// If it is missing or of another type.
    pub(super) fn get<T: DeserializeOwned>(&self, name: &str) -> std::result::Result<T, String> {
        self.maybe(name)?.ok_or_else(|| format!("attribute `{name}` is missing"))
    }

    /// An attribute that may be missing or null.
    ///
    /// # Errors
    /// If it is of another type.
    pub(super) fn maybe<T: DeserializeOwned>(&self, name: &str) -> std::result::Result<Option<T>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                let read = serde_json::from_value(value.clone());
                read.map(Some).map_err(|e| format!("attribute `{name}`: {e}"))
            }
        }
    }
}

/// What takes and returns a list of arrays: a function, or a transform of a callable.
#[rustfmt::skip]
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Callable {
    Fn {
        #[serde(rename = "fn")]
        name: String,
    },
    Jit { jit: Box<Callable> },
    Checkpoint { checkpoint: Box<Callable> },
    Grad { grad: Box<Callable>, argnums: Vec<usize> },
    ValueAndGrad { value_and_grad: Box<Callable>, argnums: Vec<usize> },
    Vmap { vmap: Box<Callable>, in_axes: Vec<Option<isize>>, out_axes: OutAxes },
    Jvp { jvp: Box<Callable>, argnums: Vec<usize> },
    Vjp { vjp: Box<Callable>, argnums: Vec<usize> },
    Jacfwd { jacfwd: Box<Callable>, argnum: usize },
    Jacrev { jacrev: Box<Callable>, argnum: usize },
    Hessian { hessian: Box<Callable>, argnum: usize },
}

/// One axis for all outputs, or one for each.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OutAxes {
    /// For all.
    All(isize),
    /// For each.
    Each(Vec<isize>),
}
