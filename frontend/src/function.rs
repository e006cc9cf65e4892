//! Functions of one to eight arguments, written once.

use crate::tree::{Flat, Traced, Tree};
use egrad_ir::Array;

/// A function that can be traced: any `Fn` of tensor trees, and what [`jit`](crate::jit()) and
/// [`eager`](crate::eager) return.
///
/// Inside traced code a jitted function is called as `f.call((x, y))`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a function of tensors",
    note = "a function takes one to eight arguments made of `Tensor`s, and owns what it captures (`move |x: Tensor| …`)"
)]
pub trait Function<A>: 'static {
    /// What it returns.
    type Output;
    /// Calls it with a tuple of its arguments.
    #[track_caller]
    fn call(&self, args: A) -> Self::Output;
    /// As [`call`](Self::call), on behalf of a transform that was written there.
    #[doc(hidden)]
    #[track_caller]
    fn call_at(&self, args: A, at: egrad_ir::Span) -> Self::Output {
        let _ = at;
        self.call(args)
    }
}

/// A tuple of a function's arguments, each made of [`Tensor`](crate::Tensor)s.
pub trait Args: Traced {
    /// The first argument.
    type First: Traced;
    /// A boxed function of these arguments.
    type Fn<O: 'static>: Function<Self, Output = O>;
    /// A function of references to the arguments as arrays.
    type RefFn<O: 'static>: ?Sized + 'static;
    #[doc(hidden)]
    fn first(&self) -> &Self::First;
    /// The path of each leaf, and the number of leaves of each argument.
    #[doc(hidden)]
    fn leaves_per_argument(&self) -> Vec<usize>;
    #[doc(hidden)]
    fn by_value<O: 'static>(f: impl Fn(Self) -> O + 'static) -> Self::Fn<O>;
    #[doc(hidden)]
    fn by_ref<O: 'static>(f: impl for<'a> Fn(Flat<'a, Array>) -> O + 'static) -> Box<Self::RefFn<O>>;
}

/// The argument of position `N`.
#[diagnostic::on_unimplemented(
    message = "there is no argument {N} among `{Self}`",
    label = "no such argument",
    note = "arguments are counted from 0"
)]
pub trait ArgAt<const N: usize>: Args {
    /// That argument.
    type Arg: Traced;
    #[doc(hidden)]
    fn at(&self) -> &Self::Arg;
}

macro_rules! function {
    ($($A:ident $i:tt),*) => {
        impl<Func, Out, $($A),*> Function<($($A,)*)> for Func
        where
            Func: Fn($($A),*) -> Out + 'static,
        {
            type Output = Out;
            #[track_caller]
            #[inline]
            fn call(&self, args: ($($A,)*)) -> Out {
                self($(args.$i),*)
            }
        }

        impl<$($A: Traced),*> Args for ($($A,)*) {
            type First = A;
            type Fn<Out: 'static> = Box<dyn Fn($($A),*) -> Out>;
            type RefFn<Out: 'static> = dyn Fn($(&$A::Arrays),*) -> Out;
            fn first(&self) -> &A {
                &self.0
            }
            fn leaves_per_argument(&self) -> Vec<usize> {
                vec![$(Flat::of(&self.$i).leaves.len()),*]
            }
            #[allow(non_snake_case)]
            fn by_value<Out: 'static>(f: impl Fn(Self) -> Out + 'static) -> Self::Fn<Out> {
                Box::new(move |$($A),*| f(($($A,)*)))
            }
            #[allow(non_snake_case)]
            fn by_ref<Out: 'static>(f: impl for<'a> Fn(Flat<'a, Array>) -> Out + 'static) -> Box<Self::RefFn<Out>> {
                Box::new(move |$($A: &$A::Arrays),*| {
                    let mut flat = Flat::default();
                    $($A.flatten(&mut flat);)*
                    f(flat)
                })
            }
        }
        function!(@at ($($A),*) $($A $i),*);
    };
    (@at $all:tt $($A:ident $i:tt),*) => {$(
        function!(@one $all $A $i);
    )*};
    (@one ($($All:ident),*) $A:ident $i:tt) => {
        impl<$($All: Traced),*> ArgAt<$i> for ($($All,)*) {
            type Arg = $A;
            fn at(&self) -> &$A {
                &self.$i
            }
        }
    };
}
function!(A 0);
function!(A 0, B 1);
function!(A 0, B 1, C 2);
function!(A 0, B 1, C 2, D 3);
function!(A 0, B 1, C 2, D 3, E 4);
function!(A 0, B 1, C 2, D 3, E 4, F 5);
function!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
function!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);
