//! Concrete tensors.

use crate::dtype::{Dtype, Element, Literal};
use crate::error::{Error, Result};
use crate::graph::Aval;
use crate::resident::{Remote, Resident};
use crate::shape::Shape;
use aligned_vec::{AVec, ConstAlign};
use half::{bf16, f16};
use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Mutex};

/// Elements in memory aligned to 64 bytes, recycled when dropped.
///
/// Page faults are the largest cost of big results, so freed memory is kept for the next array of
/// that size: up to [`KEPT_BYTES`] of it, in a pool per process with a small cache per thread.
#[doc(hidden)]
pub struct Pooled<T: Element> {
    /// At least `len` elements; what lies beyond is kept for the next use.
    block: AVec<T, ConstAlign<64>>,
    len: usize,
}

/// How much freed memory the pool keeps, in bytes.
pub const KEPT_BYTES: usize = 2 << 30;

/// Implementation detail of [`Element`]: how elements of a type are stored and recycled.
pub trait Stored: Sized {
    #[doc(hidden)]
    fn wrap(storage: Storage<Self>) -> Data
    where
        Self: Element;
    #[doc(hidden)]
    fn unwrap(data: &Data) -> Option<&Storage<Self>>
    where
        Self: Element;
    #[doc(hidden)]
    fn unwrap_mut(data: &mut Data) -> Option<&mut Storage<Self>>
    where
        Self: Element;
    #[doc(hidden)]
    fn zero() -> Self;
    #[doc(hidden)]
    fn recycle(v: AVec<Self, ConstAlign<64>>);
    #[doc(hidden)]
    fn reuse(len: usize) -> Option<AVec<Self, ConstAlign<64>>>;
}

/// Elements in the host's memory.
#[doc(hidden)]
pub enum Storage<T: Element> {
    Pooled(Pooled<T>),
    /// Memory that came from the user, kept as it is.
    Owned(Vec<T>),
}

#[doc(hidden)]
pub enum Data {
    F32(Storage<f32>),
    F64(Storage<f64>),
    F16(Storage<f16>),
    Bf16(Storage<bf16>),
    I32(Storage<i32>),
    I64(Storage<i64>),
    U32(Storage<u32>),
    U8(Storage<u8>),
    Bool(Storage<bool>),
}

/// Freed blocks of one element type: a few small ones per thread, the rest shared.
struct Pool<T: 'static> {
    blocks: Mutex<(Vec<AVec<T, ConstAlign<64>>>, usize)>,
}

/// Blocks up to this many elements are recycled through the thread's own cache.
const SMALL: usize = 1 << 12;

macro_rules! stored {
    ($($T:ty, $D:ident, $zero:expr, $POOL:ident, $LOCAL:ident;)*) => {$(
        static $POOL: Pool<$T> = Pool { blocks: Mutex::new((Vec::new(), 0)) };
        thread_local! { static $LOCAL: RefCell<Vec<AVec<$T, ConstAlign<64>>>> = const { RefCell::new(Vec::new()) }; }
        impl Stored for $T {
            fn wrap(storage: Storage<$T>) -> Data { Data::$D(storage) }
            fn unwrap(data: &Data) -> Option<&Storage<$T>> {
                if let Data::$D(s) = data { Some(s) } else { None }
            }
            fn unwrap_mut(data: &mut Data) -> Option<&mut Storage<$T>> {
                if let Data::$D(s) = data { Some(s) } else { None }
            }
            fn zero() -> $T { $zero }
            fn recycle(v: AVec<$T, ConstAlign<64>>) {
                if v.capacity() <= SMALL {
                    // The thread may be ending: then the block is simply freed.
                    let _ = $LOCAL.try_with(|l| {
                        if let Ok(mut l) = l.try_borrow_mut() { if l.len() < 64 { l.push(v) } }
                    });
                } else { $POOL.put(v) }
            }
            fn reuse(len: usize) -> Option<AVec<$T, ConstAlign<64>>> {
                if len <= SMALL {
                    $LOCAL.try_with(|l| l.try_borrow_mut().ok().and_then(|mut l| {
                        let at = l.iter().rposition(|v| v.capacity() >= len && v.capacity() <= 4 * len.max(16))?;
                        Some(l.swap_remove(at))
                    })).ok().flatten()
                } else { $POOL.take(len) }
            }
        }
    )*};
}
stored! {
    f32,  F32,  0.0,   POOL_F32,  LOCAL_F32;
    f64,  F64,  0.0,   POOL_F64,  LOCAL_F64;
    f16,  F16,  f16::ZERO,  POOL_F16,  LOCAL_F16;
    bf16, Bf16, bf16::ZERO, POOL_BF16, LOCAL_BF16;
    i32,  I32,  0,     POOL_I32,  LOCAL_I32;
    i64,  I64,  0,     POOL_I64,  LOCAL_I64;
    u32,  U32,  0,     POOL_U32,  LOCAL_U32;
    u8,   U8,   0,     POOL_U8,   LOCAL_U8;
    bool, Bool, false, POOL_BOOL, LOCAL_BOOL;
}

