//! Keys, and making several of one.

use super::bits::{WORD, from_signed, hash, hash_on_host, word, words};
use super::reuse;
use crate::raise;
use crate::tensor::{Tensor, concatenate};
use crate::tree::Leaf;
use egrad_derive::Tree;
use egrad_ir::{Array, Aval, Dtype, Error, Result, Shape, Span};

/// What draws are made with: two words of 32 bits, which nobody need look at.
///
/// A key is a [`Tree`](crate::Tree): `Key` inside of traced functions, `Key<Array>` outside. A batch
/// of keys is a key with an axis more, which [`vmap`](crate::vmap()) and [`scan`](crate::scan()) take
/// off; [`split_many`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Tree)]
pub struct Key<T = Tensor> {
    high: T,
    low: T,
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Tensor {}
    impl Sealed for crate::Array {}
    impl Sealed for u32 {}
}

/// What a key's words are: tensors, or arrays outside of traced functions.
pub trait Words: Leaf + sealed::Sealed {
    #[doc(hidden)]
    fn word(bits: u32) -> Self;
    #[doc(hidden)]
    fn split(key: Key<Self>, n: usize, span: Span) -> Vec<Key<Self>>;
    #[doc(hidden)]
    fn split_many(key: Key<Self>, n: usize, span: Span) -> Key<Self>;
    #[doc(hidden)]
    fn fold_in(key: Key<Self>, data: Self, span: Span) -> Key<Self>;
    #[doc(hidden)]
    fn wrap(data: Self, span: Span) -> Key<Self>;
    #[doc(hidden)]
    fn data(key: Key<Self>, span: Span) -> Self;
}

impl Words for Tensor {
    #[track_caller]
    fn word(bits: u32) -> Tensor {
        word(bits)
    }

    #[track_caller]
    fn split(key: Key, n: usize, span: Span) -> Vec<Key> {
        let many = words("split", key.used("split", span), &Shape::from([n]), span);
        let [high, low] = many.map(|x| x.split(&vec![1; n], 0));
        high.into_iter().zip(low).map(|(high, low)| Key { high: high.reshape([]), low: low.reshape([]) }).collect()
    }

    #[track_caller]
    fn split_many(key: Key, n: usize, span: Span) -> Key {
        let [high, low] = words("split_many", key.used("split_many", span), &Shape::from([n]), span);
        Key { high, low }
    }

    #[track_caller]
    fn fold_in(key: Key, data: Tensor, span: Span) -> Key {
        let words = key.words("fold_in", span);
        let [high, low] = hash(words, integer("fold_in", data, span));
        Key { high, low }
    }

    #[track_caller]
    fn wrap(data: Tensor, span: Span) -> Key {
        let shape = raise::get(of_keys(&data.aval()).map_err(|e| e.at(span)));
        let [high, low] = [0, 1].map(|i| data.slice_axis(-1, i, i + 1).reshape(shape.clone()));
        Key { high, low }
    }

    #[track_caller]
    fn data(key: Key, _: Span) -> Tensor {
        concatenate([key.high, key.low].map(|x| x.expand_dims(-1)), -1)
    }
}

/// A scalar `u32`, or an `i32`'s bits, as a word.
#[track_caller]
fn integer(name: &str, data: Tensor, span: Span) -> Tensor {
    let aval = data.aval();
    let word = [WORD, Dtype::I32].contains(&aval.dtype);
    if !word || aval.shape.rank() > 0 {
        let m = format!("`{name}` takes an integer scalar, {WORD}[] or i32[], not {aval}");
        raise::throw(if word { Error::shape(m) } else { Error::dtype(m) }.at(span));
    }
    from_signed(data)
}

/// The shape of the keys whose words make an array of this type.
fn of_keys(aval: &Aval) -> Result<Shape> {
    match aval.shape.split_last() {
        Some((2, rest)) if aval.dtype == WORD => Ok(Shape::from(rest)),
        _ => {
            let m = format!("`wrap_key_data` takes two words of {WORD} a key along the last axis, not {aval}");
            Err(if aval.dtype == WORD { Error::shape(m) } else { Error::dtype(m) })
        }
    }
}

impl Key<Array> {
    #[track_caller]
    fn of_pairs(pairs: impl Iterator<Item = [u32; 2]>, shape: &Shape, span: Span) -> Key<Array> {
        let (high, low): (Vec<u32>, Vec<u32>) = pairs.map(|[high, low]| (high, low)).unzip();
        let [high, low] = [high, low].map(|x| raise::get(Array::from_vec(x, shape.clone()).map_err(|e| e.at(span))));
        Key { high, low }
    }

