//! Safetensors: a header in JSON, then the elements.

use super::{broken, broken_entry, from_bytes, to_bytes};
use egrad_ir::{Array, Dtype, Error, Result};
use safetensors::tensor::{Dtype as Stored, SafeTensorError, SafeTensors, TensorView};
use std::collections::BTreeMap;
use std::path::Path;

/// The file's bytes.
pub(super) fn encode(entries: &BTreeMap<String, &Array>) -> std::result::Result<Vec<u8>, SafeTensorError> {
    let bytes: Vec<(&str, Stored, &Array, Vec<u8>)> =
        entries.iter().map(|(name, array)| (&**name, stored(array.dtype()), *array, to_bytes(array))).collect();
    let views = bytes
        .iter()
        .map(|(name, dtype, array, bytes)| Ok((*name, TensorView::new(*dtype, array.shape().to_vec(), bytes)?)));
    safetensors::serialize(views.collect::<std::result::Result<Vec<_>, SafeTensorError>>()?, None)
}

/// The entries of a file.
pub(super) fn decode(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Array>> {
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| broken(path, format!("no safetensors file: {e}")))?;
    let mut entries = BTreeMap::new();
    for (name, view) in tensors.iter() {
        let Some(dtype) =
            [Dtype::F32, Dtype::F64, Dtype::I32, Dtype::Bool].into_iter().find(|d| stored(*d) == view.dtype())
        else {
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
        Dtype::I32 => Stored::I32,
        Dtype::Bool => Stored::BOOL,
    }
}