impl<T> Pool<T> {
    fn put(&self, v: AVec<T, ConstAlign<64>>) {
        let bytes = v.capacity() * size_of::<T>();
        let Ok(mut pool) = self.blocks.lock() else { return };
        if pool.1 + bytes <= KEPT_BYTES {
            pool.1 += bytes;
            pool.0.push(v);
        }
    }

    fn take(&self, len: usize) -> Option<AVec<T, ConstAlign<64>>> {
        let mut pool = self.blocks.lock().ok()?;
        let at = pool.0.iter().rposition(|v| v.capacity() >= len && v.capacity() <= len + len / 4)?;
        let v = pool.0.swap_remove(at);
        pool.1 -= v.capacity() * size_of::<T>();
        Some(v)
    }
}

impl<T: Element> Pooled<T> {
    /// `len` elements with whatever values recycled memory holds (zeros if it is fresh).
    fn scratch(len: usize) -> Result<Pooled<T>> {
        let block = match T::reuse(len) {
            Some(block) => block,
            None => {
                // Rounding small sizes up lets arrays of nearby sizes share blocks.
                let capacity = if len <= SMALL { len.max(16).next_power_of_two() } else { len };
                let bytes = capacity.saturating_mul(size_of::<T>());
                let refused =
                    || Error::memory(format!("can't allocate {len} elements of {} ({bytes} bytes)", T::DTYPE));
                if bytes > LARGE && available_memory().is_some_and(|have| bytes > have) {
                    return Err(refused());
                }
                let mut block = AVec::new(64);
                block.try_reserve_exact(capacity).map_err(|_| refused())?;
                block.resize(capacity, T::zero());
                block
            }
        };
        Ok(Pooled { block, len })
    }
}

/// From this many bytes on, an allocation is first compared with the memory that is free:
/// systems that overcommit would grant it and end the process when it is touched.
const LARGE: usize = 1 << 28;

/// Bytes of memory the system says can still be had; `None` where it doesn't say.
pub fn available_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemAvailable:"))?;
    let kib: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib.saturating_mul(1024))
}

impl<T: Element> Drop for Pooled<T> {
    fn drop(&mut self) {
        T::recycle(std::mem::replace(&mut self.block, AVec::new(64)));
    }
}

impl<T: Element> Storage<T> {
    fn slice(&self) -> &[T] {
        match self {
            Storage::Pooled(p) => &p.block[..p.len],
            Storage::Owned(v) => v,
        }
    }

    fn slice_mut(&mut self) -> &mut [T] {
        match self {
            Storage::Pooled(p) => &mut p.block[..p.len],
            Storage::Owned(v) => v,
        }
    }
}

/// A concrete tensor: an aval and row-major elements, shared by cloning and never changed once
/// shared.
///
/// The elements are in the host's memory, or in that of the device that computed them or was given
/// them ([`Array::device`]). Then other programs of that device read them where they are, and the
/// host gets a copy, once, when it first asks for elements. Asking waits for the device, and can
/// fail: [`Array::fetch`] says how. After it succeeded, no accessor fails any more.
///
/// ```
/// use egrad_ir::Array;
/// let x = Array::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]).unwrap();
/// assert_eq!(x.to_string(), "f32[2,2] [1.0, 2.0, 3.0, 4.0]");
/// ```
#[derive(Clone)]
pub struct Array {
    aval: Aval,
    memory: Arc<Memory>,
}

