//! `single` sweeps f32 against f64, `double` compares f64 with correctly rounded values, `special`
//! holds the special values of both, `straight` the code's length and that it needs no branches.

mod double;
#[rustfmt::skip]
mod reference;
mod single;
mod special;
mod straight;
