//! Trees in files: [safetensors](https://huggingface.co/docs/safetensors) and NumPy's npz.
//!
//! An entry is named by its leaf's path with dots between fields, positions and keys:
//! `layers.0.w`, as in PyTorch's state dicts. A tree that is a single array is the entry `value`.
//!
//! ```
//! use egrad::{Array, files};
//! # fn main() -> egrad::Result<()> {
//! # let path = std::env::temp_dir().join(format!("egrad-doc-{}.safetensors", std::process::id()));
//! let params = (Array::from(1.0f32), vec![Array::from_vec(vec![1i32, 2], [2])?]);
//! files::save_safetensors(&path, &params)?;
//! assert_eq!(files::load_safetensors(&path, &params)?, params);
//! // Without knowing what is in it:
//! let all = files::read_safetensors(&path)?;
//! assert_eq!(all.keys().collect::<Vec<_>>(), ["0", "1.0"]);
//! # std::fs::remove_file(path).unwrap();
//! # Ok(()) }
//! ```

mod npz;
mod tensors;

use crate::tree::{Flat, Tree, build, paths};
use egrad_ir::{Array, Dtype, Error, Result, bf16, f16};
use std::collections::BTreeMap;
use std::path::Path;

/// Saves a tree as safetensors; a file that is there already is replaced as a whole.
///
/// # Errors
/// [`Error::Parse`] if the file can't be written, [`Error::Tree`] if two leaves have one name.
pub fn save_safetensors<T: Tree<Leaf = Array>>(path: impl AsRef<Path>, tree: &T) -> Result<()> {
    let path = path.as_ref();
    write(path, &tensors::encode(path, &named(path, tree)?)?)
}

/// Loads a tree from safetensors: one with the structure, shapes and element types of `like`.
///
/// # Errors
/// Each names the file, and the entry with what is expected and what is there:
/// [`Error::Parse`] if the file can't be read or is damaged; [`Error::Tree`] if entries are missing
/// or there are others; [`Error::Shape`] and [`Error::Dtype`] if one isn't as in `like`.
pub fn load_safetensors<T: Tree<Leaf = Array>>(path: impl AsRef<Path>, like: &T) -> Result<T> {
    let path = path.as_ref();
    fit(path, like, read_safetensors(path)?)
}

/// Reads everything in a safetensors file, by name.
///
/// # Errors
/// [`Error::Parse`] if the file can't be read or is damaged, [`Error::Dtype`] if an entry has an
/// element type that arrays don't; each names the file.
pub fn read_safetensors(path: impl AsRef<Path>) -> Result<BTreeMap<String, Array>> {
    let path = path.as_ref();
    let bytes = std::fs::read(path).map_err(|e| broken(path, e))?;
    tensors::decode(path, &bytes)
}

/// Saves a tree as npz, which `numpy.load` reads; a file that is there already is replaced as a
/// whole.
///
/// ```
/// use egrad::{Array, files};
/// # fn main() -> egrad::Result<()> {
/// # let path = std::env::temp_dir().join(format!("egrad-doc-{}.npz", std::process::id()));
/// let x = Array::from_vec(vec![1.0f64, 2.0], [1, 2])?;
/// files::save_npz(&path, &[x.clone()])?;
/// assert_eq!(files::load_npz(&path, &[x.clone()])?, [x]);
/// # std::fs::remove_file(path).unwrap();
/// # Ok(()) }
/// ```
///
/// # Errors
/// As [`save_safetensors`].
pub fn save_npz<T: Tree<Leaf = Array>>(path: impl AsRef<Path>, tree: &T) -> Result<()> {
    let path = path.as_ref();
    write(path, &npz::encode(path, &named(path, tree)?)?)
}

/// Loads a tree from npz: one with the structure, shapes and element types of `like`.
///
/// # Errors
/// As [`load_safetensors`].
pub fn load_npz<T: Tree<Leaf = Array>>(path: impl AsRef<Path>, like: &T) -> Result<T> {
    let path = path.as_ref();
    fit(path, like, read_npz(path)?)
}

/// Reads everything in an npz file, by name.
///
/// # Errors
/// As [`read_safetensors`].
pub fn read_npz(path: impl AsRef<Path>) -> Result<BTreeMap<String, Array>> {
    let path = path.as_ref();
    let file = std::fs::File::open(path).map_err(|e| broken(path, e))?;
    npz::decode(path, std::io::BufReader::new(file))
}

/// The error of a file that can't be read or written.
fn broken(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::parse(format!("{}: {why}", path.display()))
}

/// The error of an entry of a file.
fn broken_entry(path: &Path, name: &str, why: impl std::fmt::Display) -> Error {
    broken(path, format!("entry `{name}`: {why}"))
}

/// Writes a file beside the old one and puts it in its place.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path)).map_err(|e| broken(path, e))
}

/// What a leaf is called in a file: `.layers[0]["w"]` is `layers.0.w`.
fn name(path: &str) -> String {
    let mut name = String::with_capacity(path.len());
    let mut rest = path;
    while !rest.is_empty() {
        let (segment, after) = if let Some((key, after)) = rest.strip_prefix("[\"").and_then(|r| r.split_once("\"]")) {
            (key, after)
        } else if let Some((index, after)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            (index, after)
        } else {
            let field = rest.strip_prefix('.').unwrap_or(rest);
            field.split_at(field.find(['.', '[']).unwrap_or(field.len()))
        };
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(segment);
        rest = after;
    }
    if name.is_empty() { "value".to_owned() } else { name }
}