/// Where an array's elements are.
enum Memory {
    Host(Data),
    Device(Remote),
}

impl Memory {
    fn host<T: Element>(storage: Storage<T>) -> Arc<Memory> {
        Arc::new(Memory::Host(T::wrap(storage)))
    }
}

impl Array {
    /// A scalar.
    pub fn scalar<T: Element>(value: T) -> Array {
        Array { aval: Aval::new(T::DTYPE, Shape::scalar()), memory: Memory::host(Storage::Owned(vec![value])) }
    }

    /// The elements of `data` in row-major order; the memory is kept, not copied.
    ///
    /// # Errors
    /// If `shape` doesn't hold `data.len()` elements.
    pub fn from_vec<T: Element>(data: Vec<T>, shape: impl Into<Shape>) -> Result<Array> {
        let shape = shape.into();
        if shape.checked_size() != Some(data.len()) {
            return Err(Error::shape(format!("an array of shape {shape} can't hold {} elements", data.len())));
        }
        Ok(Array { aval: Aval::new(T::DTYPE, shape), memory: Memory::host(Storage::Owned(data)) })
    }

    /// An array of that aval whose elements are unspecified (recycled memory is not cleared), for
    /// a kernel to write.
    ///
    /// # Errors
    /// If the memory can't be had.
    pub fn scratch(aval: Aval) -> Result<Array> {
        let len = aval.shape.checked_size().ok_or_else(|| Error::memory(format!("{aval} overflows memory")))?;
        let data = match aval.dtype {
            Dtype::F32 => Data::F32(Storage::Pooled(Pooled::scratch(len)?)),
            Dtype::F64 => Data::F64(Storage::Pooled(Pooled::scratch(len)?)),
            Dtype::F16 => Data::F16(Storage::Pooled(Pooled::scratch(len)?)),
            Dtype::Bf16 => Data::Bf16(Storage::Pooled(Pooled::scratch(len)?)),
            Dtype::I32 => Data::I32(Storage::Pooled(Pooled::scratch(len)?)),
            Dtype::I64 => Data::I64(Storage::Pooled(Pooled::scratch(len)?)),
            Dtype::U32 => Data::U32(Storage::Pooled(Pooled::scratch(len)?)),
            Dtype::U8 => Data::U8(Storage::Pooled(Pooled::scratch(len)?)),
            Dtype::Bool => Data::Bool(Storage::Pooled(Pooled::scratch(len)?)),
        };
        Ok(Array { aval, memory: Arc::new(Memory::Host(data)) })
    }

    /// An array whose elements all equal `value`.
    ///
    /// # Errors
    /// If the memory can't be had.
    pub fn full(shape: impl Into<Shape>, value: Literal) -> Result<Array> {
        let mut array = Array::scratch(Aval::new(value.dtype(), shape))?;
        let bits = value.bits();
        match array.host_mut().expect("not shared yet") {
            Data::F32(s) => s.slice_mut().fill(f32::from_bits(bits as u32)),
            Data::F64(s) => s.slice_mut().fill(f64::from_bits(bits)),
            Data::F16(s) => s.slice_mut().fill(f16::from_bits(bits as u16)),
            Data::Bf16(s) => s.slice_mut().fill(bf16::from_bits(bits as u16)),
            Data::I32(s) => s.slice_mut().fill(bits as u32 as i32),
            Data::I64(s) => s.slice_mut().fill(bits as i64),
            Data::U32(s) => s.slice_mut().fill(bits as u32),
            Data::U8(s) => s.slice_mut().fill(bits as u8),
            Data::Bool(s) => s.slice_mut().fill(bits == 1),
        }
        Ok(array)
    }

    /// Its element type and shape.
    pub fn aval(&self) -> &Aval {
        &self.aval
    }

    /// Its element type.
    pub fn dtype(&self) -> Dtype {
        self.aval.dtype
    }

    /// Its shape.
    pub fn shape(&self) -> &Shape {
        &self.aval.shape
    }

    /// An array whose elements are on a device, which a backend keeps there: as many as the aval
    /// has, of its type.
    pub fn on_device(aval: Aval, elements: Box<dyn Resident>) -> Array {
        Array { aval, memory: Arc::new(Memory::Device(Remote::new(elements))) }
    }

