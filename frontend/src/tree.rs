//! Trees: arguments and results made of several tensors.

use crate::raise;
use crate::tensor::Tensor;
use egrad_ir::{Array, Error};
use smallvec::SmallVec;

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Tensor {}
    impl Sealed for crate::Array {}
}

/// What trees are made of: [`Tensor`] inside a traced function, [`Array`] outside.
pub trait Leaf: sealed::Sealed + Clone + 'static + Tree<Leaf = Self> {}
impl Leaf for Tensor {}
impl Leaf for Array {}

/// A value made of [`Tensor`]s, or the same of [`Array`]s: a leaf, a tuple of up to eight trees, a
/// `Vec`, an array, an `Option`, or a struct that derives it.
///
/// A struct is generic over its leaf, so that it has both forms:
///
/// ```
/// use egrad::{Array, Tensor, Tree, grad, jit};
///
/// #[derive(Tree)]
/// struct Line<T> {
///     slope: T,
///     offset: T,
/// }
///
/// fn loss(line: Line<Tensor>, x: Tensor, y: Tensor) -> Tensor {
///     (line.slope * x + line.offset - y).powi(2).mean()
/// }
///
/// # fn main() -> egrad::Result<()> {
/// let line = Line { slope: Array::from(2.0f32), offset: Array::from(1.0f32) };
/// let (x, y) = (Array::from_vec(vec![1.0f32, 2.0], [2])?, Array::from_vec(vec![3.0f32, 6.0], [2])?);
/// let gradient: Line<Array> = jit(grad(loss))(&line, &x, &y)?;
/// assert_eq!(gradient.offset.item::<f32>()?, -1.0);
/// # Ok(()) }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not made of tensors or arrays",
    label = "not a tree",
    note = "trees are `Tensor`, `Array`, tuples, `Vec`, arrays and `Option` of trees, and structs with `#[derive(Tree)]`; \
            numbers become arrays by `Array::from(2.0f32)`"
)]
pub trait Tree: Sized + 'static {
    /// Its leaf.
    type Leaf: Leaf;
    /// The same tree made of tensors.
    type Tensors: Tree<Leaf = Tensor, Tensors = Self::Tensors, Arrays = Self::Arrays>;
    /// The same tree made of arrays.
    type Arrays: Tree<Leaf = Array, Tensors = Self::Tensors, Arrays = Self::Arrays>;

    /// Lists the leaves, in an order that depends on the structure alone, and the lengths that the
    /// structure has beside its type.
    fn flatten<'a>(&'a self, into: &mut Flat<'a, Self::Leaf>);

    /// Builds a tree back from leaves and lengths.
    fn build(from: &mut Parts<'_, Self::Leaf>) -> Self;

    /// Lists the path of each leaf, as it would be written: `.0.w`, `[2]`.
    fn paths(&self, path: &str, into: &mut Vec<String>);
}

/// A tree's leaves and lengths. See [`Tree::flatten`].
#[derive(Debug)]
pub struct Flat<'a, L> {
    pub(crate) leaves: SmallVec<[&'a L; 8]>,
    pub(crate) lengths: Lengths,
}

/// What a tree's structure has beside its type: how long each `Vec` is, which `Option`s are some.
pub(crate) type Lengths = SmallVec<[usize; 4]>;

impl<'a, L> Flat<'a, L> {
    pub(crate) fn of<T: Tree<Leaf = L>>(tree: &'a T) -> Flat<'a, L> {
        let mut flat = Flat { leaves: SmallVec::new(), lengths: SmallVec::new() };
        tree.flatten(&mut flat);
        flat
    }

    /// Lists a leaf.
    pub fn leaf(&mut self, leaf: &'a L) {
        self.leaves.push(leaf);
    }

    /// Lists a length.
    pub fn length(&mut self, n: usize) {
        self.lengths.push(n);
    }
}

/// Leaves and lengths to build a tree from. See [`Tree::build`].
#[derive(Debug)]
pub struct Parts<'a, L> {
    leaves: smallvec::IntoIter<[L; 4]>,
    lengths: std::slice::Iter<'a, usize>,
}