    /// The two words of one key.
    #[track_caller]
    fn on_host(&self, name: &str, span: Span) -> [u32; 2] {
        [&self.high, &self.low].map(|x| match x.item::<u32>() {
            Ok(word) => word,
            Err(_) if x.dtype() == WORD => raise::throw(several(name, x.aval()).at(span)),
            Err(e) => raise::throw(e.at(span)),
        })
    }
}

impl Words for Array {
    fn word(bits: u32) -> Array {
        Array::scalar(bits)
    }

    #[track_caller]
    fn split(key: Key<Array>, n: usize, span: Span) -> Vec<Key<Array>> {
        let words = key.on_host("split", span);
        (0..n).map(|i| hash_on_host(words, [0, i as u32])).map(|[high, low]| Key::of(high, low)).collect()
    }

    #[track_caller]
    fn split_many(key: Key<Array>, n: usize, span: Span) -> Key<Array> {
        let words = key.on_host("split_many", span);
        Key::of_pairs((0..n).map(|i| hash_on_host(words, [0, i as u32])), &Shape::from([n]), span)
    }

    #[track_caller]
    fn fold_in(key: Key<Array>, data: Array, span: Span) -> Key<Array> {
        let number = raise::get(data.item::<u32>().map_err(|e| e.at(span)));
        let [high, low] = hash_on_host(key.on_host("fold_in", span), [0, number]);
        Key::of(high, low)
    }

    #[track_caller]
    fn wrap(data: Array, span: Span) -> Key<Array> {
        let shape = raise::get(of_keys(data.aval()).map_err(|e| e.at(span)));
        let words = data.as_slice::<u32>().expect("words, as was checked");
        Key::of_pairs(words.chunks(2).map(|pair| [pair[0], pair[1]]), &shape, span)
    }

    #[track_caller]
    fn data(key: Key<Array>, span: Span) -> Array {
        let [high, low] = [&key.high, &key.low].map(|x| x.as_slice::<u32>().expect("words, as keys are made of"));
        let both = high.iter().zip(low).flat_map(|(high, low)| [*high, *low]).collect();
        let shape = key.high.shape().insert(key.high.shape().rank(), 2);
        raise::get(Array::from_vec(both, shape).map_err(|e| e.at(span)))
    }
}

/// The error of a batch of keys where one is taken.
fn several(name: &str, aval: &Aval) -> Error {
    let m = format!(
        "`{name}` takes one key, and this is a batch of them, of shape {}: `vmap` goes over it, `Key::at` picks one",
        aval.shape
    );
    Error::shape(m)
}

impl<T: Words> Key<T> {
    #[track_caller]
    fn of(high: u32, low: u32) -> Key<T> {
        Key { high: T::word(high), low: T::word(low) }
    }

    /// The words, each of the batch's shape, upper one first. [`key_data`] has them in one array.
    pub fn into_words(self) -> [T; 2] {
        [self.high, self.low]
    }
}

impl Key {
    /// The words of one key.
    #[track_caller]
    fn words(self, name: &str, span: Span) -> [Tensor; 2] {
        let aval = self.high.aval();
        if aval.shape.rank() > 0 {
            raise::throw(several(name, &aval).at(span));
        }
        [self.high, self.low]
    }

    /// The words of one key that is used up so.
    #[track_caller]
    pub(super) fn used(self, name: &'static str, span: Span) -> [Tensor; 2] {
        let words = self.words(name, span);
        reuse::note(words, name, span);
        words
    }

    /// The i-th key of a batch along its first axis.
    ///
    /// ```
    /// # use egrad::{Dtype, jit, random, random::Key};
    /// let f = jit(|key: Key| random::uniform(random::split_many(key, 4).at(3), [], Dtype::F32));
    /// # f(&random::key(1)).unwrap();
    /// ```
    ///
    /// # Errors and panics
    /// As operators do ([`Tensor`]), if there is no such key.
    #[track_caller]
    pub fn at(self, i: usize) -> Key {
        let rest = |x: Tensor| {
            let shape = x.shape();
            x.slice_axis(0, i, i + 1).reshape(&shape[1..])
        };
        Key { high: rest(self.high), low: rest(self.low) }
    }
}