    /// The name of the device whose memory the elements are in; `None` for the host's.
    pub fn device(&self) -> Option<&str> {
        self.resident().map(Resident::device)
    }

    /// What a backend keeps of the elements, if they are on a device.
    pub fn resident(&self) -> Option<&dyn Resident> {
        match &*self.memory {
            Memory::Host(_) => None,
            Memory::Device(remote) => Some(&*remote.resident),
        }
    }

    /// Waits for the elements and copies them to the host if they are on a device, once.
    ///
    /// # Errors
    /// [`Error::Device`] or [`Error::Memory`], naming the device, if it failed or memory ran out.
    pub fn fetch(&self) -> Result<()> {
        self.host().map(|_| ())
    }

    /// Waits until a device that computes the elements has done so, and leaves them there.
    ///
    /// # Errors
    /// As [`fetch`](Array::fetch).
    pub fn wait(&self) -> Result<()> {
        self.resident().map_or(Ok(()), Resident::wait)
    }

    /// The same elements in the host's memory; without a copy if they are there.
    ///
    /// # Errors
    /// As [`fetch`](Array::fetch).
    pub fn to_host(&self) -> Result<Array> {
        match &*self.memory {
            Memory::Host(_) => Ok(self.clone()),
            Memory::Device(remote) => Ok(Array { aval: self.aval.clone(), memory: remote.host()?.memory.clone() }),
        }
    }

    fn host(&self) -> Result<&Data> {
        let array = match &*self.memory {
            Memory::Host(data) => return Ok(data),
            Memory::Device(remote) => remote.host()?,
        };
        match &*array.memory {
            Memory::Host(data) => Ok(data),
            Memory::Device(_) => Err(Error::internal("a fetched array is not on the host")),
        }
    }

    /// The elements for writing, on the host; `None` if they are shared or can't be fetched.
    fn host_mut(&mut self) -> Option<&mut Data> {
        if let Memory::Device(_) = Arc::get_mut(&mut self.memory)? {
            // The copy is the array's alone once the device's elements are dropped.
            *self = self.to_host().ok()?;
        }
        match Arc::get_mut(&mut self.memory)? {
            Memory::Host(data) => Some(data),
            Memory::Device(_) => None,
        }
    }

    /// The elements on the host.
    ///
    /// # Errors
    /// [`Error::Dtype`] if `T` isn't the element type, and as [`fetch`](Array::fetch).
    pub fn elements<T: Element>(&self) -> Result<&[T]> {
        let elements = T::unwrap(self.host()?).map(Storage::slice);
        elements.ok_or_else(|| Error::dtype(format!("{} holds no {}", self.aval, T::DTYPE)))
    }

