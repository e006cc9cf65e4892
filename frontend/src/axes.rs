//! Axes for trees: what `vmap` takes as `in_axes` and `out_axes`.

use crate::tensor::Tensor;
use crate::tree::{Flat, Traced};
use egrad_ir::{Error, Result};
use std::collections::BTreeMap;

/// An axis for every leaf of a tree `T`, as a *prefix*: where an axis stands for a subtree, all its
/// leaves have that axis. Negative axes count from the end; `None` is not mapped.
///
/// For arguments `(params, x)` of which `params` is a tuple of two tensors: `(None, 0)` maps `x`
/// alone, `((0, None), 0)` also the first of `params`, and `0` maps everything. A struct that
/// derives [`Tree`](crate::Tree) takes itself with axes for leaves.
#[diagnostic::on_unimplemented(
    message = "the axes `{Self}` don't fit `{T}`",
    label = "give an axis (`0`) or `None` per argument, or one for all",
    note = "axes are a prefix of the tree: an axis where a whole subtree has that axis, else a tuple, `Vec`, array or \
            struct of axes"
)]
pub trait Axes<T> {
    /// Lists the axis of each leaf of the tree.
    ///
    /// # Errors
    /// If the numbers of axes and of elements differ in a `Vec`.
    fn axes(&self, tree: &T, into: &mut Vec<Option<isize>>) -> Result<()>;
}

macro_rules! axis {
    ($($T:ty),*) => {$(
        impl<T: Traced> Axes<T> for $T {
            fn axes(&self, tree: &T, into: &mut Vec<Option<isize>>) -> Result<()> {
                let axis = *self as isize;
                into.extend(Flat::<Tensor>::of(tree).leaves.iter().map(|_| Some(axis)));
                Ok(())
            }
        }
    )*};
}
axis!(i32, isize, usize);

impl<T: Traced> Axes<T> for Option<isize> {
    fn axes(&self, tree: &T, into: &mut Vec<Option<isize>>) -> Result<()> {
        into.extend(Flat::<Tensor>::of(tree).leaves.iter().map(|_| *self));
        Ok(())
    }
}

fn each<T, X: Axes<T>>(axes: &[X], trees: &[T], into: &mut Vec<Option<isize>>) -> Result<()> {
    if axes.len() != trees.len() {
        return Err(Error::tree(format!("{} axes are given for {} elements", axes.len(), trees.len())));
    }
    axes.iter().zip(trees).try_for_each(|(x, t)| x.axes(t, into))
}

impl<T, X: Axes<T>> Axes<Vec<T>> for Vec<X> {
    fn axes(&self, tree: &Vec<T>, into: &mut Vec<Option<isize>>) -> Result<()> {
        each(self, tree, into)
    }
}

impl<T, X: Axes<T>, const N: usize> Axes<[T; N]> for [X; N] {
    fn axes(&self, tree: &[T; N], into: &mut Vec<Option<isize>>) -> Result<()> {
        each(self, tree, into)
    }
}

impl<T, X> Axes<Option<T>> for Option<Option<X>>
where
    Option<X>: Axes<T>,
{
    fn axes(&self, tree: &Option<T>, into: &mut Vec<Option<isize>>) -> Result<()> {
        match (self, tree) {
            (Some(axis), Some(tree)) => axis.axes(tree, into),
            (None, None) => Ok(()),
            (Some(_), None) => Err(Error::tree("axes for a `Some` are given for a `None`")),
            (None, Some(_)) => Err(Error::tree("axes for a `None` are given for a `Some`")),
        }
    }
}

impl<T, X: Axes<T>> Axes<Box<T>> for Box<X> {
    fn axes(&self, tree: &Box<T>, into: &mut Vec<Option<isize>>) -> Result<()> {
        X::axes(self, tree, into)
    }
}

impl<T, X: Axes<T>> Axes<BTreeMap<String, T>> for BTreeMap<String, X> {
    fn axes(&self, tree: &BTreeMap<String, T>, into: &mut Vec<Option<isize>>) -> Result<()> {
        if !self.keys().eq(tree.keys()) {
            let keys = |of: &mut dyn Iterator<Item = &String>| format!("{:?}", of.collect::<Vec<_>>());
            let (mine, theirs) = (keys(&mut self.keys()), keys(&mut tree.keys()));
            return Err(Error::tree(format!("axes for the keys {mine} are given for the keys {theirs}")));
        }
        self.values().zip(tree.values()).try_for_each(|(x, t)| x.axes(t, into))
    }
}

macro_rules! tuple {
    ($($T:ident $X:ident $i:tt),*) => {
        impl<$($T, $X: Axes<$T>),*> Axes<($($T,)*)> for ($($X,)*) {
            fn axes(&self, tree: &($($T,)*), into: &mut Vec<Option<isize>>) -> Result<()> {
                $(self.$i.axes(&tree.$i, into)?;)*
                Ok(())
            }
        }
    };
}
tuple!(A X0 0);
tuple!(A X0 0, B X1 1);
tuple!(A X0 0, B X1 1, C X2 2);
tuple!(A X0 0, B X1 1, C X2 2, D X3 3);
tuple!(A X0 0, B X1 1, C X2 2, D X3 3, E X4 4);
tuple!(A X0 0, B X1 1, C X2 2, D X3 3, E X4 4, F X5 5);
tuple!(A X0 0, B X1 1, C X2 2, D X3 3, E X4 4, F X5 5, G X6 6);
tuple!(A X0 0, B X1 1, C X2 2, D X3 3, E X4 4, F X5 5, G X6 6, H X7 7);
