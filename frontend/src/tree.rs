//! Trees: arguments and results made of several tensors, and functions of their leaves.
//!
//! ```
//! use egrad::{Array, tree};
//! let params = (Array::from(1.0f32), vec![Array::from(2.0f32), Array::from(3i32)]);
//! assert_eq!(tree::paths(&params), [".0", ".1[0]", ".1[1]"]);
//! assert_eq!(tree::leaves(&params)[2].item::<i32>().unwrap(), 3);
//! ```

use crate::raise;
use crate::tensor::Tensor;
use egrad_ir::{Array, Error, Result, Span};
use smallvec::SmallVec;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

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
/// `Vec`, an array, an `Option`, a `Box`, a `BTreeMap` with `String` keys, or a struct or enum that
/// derives it.
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
///
/// # Structure
///
/// What isn't a leaf is *structure*: how long a `Vec` is, the keys of a map, whether an `Option` is
/// some, which variant an enum is, and fields marked `#[tree(fixed)]`, which hold no tensors. A
/// traced function sees structure as it is, may branch on it, and is traced anew for another one.
///
/// ```
/// use egrad::{Array, Tensor, Tree, jit};
///
/// #[derive(Tree)]
/// enum Layer<T> {
///     Dense { w: T, b: T },
///     Scale(T, #[tree(fixed)] f64),
///     Relu,
/// }
///
/// fn forward(layers: Vec<Layer<Tensor>>, x: Tensor) -> Tensor {
///     layers.into_iter().fold(x, |x, layer| match layer {
///         Layer::Dense { w, b } => x.matmul(w) + b,
///         Layer::Scale(by, power) => x * by.pow(power),
///         Layer::Relu => x.relu(),
///     })
/// }
///
/// # fn main() -> egrad::Result<()> {
/// let ones = |shape: &[usize]| Array::from_vec(vec![1.0f32; shape.iter().product()], shape);
/// let layers = vec![
///     Layer::Dense { w: ones(&[2, 3])?, b: ones(&[3])? },
///     Layer::Relu,
///     Layer::Scale(Array::from(3.0f32), 2.0),
/// ];
/// let y = jit(forward)(&layers, &ones(&[2])?)?;
/// assert_eq!(y.as_slice::<f32>().unwrap(), [27.0; 3]);
/// # Ok(()) }
/// ```
///
/// The first type parameter is the leaf. Others stand for trees of that leaf, or, where only fixed
/// fields mention them, for themselves.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not made of tensors or arrays",
    label = "not a tree",
    note = "trees are `Tensor`, `Array`, tuples, `Vec`, arrays, `Option`, `Box` and `BTreeMap<String, _>` of trees, and \
            what has `#[derive(Tree)]`; numbers become arrays by `Array::from(2.0f32)`, or stay numbers in a field \
            marked `#[tree(fixed)]`"
)]
pub trait Tree: Sized + 'static {
    /// Its leaf.
    type Leaf: Leaf;
    /// The same tree made of tensors.
    type Tensors: Tree<Leaf = Tensor, Tensors = Self::Tensors, Arrays = Self::Arrays>;
    /// The same tree made of arrays.
    type Arrays: Tree<Leaf = Array, Tensors = Self::Tensors, Arrays = Self::Arrays>;

    /// Lists the leaves, in an order that depends on the structure alone, and the structure.
    fn flatten<'a>(&'a self, into: &mut Flat<'a, Self::Leaf>);

    /// Builds a tree back from leaves and structure.
    fn build(from: &mut Parts<'_, Self::Leaf>) -> Self;

    /// Lists the path of each leaf, as it would be written (`.0.w`, `[2]`), and what the structure
    /// is where.
    fn outline(&self, path: &str, into: &mut Outline);
}

/// What may stand in a field marked `#[tree(fixed)]`: anything that can be compared, printed,
/// copied and sent to other threads.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be a fixed field of a tree",
    note = "fixed fields are `Clone + PartialEq + Debug + Send + Sync + 'static`"
)]
pub trait Fixed: Clone + PartialEq + fmt::Debug + Send + Sync + 'static {}
impl<S: Clone + PartialEq + fmt::Debug + Send + Sync + 'static> Fixed for S {}

/// [`Fixed`] of any type.
pub(crate) trait AnyFixed: fmt::Debug + Send + Sync {
    fn as_any(&self) -> &dyn Any;
    fn same(&self, other: &dyn AnyFixed) -> bool;
}