    /// Its elements in row-major order; `None` if `T` isn't its element type, or if they can't be
    /// [fetched](Array::fetch) from their device.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        self.elements().ok()
    }

    /// Its elements for writing; `None` if `T` isn't its element type, if the array is shared, or
    /// if they can't be [fetched](Array::fetch) from their device. They are on the host then.
    pub fn as_mut_slice<T: Element>(&mut self) -> Option<&mut [T]> {
        T::unwrap_mut(self.host_mut()?).map(Storage::slice_mut)
    }

    /// Whether another [`Array`] shares its elements.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.memory) > 1
    }

    /// Whether both share their elements, wherever those are.
    pub fn shares_elements_with(&self, other: &Array) -> bool {
        Arc::ptr_eq(&self.memory, &other.memory)
    }

    /// The address of the first element on the host, for a backend to read from.
    ///
    /// # Errors
    /// As [`fetch`](Array::fetch).
    pub fn as_ptr(&self) -> Result<*const u8> {
        Ok(match self.host()? {
            Data::F32(s) => s.slice().as_ptr().cast(),
            Data::F64(s) => s.slice().as_ptr().cast(),
            Data::F16(s) => s.slice().as_ptr().cast(),
            Data::Bf16(s) => s.slice().as_ptr().cast(),
            Data::I32(s) => s.slice().as_ptr().cast(),
            Data::I64(s) => s.slice().as_ptr().cast(),
            Data::U32(s) => s.slice().as_ptr().cast(),
            Data::U8(s) => s.slice().as_ptr().cast(),
            Data::Bool(s) => s.slice().as_ptr().cast(),
        })
    }

    /// The address of the first element, for a backend to write to; `None` as for
    /// [`as_mut_slice`](Array::as_mut_slice).
    pub fn as_mut_ptr(&mut self) -> Option<*mut u8> {
        Some(match self.host_mut()? {
            Data::F32(s) => s.slice_mut().as_mut_ptr().cast(),
            Data::F64(s) => s.slice_mut().as_mut_ptr().cast(),
            Data::F16(s) => s.slice_mut().as_mut_ptr().cast(),
            Data::Bf16(s) => s.slice_mut().as_mut_ptr().cast(),
            Data::I32(s) => s.slice_mut().as_mut_ptr().cast(),
            Data::I64(s) => s.slice_mut().as_mut_ptr().cast(),
            Data::U32(s) => s.slice_mut().as_mut_ptr().cast(),
            Data::U8(s) => s.slice_mut().as_mut_ptr().cast(),
            Data::Bool(s) => s.slice_mut().as_mut_ptr().cast(),
        })
    }

    /// The same elements under another shape, without a copy.
    ///
    /// # Errors
    /// If the element counts differ.
    pub fn reshape(&self, shape: impl Into<Shape>) -> Result<Array> {
        let shape = shape.into();
        if shape.checked_size() != self.aval.shape.checked_size() {
            return Err(Error::shape(format!("can't reshape {} to {shape}: element counts differ", self.aval)));
        }
        Ok(Array { aval: Aval::new(self.aval.dtype, shape), memory: Arc::clone(&self.memory) })
    }

    /// Element `i` in row-major order as a literal.
    ///
    /// # Panics
    /// If `i` is out of range. If the elements are on a device that fails, too, unless a
    /// [`fetch`](Array::fetch), which gives the error, succeeded before.
    #[track_caller]
    pub fn literal(&self, i: usize) -> Literal {
        literal(self.fetched(), i)
    }

    /// Every element as `f64`, in row-major order: exact, as [`Literal::to_f64`] says.
    ///
    /// # Panics
    /// If the elements are on a device that fails, unless a [`fetch`](Array::fetch), which gives
    /// the error, succeeded before.
    #[track_caller]
    pub fn to_f64(&self) -> Vec<f64> {
        match self.fetched() {
            Data::F32(s) => s.slice().iter().map(|x| f64::from(*x)).collect(),
            Data::F64(s) => s.slice().to_vec(),
            Data::F16(s) => s.slice().iter().map(|x| x.to_f64()).collect(),
            Data::Bf16(s) => s.slice().iter().map(|x| x.to_f64()).collect(),
            Data::I32(s) => s.slice().iter().map(|x| f64::from(*x)).collect(),
            Data::I64(s) => s.slice().iter().map(|x| *x as f64).collect(),
            Data::U32(s) => s.slice().iter().map(|x| f64::from(*x)).collect(),
            Data::U8(s) => s.slice().iter().map(|x| f64::from(*x)).collect(),
            Data::Bool(s) => s.slice().iter().map(|x| f64::from(u8::from(*x))).collect(),
        }
    }

    #[track_caller]
    fn fetched(&self) -> &Data {
        match self.host() {
            Ok(data) => data,
            Err(e) => panic!("{} can't be read: {e}", self.aval),
        }
    }

    /// An array of `dtype` with these elements, each rounded as by [`Literal::new`].
    ///
    /// # Errors
    /// If `shape` doesn't hold `data.len()` elements.
    pub fn from_f64(dtype: Dtype, data: &[f64], shape: impl Into<Shape>) -> Result<Array> {
        match dtype {
            Dtype::F32 => Array::from_vec(data.iter().map(|x| *x as f32).collect(), shape),
            Dtype::F64 => Array::from_vec(data.to_vec(), shape),
            Dtype::F16 => Array::from_vec(data.iter().map(|x| f16::from_f32(*x as f32)).collect(), shape),
            Dtype::Bf16 => Array::from_vec(data.iter().map(|x| bf16::from_f32(*x as f32)).collect(), shape),
            Dtype::I32 => Array::from_vec(data.iter().map(|x| *x as i32).collect(), shape),
            Dtype::I64 => Array::from_vec(data.iter().map(|x| *x as i64).collect(), shape),
            Dtype::U32 => Array::from_vec(data.iter().map(|x| *x as u32).collect(), shape),
            Dtype::U8 => Array::from_vec(data.iter().map(|x| *x as u8).collect(), shape),
            Dtype::Bool => Array::from_vec(data.iter().map(|x| *x != 0.0).collect(), shape),
        }
    }

    /// The only element, if there is just one.
    ///
    /// # Errors
    /// If `T` isn't the element type or the array doesn't hold one element, and as
    /// [`fetch`](Array::fetch).
    pub fn item<T: Element>(&self) -> Result<T> {
        match self.elements::<T>()? {
            [x] => Ok(*x),
            elements => Err(Error::shape(format!("{} holds {} elements, not one", self.aval, elements.len()))),
        }
    }

    /// A view as an ndarray, without a copy of what is on the host.
    ///
    /// # Errors
    /// If `T` isn't the element type, and as [`fetch`](Array::fetch).
    pub fn view<T: Element>(&self) -> Result<ndarray::ArrayViewD<'_, T>> {
        let elements = self.elements::<T>()?;
        ndarray::ArrayViewD::from_shape(self.shape().to_vec(), elements).map_err(|e| Error::shape(e.to_string()))
    }

    /// A copy as an ndarray.
    ///
    /// # Errors
    /// If `T` isn't the element type, and as [`fetch`](Array::fetch).
    pub fn to_ndarray<T: Element>(&self) -> Result<ndarray::ArrayD<T>> {
        Ok(self.view::<T>()?.to_owned())
    }
}

