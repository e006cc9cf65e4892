//! Linear algebra by faer and Fourier transforms by rustfft, a matrix at a time on one thread; under
//! strict numerics by the interpreter's textbook.

use egrad_ir::kernel::{Kernel, Linalg};
use egrad_ir::linalg::{self, sign};
use egrad_ir::{Factor, Numerics, Triangle};
use faer::linalg::triangular_solve as solve;
use faer::{Mat, MatMut, MatRef, Par, Side};
use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};
use std::sync::Arc;

/// A float that both libraries compute with.
pub(crate) trait Real: faer::traits::RealField + rustfft::FftNum + Into<f64> {
    /// The nearest.
    fn nearest(x: f64) -> Self;
    /// The transform of that length, if it is one of this type.
    fn plan(plans: &Plans) -> Option<&Arc<dyn Fft<Self>>>;
}

macro_rules! real {
    ($($T:ident, $Plan:ident;)*) => {$(
        impl Real for $T {
            fn nearest(x: f64) -> $T {
                // Every NaN is the same one.
                if x.is_nan() { $T::NAN } else { x as $T }
            }

            fn plan(plans: &Plans) -> Option<&Arc<dyn Fft<$T>>> {
                match plans {
                    Plans::$Plan(plan) => Some(plan),
                    _ => None,
                }
            }
        }
    )*};
}
real! {
    f32, Single;
    f64, Double;
}

/// What rustfft has prepared for a length.
pub(crate) enum Plans {
    None,
    Single(Arc<dyn Fft<f32>>),
    Double(Arc<dyn Fft<f64>>),
}

/// What is done to each matrix of a kernel.
pub(crate) struct Matrices {
    pub(crate) linalg: Linalg,
    strict: bool,
    plans: Plans,
}

impl Matrices {
    pub(crate) fn new(kernel: &Kernel, linalg: &Linalg) -> Matrices {
        let strict = kernel.numerics == Numerics::Strict;
        let plans = match linalg.kind {
            egrad_ir::Linalg::Fft { inverse } if !strict => {
                let direction = if inverse { rustfft::FftDirection::Inverse } else { rustfft::FftDirection::Forward };
                match kernel.operands[linalg.result].dtype {
                    egrad_ir::Dtype::F32 => Plans::Single(FftPlanner::new().plan_fft(linalg.columns, direction)),
                    _ => Plans::Double(FftPlanner::new().plan_fft(linalg.columns, direction)),
                }
            }
            egrad_ir::Linalg::Fft { .. } | egrad_ir::Linalg::Factor(_) | egrad_ir::Linalg::TriangularSolve(_) => {
                Plans::None
            }
        };
        Matrices { linalg: linalg.clone(), strict, plans }
    }

    /// Does one matrix. Of a triangular solve `x` is the triangle and `y` the right-hand sides.
    pub(crate) fn run<T: Real>(&self, x: &[T], y: &[T], result: &mut [T]) {
        let [m, n] = [self.linalg.rows, self.linalg.columns];
        let empty = result.is_empty() || m == 0 || n == 0;
        match self.linalg.kind {
            _ if self.strict || empty => self.textbook(x, y, result),
            egrad_ir::Linalg::Factor(factor) => {
                // Not all of faer ends where there is a NaN.
                let finite = x.iter().all(|x| (*x).into().is_finite());
                if !finite || factored(factor, MatRef::from_row_major_slice(x, m, n), result).is_none() {
                    self.textbook(x, y, result);
                }
            }
            egrad_ir::Linalg::TriangularSolve(triangle) => {
                result.copy_from_slice(y);
                let a = MatRef::from_row_major_slice(x, m, m);
                triangular_solve(triangle, a, MatMut::from_row_major_slice_mut(result, m, n));
            }
            egrad_ir::Linalg::Fft { .. } => match T::plan(&self.plans) {
                Some(plan) => transform(plan, x, result),
                None => self.textbook(x, y, result),
            },
        }
    }

    /// Does one matrix as the interpreter does.
    fn textbook<T: Real>(&self, x: &[T], y: &[T], result: &mut [T]) {
        let [x, y] = [x, y].map(|x| x.iter().map(|x| (*x).into()).collect::<Vec<f64>>());
        let mut exact = vec![0.0; result.len()];
        linalg::matrix(self.linalg.kind, [self.linalg.rows, self.linalg.columns], &x, &y, &mut exact);
        result.iter_mut().zip(exact).for_each(|(r, x)| *r = T::nearest(x));
    }
}