impl<S: Fixed> AnyFixed for S {
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn same(&self, other: &dyn AnyFixed) -> bool {
        other.as_any().downcast_ref::<S>() == Some(self)
    }
}

/// One thing that a tree's structure has beside its type.
#[derive(Clone, Debug)]
pub(crate) enum Part {
    /// How long a `Vec` is, whether an `Option` is some, which variant an enum is.
    Length(usize),
    /// A fixed field, or the keys of a map.
    Fixed(Arc<dyn AnyFixed>),
}

impl PartialEq for Part {
    #[inline]
    fn eq(&self, other: &Part) -> bool {
        match (self, other) {
            (Part::Length(a), Part::Length(b)) => a == b,
            (Part::Fixed(a), Part::Fixed(b)) => a.same(&**b),
            (Part::Length(_), Part::Fixed(_)) | (Part::Fixed(_), Part::Length(_)) => false,
        }
    }
}

/// A NaN in a fixed field differs from itself: then the function is traced anew.
impl Eq for Part {}

impl Hash for Part {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Part::Length(n) => n.hash(state),
            Part::Fixed(value) => value.as_any().type_id().hash(state),
        }
    }
}

/// A tree's structure, in the order of [`Tree::flatten`].
pub(crate) type Structure = SmallVec<[Part; 4]>;

/// A tree's leaves and structure. See [`Tree::flatten`].
#[derive(Debug)]
pub struct Flat<'a, L> {
    pub(crate) leaves: SmallVec<[&'a L; 8]>,
    pub(crate) structure: Structure,
}

impl<L> Default for Flat<'_, L> {
    fn default() -> Self {
        Flat { leaves: SmallVec::new(), structure: SmallVec::new() }
    }
}

impl<'a, L> Flat<'a, L> {
    pub(crate) fn of<T: Tree<Leaf = L>>(tree: &'a T) -> Flat<'a, L> {
        let mut flat = Flat::default();
        tree.flatten(&mut flat);
        flat
    }

    /// Lists a leaf.
    pub fn leaf(&mut self, leaf: &'a L) {
        self.leaves.push(leaf);
    }

    /// Lists a length, or the number of a variant.
    pub fn length(&mut self, n: usize) {
        self.structure.push(Part::Length(n));
    }

    /// Lists a value that is part of the structure.
    pub fn fixed<S: Fixed>(&mut self, value: &S) {
        self.structure.push(Part::Fixed(Arc::new(value.clone())));
    }
}

/// Leaves and structure to build a tree from. See [`Tree::build`].
#[derive(Debug)]
pub struct Parts<'a, L> {
    leaves: smallvec::IntoIter<[L; 4]>,
    structure: std::slice::Iter<'a, Part>,
}

impl<'a, L> Parts<'a, L> {
    pub(crate) fn new(leaves: SmallVec<[L; 4]>, structure: &'a [Part]) -> Parts<'a, L> {
        Parts { leaves: leaves.into_iter(), structure: structure.iter() }
    }

    /// The next leaf.
    ///
    /// # Panics
    /// If there is none left: too few were given, or `build` and `flatten` of a type don't agree.
    pub fn leaf(&mut self) -> L {
        let leaf = self.leaves.next();
        leaf.unwrap_or_else(|| raise::throw(Error::tree("the tree has more leaves than were given")))
    }

    /// The next length or variant.
    ///
    /// # Panics
    /// As [`leaf`](Self::leaf).
    pub fn length(&mut self) -> usize {
        match self.structure.next() {
            Some(Part::Length(n)) => *n,
            Some(Part::Fixed(_)) | None => raise::throw(Error::tree(
                "the tree holds a `Vec`, an `Option` or an enum, of which types alone don't say how it is",
            )),
        }
    }

    /// The next value that is part of the structure.
    ///
    /// # Panics
    /// As [`leaf`](Self::leaf).
    pub fn fixed<S: Fixed>(&mut self) -> S {
        let value = match self.structure.next() {
            Some(Part::Fixed(value)) => value.as_any().downcast_ref::<S>().cloned(),
            Some(Part::Length(_)) | None => None,
        };
        value.unwrap_or_else(|| {
            raise::throw(Error::tree("the tree holds a map or a fixed field, of which types alone don't say how it is"))
        })
    }

    /// Ends the building of an enum: it has no variant of that number.
    ///
    /// # Panics
    /// Always: `build` and `flatten` of the type don't agree.
    pub fn no_variant<T>(&self, name: &str, n: usize) -> T {
        raise::throw(Error::tree(format!("`{name}` has no variant {n}")))
    }

    /// How many leaves are left.
    pub(crate) fn left(&self) -> usize {
        self.leaves.len()
    }
}

/// The paths of a tree's leaves, and what its structure is where. See [`Tree::outline`].
#[derive(Clone, Debug, Default)]
pub struct Outline {
    leaves: Vec<String>,
    /// Per part of the structure its path and what it is.
    parts: Vec<(String, String)>,
}

impl Outline {
    pub(crate) fn of<T: Tree>(tree: &T) -> Outline {
        let mut outline = Outline::default();
        tree.outline("", &mut outline);
        outline
    }