/// A tree's leaves by name.
fn named<'t, T: Tree<Leaf = Array>>(path: &Path, tree: &'t T) -> Result<BTreeMap<String, &'t Array>> {
    let mut named = BTreeMap::new();
    for (leaf_path, leaf) in paths(tree).iter().zip(Flat::of(tree).leaves) {
        let name = name(leaf_path);
        if named.insert(name.clone(), leaf).is_some() {
            return Err(Error::tree(format!("{}: two leaves would be the entry `{name}`", path.display())));
        }
    }
    Ok(named)
}

/// The tree that is like `like`, of the entries of a file.
fn fit<T: Tree<Leaf = Array>>(path: &Path, like: &T, mut entries: BTreeMap<String, Array>) -> Result<T> {
    let wanted = named(path, like)?;
    let list = |names: &mut dyn Iterator<Item = &String>| {
        let names: Vec<String> = names.map(|n| format!("`{n}`")).collect();
        let shown = names.iter().take(8).cloned().collect::<Vec<_>>().join(", ");
        if names.len() > 8 { format!("{shown} and {} more", names.len() - 8) } else { shown }
    };
    let missing = list(&mut wanted.keys().filter(|n| !entries.contains_key(*n)));
    let extra = list(&mut entries.keys().filter(|n| !wanted.contains_key(*n)));
    let what = match (missing.is_empty(), extra.is_empty()) {
        (true, true) => None,
        (false, true) => Some(format!("has no entry {missing}")),
        (true, false) => Some(format!("has entries that the tree doesn't: {extra}")),
        (false, false) => Some(format!("has no entry {missing}, and entries that the tree doesn't: {extra}")),
    };
    if let Some(what) = what {
        return Err(Error::tree(format!("{} {what}", path.display())));
    }
    let flat = Flat::of(like);
    let mut leaves = Vec::with_capacity(flat.leaves.len());
    for (leaf_path, leaf) in paths(like).iter().zip(&flat.leaves) {
        let name = name(leaf_path);
        let Some(array) = entries.remove(&name) else {
            return Err(Error::internal(format!("entry `{name}` is gone")));
        };
        if array.aval() != leaf.aval() {
            let m =
                format!("{}: entry `{name}` is {}, where the tree has {}", path.display(), array.aval(), leaf.aval());
            return Err(if array.dtype() == leaf.dtype() { Error::shape(m) } else { Error::dtype(m) });
        }
        leaves.push(array);
    }
    Ok(build(leaves, &flat.structure))
}

/// The elements as little-endian bytes, in row-major order.
///
/// # Errors
/// If they can't be fetched from their device.
fn to_bytes(array: &Array) -> Result<Vec<u8>> {
    fn each<T: Copy, const N: usize>(elements: &[T], bytes: impl Fn(T) -> [u8; N]) -> Vec<u8> {
        elements.iter().flat_map(|x| bytes(*x)).collect()
    }
    Ok(match array.dtype() {
        Dtype::F32 => each(array.elements::<f32>()?, f32::to_le_bytes),
        Dtype::F64 => each(array.elements::<f64>()?, f64::to_le_bytes),
        Dtype::F16 => each(array.elements::<f16>()?, f16::to_le_bytes),
        Dtype::Bf16 => each(array.elements::<bf16>()?, bf16::to_le_bytes),
        Dtype::I32 => each(array.elements::<i32>()?, i32::to_le_bytes),
        Dtype::I64 => each(array.elements::<i64>()?, i64::to_le_bytes),
        Dtype::U32 => each(array.elements::<u32>()?, u32::to_le_bytes),
        Dtype::U8 => array.elements::<u8>()?.to_vec(),
        Dtype::Bool => each(array.elements::<bool>()?, |x| [u8::from(x)]),
    })
}

/// The array of these little-endian bytes; what is wrong with them, if they aren't one.
fn from_bytes(dtype: Dtype, shape: &[usize], bytes: &[u8]) -> std::result::Result<Array, String> {
    fn each<T, const N: usize>(bytes: &[u8], element: impl Fn([u8; N]) -> T) -> Vec<T> {
        bytes.as_chunks::<N>().0.iter().map(|b| element(*b)).collect()
    }
    let array = match dtype {
        Dtype::F32 => Array::from_vec(each(bytes, f32::from_le_bytes), shape),
        Dtype::F64 => Array::from_vec(each(bytes, f64::from_le_bytes), shape),
        Dtype::F16 => Array::from_vec(each(bytes, f16::from_le_bytes), shape),
        Dtype::Bf16 => Array::from_vec(each(bytes, bf16::from_le_bytes), shape),
        Dtype::I32 => Array::from_vec(each(bytes, i32::from_le_bytes), shape),
        Dtype::I64 => Array::from_vec(each(bytes, i64::from_le_bytes), shape),
        Dtype::U32 => Array::from_vec(each(bytes, u32::from_le_bytes), shape),
        Dtype::U8 => Array::from_vec(bytes.to_vec(), shape),
        Dtype::Bool => {
            if let Some(b) = bytes.iter().find(|b| **b > 1) {
                return Err(format!("the byte {b} stands for no bool"));
            }
            Array::from_vec(each(bytes, |[b]| b == 1), shape)
        }
    };
    array.map_err(|e| e.report().message.clone())
}

#[cfg(test)]
mod tests {
    #[test]
    fn names() {
        for (path, name) in [
            ("", "value"),
            (".w", "w"),
            (".0.1[2]", "0.1.2"),
            (r#"["a key"][3].w"#, "a key.3.w"),
            (r#".layers[0]["x.y"].b"#, "layers.0.x.y.b"),
        ] {
            assert_eq!(super::name(path), name);
        }
    }
}