fn transform<T: Real>(plan: &Arc<dyn Fft<T>>, x: &[T], result: &mut [T]) {
    let (re, im) = x.split_at(x.len() / 2);
    let mut numbers: Vec<Complex<T>> = re.iter().zip(im).map(|(re, im)| Complex::new(*re, *im)).collect();
    plan.process(&mut numbers);
    let (re, im) = result.split_at_mut(numbers.len());
    for ((z, re), im) in numbers.iter().zip(re).zip(im) {
        (*re, *im) = (z.re, z.im);
    }
}

fn triangular_solve<T: Real>(triangle: Triangle, a: MatRef<'_, T>, x: MatMut<'_, T>) {
    let Triangle { lower, transpose, unit } = triangle;
    let a = if transpose { a.transpose() } else { a };
    // The transpose of a lower triangle is an upper one.
    match (lower != transpose, unit) {
        (true, false) => solve::solve_lower_triangular_in_place(a, x, Par::Seq),
        (true, true) => solve::solve_unit_lower_triangular_in_place(a, x, Par::Seq),
        (false, false) => solve::solve_upper_triangular_in_place(a, x, Par::Seq),
        (false, true) => solve::solve_unit_upper_triangular_in_place(a, x, Par::Seq),
    }
}

/// Factors a matrix of finite numbers; `None` if it is singular or no factors were found, which the
/// textbook is left to make something of.
fn factored<T: Real>(factor: Factor, x: MatRef<'_, T>, result: &mut [T]) -> Option<()> {
    let (m, n) = x.shape();
    let mut put = |first: usize, part: MatRef<'_, T>| {
        let width = part.ncols();
        for (i, row) in result[first..].chunks_exact_mut(width).take(part.nrows()).enumerate() {
            row.iter_mut().enumerate().for_each(|(j, r)| *r = part[(i, j)]);
        }
    };
    match factor {
        Factor::Cholesky => {
            let llt = symmetric(x).llt(Side::Lower).ok()?;
            let l = llt.L();
            put(0, Mat::from_fn(n, n, |i, j| if i >= j { l[(i, j)] } else { T::nearest(0.0) }).as_ref());
        }
        Factor::Lu => {
            let lu = x.partial_piv_lu();
            let (l, u) = (lu.L(), lu.U());
            let (order, _) = lu.P().arrays();
            if (0..n).map(|k| u[(k, k)].into()).any(|u: f64| u == 0.0 || !u.is_finite()) {
                return None;
            }
            let part = |i: usize, j: usize| match j {
                j if j == n => T::nearest(order[i] as f64),
                j if j < i => l[(i, j)],
                j => u[(i, j)],
            };
            put(0, Mat::from_fn(m, n + 1, part).as_ref());
        }
        Factor::Qr => {
            let qr = x.qr();
            put(0, qr.compute_thin_Q().as_ref());
            let r = qr.thin_R();
            let upper = |i: usize, j: usize| if i <= j { r[(i, j)] } else { T::nearest(0.0) };
            put(m * n, Mat::from_fn(n, n, upper).as_ref());
        }
        Factor::Eigh => {
            let eigen = symmetric(x).self_adjoint_eigen(Side::Lower).ok()?;
            let (w, v) = (eigen.S().column_vector(), eigen.U());
            let signs: Vec<f64> = (0..n).map(|j| sign((0..n).map(|i| v[(i, j)].into()))).collect();
            put(0, Mat::from_fn(1, n, |_, j| w[j]).as_ref());
            put(n, Mat::from_fn(n, n, |i, j| signed(v[(i, j)], signs[j])).as_ref());
        }
        Factor::Svd => {
            let svd = x.thin_svd().ok()?;
            let (u, s, v) = (svd.U(), svd.S().column_vector(), svd.V());
            let signs: Vec<f64> = (0..n).map(|j| sign((0..n).map(|i| v[(i, j)].into()))).collect();
            put(0, Mat::from_fn(1, n, |_, j| s[j]).as_ref());
            put(n, Mat::from_fn(m, n, |i, j| signed(u[(i, j)], signs[j])).as_ref());
            put(n + m * n, Mat::from_fn(n, n, |i, j| signed(v[(i, j)], signs[j])).as_ref());
        }
    }
    Some(())
}

fn signed<T: Real>(x: T, sign: f64) -> T {
    if sign < 0.0 { -x } else { x }
}

/// (x + xᵀ)/2
fn symmetric<T: Real>(x: MatRef<'_, T>) -> Mat<T> {
    Mat::from_fn(x.nrows(), x.ncols(), |i, j| T::nearest(0.5) * (x[(i, j)] + x[(j, i)]))
}