    /// Lists the path of a leaf.
    pub fn leaf(&mut self, path: &str) {
        self.leaves.push(path.to_owned());
    }

    /// Lists what the structure is at a path, as in ``a `Vec` of 3``; one for every length and fixed
    /// value of [`Tree::flatten`], in its order.
    pub fn part(&mut self, path: &str, what: impl Into<String>) {
        self.parts.push((path.to_owned(), what.into()));
    }

    /// The first difference to another outline: where it is, what this one has there, what the other.
    fn difference(&self, other: &Outline) -> Option<(String, String, String)> {
        for (mine, theirs) in self.parts.iter().zip(&other.parts) {
            if mine != theirs {
                return Some((mine.0.clone(), mine.1.clone(), theirs.1.clone()));
            }
        }
        let n = |o: &Outline| format!("{} leaves", o.leaves.len());
        (self.leaves.len() != other.leaves.len()).then(|| (String::new(), n(self), n(other)))
    }

    /// The error of arguments that differ from those this is the outline of.
    pub(crate) fn mismatch(&self, wanted: &str, other: &Outline) -> Error {
        match self.difference(other) {
            Some((path, mine, theirs)) if path.is_empty() => Error::tree(format!("{wanted} {mine}, not {theirs}")),
            Some((path, mine, theirs)) => {
                Error::tree(format!("{wanted} {mine} as {}, not {theirs}", crate::transform::argument(&path)))
            }
            None => Error::tree("the arguments have another structure than the function was compiled for"),
        }
    }
}

/// The error of two trees of one type whose structures differ: what each is called, and where they
/// differ first.
pub(crate) fn mismatch<A: Tree, B: Tree>(name: &str, (of_a, a): (&str, &A), (of_b, b): (&str, &B)) -> Error {
    let message = format!("`{name}`: {of_a} and {of_b} have different structures");
    match Outline::of(a).difference(&Outline::of(b)) {
        Some((path, mine, theirs)) if path.is_empty() => Error::tree(format!("{message}: {mine} and {theirs}")),
        Some((path, mine, theirs)) => Error::tree(format!("{message}: at `{path}` {mine} and {theirs}")),
        None => Error::tree(message),
    }
}

/// A tree of these leaves.
pub(crate) fn build<T: Tree>(leaves: impl IntoIterator<Item = T::Leaf>, structure: &[Part]) -> T {
    T::build(&mut Parts::new(leaves.into_iter().collect(), structure))
}

/// The leaves, in the order of [`paths`].
///
/// ```
/// use egrad::{Array, tree};
/// assert_eq!(tree::leaves(&[Array::from(1i32), Array::from(2i32)]).len(), 2);
/// ```
pub fn leaves<T: Tree>(tree: &T) -> Vec<T::Leaf> {
    Flat::of(tree).leaves.iter().map(|leaf| (*leaf).clone()).collect()
}

/// The path of each leaf, as it would be written: `.layers[2].w`. Keys of maps stand in quotes,
/// `["bias"]`; the fields of an enum's variant follow its own path.
///
/// ```
/// use egrad::{Array, tree};
/// let x = Array::from(1.0f32);
/// let map = std::collections::BTreeMap::from([("w".to_owned(), vec![x])]);
/// assert_eq!(tree::paths(&map), [r#"["w"][0]"#]);
/// ```
pub fn paths<T: Tree>(tree: &T) -> Vec<String> {
    Outline::of(tree).leaves
}

/// The tree with a function applied to every leaf.
///
/// ```
/// use egrad::{Array, Tensor, jit, tree};
/// let halves = jit(|p: (Tensor, Tensor)| tree::map(|x| *x * 0.5, &p));
/// let (a, b) = halves(&(Array::from(1.0f32), Array::from(3.0f32))).unwrap();
/// assert_eq!((a.item::<f32>().unwrap(), b.item::<f32>().unwrap()), (0.5, 1.5));
/// ```
pub fn map<T: Tree>(f: impl FnMut(&T::Leaf) -> T::Leaf, tree: &T) -> T {
    let flat = Flat::of(tree);
    let leaves: Vec<T::Leaf> = flat.leaves.iter().copied().map(f).collect();
    build(leaves, &flat.structure)
}

/// The tree whose leaves are a function of the leaves of two trees of one structure.
///
/// ```
/// use egrad::{Array, Tensor, jit, tree};
/// let step = jit(|p: Vec<Tensor>, g: Vec<Tensor>| tree::zip_map(|p, g| *p - 0.5 * *g, &p, &g));
/// let p = step(&vec![Array::from(1.0f32)], &vec![Array::from(4.0f32)]).unwrap();
/// assert_eq!(p[0].item::<f32>().unwrap(), -1.0);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Tree`] if the structures differ, saying where and how.
#[track_caller]
pub fn zip_map<T: Tree>(mut f: impl FnMut(&T::Leaf, &T::Leaf) -> T::Leaf, a: &T, b: &T) -> T {
    let flat = Flat::of(a);
    let others = raise::get(zip("zip_map", ("the first tree", a), &[("the second tree", b)], Span::here()));
    let leaves: Vec<T::Leaf> = flat.leaves.iter().zip(&others[0]).map(|(a, b)| f(a, b)).collect();
    build(leaves, &flat.structure)
}

/// The leaves of trees that have one structure with the first, each with what it is called.
pub(crate) fn zip<'a, T: Tree>(
    name: &str,
    (of, first): (&str, &T),
    others: &[(&str, &'a T)],
    span: Span,
) -> Result<Vec<SmallVec<[&'a T::Leaf; 8]>>> {
    let structure = Flat::of(first).structure;
    let leaves_of = |(called, tree): &(&str, &'a T)| {
        let flat = Flat::of(*tree);
        if flat.structure != structure {
            return Err(mismatch(name, (of, first), (called, *tree)).at(span));
        }
        Ok(flat.leaves)
    };
    others.iter().map(leaves_of).collect()
}

/// A tree of [`Tensor`]s: what traced functions take and return.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not made of traced `Tensor`s",
    note = "transforms take functions of `Tensor`s; `jit` and `eager` are the doors from `Array`s, and come outermost"
)]
pub trait Traced: Tree<Leaf = Tensor, Tensors = Self> {}
impl<T: Tree<Leaf = Tensor, Tensors = T>> Traced for T {}