fn literal(data: &Data, i: usize) -> Literal {
    match data {
        Data::F32(s) => s.slice()[i].literal(),
        Data::F64(s) => s.slice()[i].literal(),
        Data::F16(s) => s.slice()[i].literal(),
        Data::Bf16(s) => s.slice()[i].literal(),
        Data::I32(s) => s.slice()[i].literal(),
        Data::I64(s) => s.slice()[i].literal(),
        Data::U32(s) => s.slice()[i].literal(),
        Data::U8(s) => s.slice()[i].literal(),
        Data::Bool(s) => s.slice()[i].literal(),
    }
}

impl<T: Element> From<T> for Array {
    fn from(value: T) -> Array {
        Array::scalar(value)
    }
}

impl<T: Element, D: ndarray::Dimension> From<ndarray::Array<T, D>> for Array {
    /// Keeps the memory where the ndarray is in row-major order, else copies.
    fn from(a: ndarray::Array<T, D>) -> Array {
        let shape = Shape::from(a.shape());
        let data = if a.is_standard_layout() {
            match a.into_raw_vec_and_offset() {
                (v, Some(0) | None) if v.len() == shape.size() => v,
                (v, offset) => v[offset.unwrap_or(0)..][..shape.size()].to_vec(),
            }
        } else {
            a.iter().copied().collect()
        };
        Array::from_vec(data, shape).expect("an ndarray holds as many elements as its shape says")
    }
}

impl fmt::Display for Array {
    /// The aval and up to 16 elements in row-major order; how many were left out is said, or why
    /// there are none to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        let data = match self.host() {
            Ok(data) => data,
            Err(e) => return write!(f, "{} ({})", self.aval, e.report().message),
        };
        write!(f, "{} [", self.aval)?;
        let n = self.shape().size();
        for i in 0..n.min(SHOWN) {
            write!(f, "{}{}", if i > 0 { ", " } else { "" }, literal(data, i))?;
        }
        if n > SHOWN {
            write!(f, ", … {} more", n - SHOWN)?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl PartialEq for Array {
    /// Same aval and same bits (NaN equals itself; -0 differs from 0). What can't be
    /// [fetched](Array::fetch) from its device equals nothing but what shares its elements.
    fn eq(&self, other: &Array) -> bool {
        if self.aval != other.aval {
            return false;
        }
        let same = |(a, b): (&Data, &Data)| (0..self.shape().size()).all(|i| literal(a, i) == literal(b, i));
        self.shares_elements_with(other) || self.host().ok().zip(other.host().ok()).is_some_and(same)
    }
}
