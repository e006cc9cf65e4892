//! Safetensors: a header in JSON, then the elements.

use super::{broken, broken_entry, from_bytes, to_bytes};
use egrad_ir::{Array, Dtype, Error, Result};
use safetensors::tensor::{Dtype as Stored, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// The file's bytes.
pub(super) fn encode(path: &Path, entries: &BTreeMap<String, &Array>) -> Result<Vec<u8>> {
    let bytes = entries.values().map(|array| to_bytes(array)).collect::<Result<Vec<_>>>()?;
    let mut views = Vec::with_capacity(bytes.len());
    for ((name, array), bytes) in entries.iter().zip(&bytes) {
        let view = TensorView::new(stored(array.dtype()), array.shape().to_vec(), bytes);
        views.push((name, view.map_err(|e| broken_entry(path, name, e))?));
    }
    safetensors::serialize(views, None).map_err(|e| broken(path, e))
}

/// The entries of a file.
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Array>> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| broken(path, format!("no safetensors file: {e}")))?;
    let mut entries = BTreeMap::new();
    for (name, view) in tensors.iter() {
        let Some(dtype) = Dtype::ALL.into_iter().find(|d| stored(*d) == view.dtype()) else {
            let m = format!("{}: entry `{name}`: arrays have no element type {}", path.display(), view.dtype());
            return Err(Error::dtype(m));
        };
        let array = from_bytes(dtype, view.shape(), view.data()).map_err(|why| broken_entry(path, name, why))?;
        entries.insert(name.to_owned(), array);
    }
    Ok(entries)
}

fn stored(dtype: Dtype) -> Stored {
    match dtype {
        Dtype::F32 => Stored::F32,
        Dtype::F64 => Stored::F64,
        Dtype::F16 => Stored::F16,
        Dtype::Bf16 => Stored::BF16,
        Dtype::I32 => Stored::I32,
        Dtype::I64 => Stored::I64,
        Dtype::U32 => Stored::U32,
        Dtype::U8 => Stored::U8,
        Dtype::Bool => Stored::BOOL,
    }
}