/// A tree that can have something else in place of its leaves, other trees for example: what is derived,
/// and what the standard library has of trees.
///
/// ```
/// use egrad::{Array, Nest};
/// let pair = (Array::from(1.0f32), vec![Array::from(2.0f32)]);
/// let mut n = 0;
/// let counted: (i32, Vec<i32>) = pair.nest(&mut || { n += 1; n });
/// assert_eq!(counted, (1, vec![2]));
/// ```
///
/// Types that bound their leaf (`struct Pair<T: Debug>`) don't derive it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't have trees in place of its leaves",
    note = "`#[derive(Tree)]` implements `Nest` for types that don't bound their leaf"
)]
pub trait Nest: Tree {
    /// The same with another leaf.
    type Of<Leaf: 'static>;

    /// The same tree, its leaves made one by one in the order of [`leaves`].
    fn nest<Leaf: 'static>(&self, each: &mut dyn FnMut() -> Leaf) -> Self::Of<Leaf>;
}

macro_rules! leaf {
    ($($T:ty),*) => {$(
        impl Nest for $T {
            type Of<Leaf: 'static> = Leaf;
            fn nest<Leaf: 'static>(&self, each: &mut dyn FnMut() -> Leaf) -> Leaf {
                each()
            }
        }

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
            fn outline(&self, path: &str, into: &mut Outline) {
                into.leaf(path);
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
    fn outline(&self, path: &str, into: &mut Outline) {
        into.part(path, format!("a `Vec` of {}", self.len()));
        for (i, x) in self.iter().enumerate() {
            x.outline(&format!("{path}[{i}]"), into);
        }
    }
}

impl<T: Nest> Nest for Vec<T> {
    type Of<Leaf: 'static> = Vec<T::Of<Leaf>>;
    fn nest<Leaf: 'static>(&self, each: &mut dyn FnMut() -> Leaf) -> Vec<T::Of<Leaf>> {
        self.iter().map(|x| x.nest(each)).collect()
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
    fn outline(&self, path: &str, into: &mut Outline) {
        for (i, x) in self.iter().enumerate() {
            x.outline(&format!("{path}[{i}]"), into);
        }
    }
}

impl<T: Nest, const N: usize> Nest for [T; N] {
    type Of<Leaf: 'static> = [T::Of<Leaf>; N];
    fn nest<Leaf: 'static>(&self, each: &mut dyn FnMut() -> Leaf) -> [T::Of<Leaf>; N] {
        std::array::from_fn(|i| self[i].nest(each))
    }
}

impl<T: Tree> Tree for Box<T> {
    type Leaf = T::Leaf;
    type Tensors = Box<T::Tensors>;
    type Arrays = Box<T::Arrays>;
    fn flatten<'a>(&'a self, into: &mut Flat<'a, T::Leaf>) {
        T::flatten(self, into);
    }
    fn build(from: &mut Parts<'_, T::Leaf>) -> Box<T> {
        Box::new(T::build(from))
    }
    fn outline(&self, path: &str, into: &mut Outline) {
        T::outline(self, path, into);
    }
}