impl<'a, L> Parts<'a, L> {
    pub(crate) fn new(leaves: SmallVec<[L; 4]>, lengths: &'a [usize]) -> Parts<'a, L> {
        Parts { leaves: leaves.into_iter(), lengths: lengths.iter() }
    }

    /// The next leaf.
    ///
    /// # Panics
    /// If there is none left: too few were given, or `build` and `flatten` of a type don't agree.
    pub fn leaf(&mut self) -> L {
        let leaf = self.leaves.next();
        leaf.unwrap_or_else(|| raise::throw(Error::tree("the tree has more leaves than were given")))
    }

    /// The next length.
    ///
    /// # Panics
    /// As [`leaf`](Self::leaf).
    pub fn length(&mut self) -> usize {
        let length = self.lengths.next();
        *length.unwrap_or_else(|| raise::throw(Error::tree("the tree holds a `Vec` or `Option` of unknown length")))
    }

    /// How many leaves are left.
    pub(crate) fn left(&self) -> usize {
        self.leaves.len()
    }
}

/// A tree of these leaves.
pub(crate) fn build<T: Tree>(leaves: impl IntoIterator<Item = T::Leaf>, lengths: &[usize]) -> T {
    T::build(&mut Parts::new(leaves.into_iter().collect(), lengths))
}

/// The path of each leaf.
pub(crate) fn paths<T: Tree>(tree: &T) -> Vec<String> {
    let mut paths = Vec::new();
    tree.paths("", &mut paths);
    paths
}

/// A tree of [`Tensor`]s: what traced functions take and return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not made of traced `Tensor`s",
    note = "transforms take functions of `Tensor`s; `jit` and `eager` are the doors from `Array`s, and come outermost"
)]
pub trait Traced: Tree<Leaf = Tensor, Tensors = Self> {}
impl<T: Tree<Leaf = Tensor, Tensors = T>> Traced for T {}

macro_rules! leaf {
    ($($T:ty),*) => {$(
        impl Tree for $T {
            type Leaf = $T;
            type Tensors = Tensor;
            type Arrays = Array;
            #[inline]
            fn flatten<'a>(&'a self, into: &mut Flat<'a, $T>) {
                into.leaf(self);
            }
            #[inline]
            fn build(from: &mut Parts<'_, $T>) -> $T {
                from.leaf()
            }
            fn paths(&self, path: &str, into: &mut Vec<String>) {
                into.push(path.to_owned());
            }
        }
    )*};
}
leaf!(Tensor, Array);

impl<T: Tree> Tree for Vec<T> {
    type Leaf = T::Leaf;
    type Tensors = Vec<T::Tensors>;
    type Arrays = Vec<T::Arrays>;
    fn flatten<'a>(&'a self, into: &mut Flat<'a, T::Leaf>) {
        into.length(self.len());
        for x in self {
            x.flatten(into);
        }
    }
    fn build(from: &mut Parts<'_, T::Leaf>) -> Vec<T> {
        let n = from.length();
        (0..n).map(|_| T::build(from)).collect()
    }
    fn paths(&self, path: &str, into: &mut Vec<String>) {
        for (i, x) in self.iter().enumerate() {
            x.paths(&format!("{path}[{i}]"), into);
        }
    }
}

impl<T: Tree, const N: usize> Tree for [T; N] {
    type Leaf = T::Leaf;
    type Tensors = [T::Tensors; N];
    type Arrays = [T::Arrays; N];
    fn flatten<'a>(&'a self, into: &mut Flat<'a, T::Leaf>) {
        for x in self {
            x.flatten(into);
        }
    }
    fn build(from: &mut Parts<'_, T::Leaf>) -> [T; N] {
        std::array::from_fn(|_| T::build(from))
    }
    fn paths(&self, path: &str, into: &mut Vec<String>) {
        for (i, x) in self.iter().enumerate() {
            x.paths(&format!("{path}[{i}]"), into);
        }
    }
}

impl<T: Tree> Tree for Option<T> {
    type Leaf = T::Leaf;
    type Tensors = Option<T::Tensors>;
    type Arrays = Option<T::Arrays>;
    fn flatten<'a>(&'a self, into: &mut Flat<'a, T::Leaf>) {
        into.length(usize::from(self.is_some()));
        if let Some(x) = self {
            x.flatten(into);
        }
    }
    fn build(from: &mut Parts<'_, T::Leaf>) -> Option<T> {
        (from.length() == 1).then(|| T::build(from))
    }
    fn paths(&self, path: &str, into: &mut Vec<String>) {
        if let Some(x) = self {
            x.paths(path, into);
        }
    }
}

macro_rules! tuple {
    ($A:ident $a:tt $($B:ident $b:tt)*) => {
        impl<$A: Tree, $($B: Tree<Leaf = $A::Leaf>),*> Tree for ($A, $($B,)*) {
            type Leaf = $A::Leaf;
            type Tensors = ($A::Tensors, $($B::Tensors,)*);
            type Arrays = ($A::Arrays, $($B::Arrays,)*);
            #[inline]
            fn flatten<'a>(&'a self, into: &mut Flat<'a, Self::Leaf>) {
                self.$a.flatten(into);
                $(self.$b.flatten(into);)*
            }
            #[inline]
            fn build(from: &mut Parts<'_, Self::Leaf>) -> Self {
                ($A::build(from), $($B::build(from),)*)
            }
            fn paths(&self, path: &str, into: &mut Vec<String>) {
                self.$a.paths(&format!(concat!("{}.", $a), path), into);
                $(self.$b.paths(&format!(concat!("{}.", $b), path), into);)*
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0 B 1);
tuple!(A 0 B 1 C 2);
tuple!(A 0 B 1 C 2 D 3);
tuple!(A 0 B 1 C 2 D 3 E 4);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5 G 6);
tuple!(A 0 B 1 C 2 D 3 E 4 F 5 G 6 H 7);