/// The key of a seed, of which all 64 bits count: a [`Key`] inside of traced functions, a `Key<Array>`
/// outside of them, to give to them.
///
/// ```
/// use egrad::{Dtype, jit, random, random::Key};
/// let f = jit(|key: Key| random::uniform(key, [], Dtype::F32));
/// let x = f(&random::key(0)).unwrap().item::<f32>().unwrap();
/// assert_eq!(x, 0.947667);
/// ```
#[track_caller]
pub fn key<T: Words>(seed: u64) -> Key<T> {
    Key::of((seed >> 32) as u32, seed as u32)
}

/// The key of a seed that is data: a `u32` scalar, or an `i32` one whose bits count, is the lower half.
///
/// # Errors and panics
/// As operators do ([`Tensor`]), if it is no such scalar.
#[track_caller]
pub fn seed(seed: Tensor) -> Key {
    Key { high: word(0), low: integer("seed", seed, Span::here()) }
}

/// As many keys of one as the pattern says, independent of each other and of it.
///
/// ```
/// use egrad::{Array, random, random::Key};
/// let key: Key<Array> = random::key(7);
/// let [key, params, data] = random::split(key);
/// # let _ = (key, params, data);
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Shape`] if the key is a batch of keys.
#[track_caller]
pub fn split<T: Words, const N: usize>(key: Key<T>) -> [Key<T>; N] {
    let keys = T::split(key, N, Span::here());
    keys.try_into().unwrap_or_else(|_| unreachable!("as many keys as were asked for"))
}

/// A batch of n keys of one.
///
/// ```
/// use egrad::{Dtype, jit, random, random::Key, vmap};
/// let f = jit(|key: Key| vmap(|key: Key| random::normal(key, [2], Dtype::F32), 0)(random::split_many(key, 5)));
/// assert_eq!(f(&random::key(0)).unwrap().shape()[..], [5, 2]);
/// ```
///
/// # Errors and panics
/// As [`split`].
#[track_caller]
pub fn split_many<T: Words>(key: Key<T>, n: usize) -> Key<T> {
    T::split_many(key, n, Span::here())
}

/// A key of another and a number: `u32`, or an `i32` or `u32` scalar inside of traced functions, such as
/// the number of a step.
///
/// ```
/// use egrad::{Dtype, Tensor, fori_loop, jit, random, random::Key};
/// let walk = jit(|key: Key, x: Tensor| {
///     fori_loop(0, 100, move |i: Tensor, x: Tensor| x + random::normal(random::fold_in(key, i), [], Dtype::F32), x)
/// });
/// # walk(&random::key(0), &egrad::Array::from(0.0f32)).unwrap();
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Shape`] if the key is a batch of keys, or the number is no
/// scalar; [`Error::Dtype`] if it is neither `i32` nor `u32`.
#[track_caller]
pub fn fold_in<T: Words>(key: Key<T>, data: impl Salt<T>) -> Key<T> {
    T::fold_in(key, data.leaf(), Span::here())
}

/// The key of two words, `u32[2]`, or keys of `u32[…, 2]`: what JAX calls raw keys.
///
/// ```
/// use egrad::{Array, random};
/// let words = Array::from_vec(vec![0u32, 42], [2]).unwrap();
/// assert_eq!(random::wrap_key_data(words), random::key(42));
/// ```
///
/// # Errors and panics
/// As operators do ([`Tensor`]): [`Error::Shape`] and [`Error::Dtype`] if they aren't such words.
#[track_caller]
pub fn wrap_key_data<T: Words>(data: T) -> Key<T> {
    T::wrap(data, Span::here())
}

/// The words of a key, `u32[2]`, upper one first; of a batch of keys with the batch's axes before: to keep
/// them in a file, for example. [`wrap_key_data`] is the way back.
///
/// ```
/// use egrad::{Array, random, random::Key};
/// let key: Key<Array> = random::key((7 << 32) + 42);
/// assert_eq!(random::key_data(key).as_slice::<u32>().unwrap(), [7, 42]);
/// ```
#[track_caller]
pub fn key_data<T: Words>(key: Key<T>) -> T {
    T::data(key, Span::here())
}

/// What [`fold_in`] takes.
pub trait Salt<T>: sealed::Sealed {
    #[doc(hidden)]
    fn leaf(self) -> T;
}

impl<T: Words> Salt<T> for u32 {
    #[track_caller]
    fn leaf(self) -> T {
        T::word(self)
    }
}

impl Salt<Tensor> for Tensor {
    fn leaf(self) -> Tensor {
        self
    }
}