impl<T: Nest> Nest for Box<T> {
    type Of<Leaf: 'static> = Box<T::Of<Leaf>>;
    fn nest<Leaf: 'static>(&self, each: &mut dyn FnMut() -> Leaf) -> Box<T::Of<Leaf>> {
        Box::new(T::nest(self, each))
    }
}

impl<T: Tree> Tree for BTreeMap<String, T> {
    type Leaf = T::Leaf;
    type Tensors = BTreeMap<String, T::Tensors>;
    type Arrays = BTreeMap<String, T::Arrays>;
    fn flatten<'a>(&'a self, into: &mut Flat<'a, T::Leaf>) {
        into.fixed(&self.keys().cloned().collect::<Vec<String>>());
        for x in self.values() {
            x.flatten(into);
        }
    }
    fn build(from: &mut Parts<'_, T::Leaf>) -> BTreeMap<String, T> {
        let keys: Vec<String> = from.fixed();
        keys.into_iter().map(|key| (key, T::build(from))).collect()
    }
    fn outline(&self, path: &str, into: &mut Outline) {
        into.part(path, format!("a map with the keys {:?}", self.keys().collect::<Vec<_>>()));
        for (key, x) in self {
            x.outline(&format!("{path}[\"{key}\"]"), into);
        }
    }
}

impl<T: Nest> Nest for BTreeMap<String, T> {
    type Of<Leaf: 'static> = BTreeMap<String, T::Of<Leaf>>;
    fn nest<Leaf: 'static>(&self, each: &mut dyn FnMut() -> Leaf) -> BTreeMap<String, T::Of<Leaf>> {
        self.iter().map(|(key, x)| (key.clone(), x.nest(each))).collect()
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
    fn outline(&self, path: &str, into: &mut Outline) {
        into.part(path, if self.is_some() { "`Some`" } else { "`None`" });
        if let Some(x) = self {
            x.outline(path, into);
        }
    }
}

impl<T: Nest> Nest for Option<T> {
    type Of<Leaf: 'static> = Option<T::Of<Leaf>>;
    fn nest<Leaf: 'static>(&self, each: &mut dyn FnMut() -> Leaf) -> Option<T::Of<Leaf>> {
        self.as_ref().map(|x| x.nest(each))
    }
}

macro_rules! tuple {
    ($A:ident $a:tt $($B:ident $b:tt)*) => {
        impl<$A: Nest, $($B: Nest<Leaf = $A::Leaf>),*> Nest for ($A, $($B,)*) {
            type Of<Leaf: 'static> = ($A::Of<Leaf>, $($B::Of<Leaf>,)*);
            fn nest<Leaf: 'static>(&self, each: &mut dyn FnMut() -> Leaf) -> Self::Of<Leaf> {
                (self.$a.nest(each), $(self.$b.nest(each),)*)
            }
        }

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
            fn outline(&self, path: &str, into: &mut Outline) {
                self.$a.outline(&format!(concat!("{}.", $a), path), into);
                $(self.$b.outline(&format!(concat!("{}.", $b), path), into);)*
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
