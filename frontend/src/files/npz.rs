//! NumPy's npz: a zip archive of npy files, each a header and the elements.
//!
//! The header is a magic number, a version, its own length and a Python dictionary:
//! `{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }`, padded with spaces so that the
//! elements start at a multiple of 64 bytes.

use super::{broken, broken_entry, from_bytes, to_bytes};
use egrad_ir::{Array, Dtype, Error, Result};
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Seek, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

const MAGIC: &[u8] = b"\x93NUMPY";

/// How long a header may be; those of arrays are about a hundred bytes.
const LONGEST_HEADER: usize = 1 << 16;

/// The file's bytes.
pub(super) fn encode(path: &Path, entries: &BTreeMap<String, &Array>) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, array) in entries {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
        zip.start_file(format!("{name}.npy"), options).map_err(|e| broken_entry(path, name, e))?;
        let Some(descr) = descr(array.dtype()) else {
            let (path, own, wide) = (path.display(), array.dtype(), array.dtype().computed());
            let m = format!(
                "{path}: entry `{name}`: NumPy's files have no {own}: convert it to {wide}, or save safetensors"
            );
            return Err(Error::dtype(m));
        };
        zip.write_all(&header(descr, array)).map_err(|e| broken_entry(path, name, e))?;
        zip.write_all(&to_bytes(array)?).map_err(|e| broken_entry(path, name, e))?;
    }
    Ok(zip.finish().map_err(|e| broken(path, e))?.into_inner())
}

/// The entries of a file.
pub(super) fn decode(path: &Path, reader: impl Read + Seek) -> Result<BTreeMap<String, Array>> {
    let mut zip = ZipArchive::new(reader).map_err(|e| broken(path, format!("no npz file: {e}")))?;
    let mut entries = BTreeMap::new();
    for i in 0..zip.len() {
        let mut file = zip.by_index(i).map_err(|e| broken(path, e))?;
        let full = file.name().map_err(|e| broken(path, e))?.to_string();
        let name = full.strip_suffix(".npy").unwrap_or(&full).to_owned();
        let size = usize::try_from(file.size()).map_err(|e| broken_entry(path, &name, e))?;
        let array = read(&mut file, size).map_err(|e| match e {
            Npy::Damaged(why) => broken_entry(path, &name, why),
            Npy::Descr(descr) => {
                Error::dtype(format!("{}: entry `{name}`: arrays have no element type {descr}", path.display()))
            }
        })?;
        entries.insert(name, array);
    }
    Ok(entries)
}

/// What is wrong with an npy file.
enum Npy {
    /// It isn't one, or not all of it.
    Damaged(String),
    /// It has elements of this type.
    Descr(String),
}

impl From<std::io::Error> for Npy {
    fn from(e: std::io::Error) -> Npy {
        Npy::Damaged(e.to_string())
    }
}

fn damaged<T>(why: impl Into<String>) -> std::result::Result<T, Npy> {
    Err(Npy::Damaged(why.into()))
}

/// Reads an npy file that is `size` bytes long.
fn read(file: &mut impl Read, size: usize) -> std::result::Result<Array, Npy> {
    let mut start = [0; 8];
    file.read_exact(&mut start)?;
    if &start[..6] != MAGIC {
        return damaged("it is no npy file");
    }
    let (length, before) = match start[6] {
        1 => {
            let mut n = [0; 2];
            file.read_exact(&mut n)?;
            (usize::from(u16::from_le_bytes(n)), 10)
        }
        2 | 3 => {
            let mut n = [0; 4];
            file.read_exact(&mut n)?;
            (u32::from_le_bytes(n) as usize, 12)
        }
        version => return damaged(format!("npy files of version {version} are unknown")),
    };
    if length > LONGEST_HEADER {
        return damaged(format!("its header claims to be {length} bytes long"));
    }
    let mut text = vec![0; length];
    file.read_exact(&mut text)?;
    let Ok(text) = String::from_utf8(text) else { return damaged("its header is no text") };
    let Some(Header { descr, fortran, shape }) = Header::parse(&text) else {
        return damaged(format!("its header can't be read: {}", text.trim()));
    };
    let Some((dtype, big)) = dtype(&descr) else { return Err(Npy::Descr(format!("'{descr}'"))) };
    let wanted = shape.iter().try_fold(dtype.bytes(), |n, d| n.checked_mul(*d));
    let have = size.saturating_sub(before + length);
    if wanted != Some(have) {
        return damaged(format!("{have} bytes can't be the elements of {dtype}{shape:?}"));
    }
    let mut bytes = vec![0; have];
    file.read_exact(&mut bytes)?;
    // The checksum is compared at the end of the file.
    if file.read(&mut [0])? > 0 {
        return damaged("it is longer than the archive says");
    }
    if big {
        bytes.chunks_exact_mut(dtype.bytes()).for_each(<[u8]>::reverse);
    }
    if fortran {
        bytes = row_major(&shape, dtype.bytes(), &bytes);
    }
    from_bytes(dtype, &shape, &bytes).map_err(Npy::Damaged)
}

/// The elements of an array in column-major order, in row-major order.
fn row_major(shape: &[usize], size: usize, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut index = vec![0; shape.len()];
    for _ in 0..bytes.len() / size {
        let at = index.iter().zip(shape).rev().fold(0, |at, (i, n)| at * n + i);
        out.extend_from_slice(&bytes[at * size..][..size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    out
}

/// What an npy header says.
struct Header {
    descr: String,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    fn parse(text: &str) -> Option<Header> {
        let value = |key: &str| {
            let (_, after) = text.split_once(&format!("'{key}'"))?;
            Some(after.trim_start().strip_prefix(':')?.trim_start())
        };
        let descr = value("descr")?;
        let descr = match descr.strip_prefix('\'') {
            Some(quoted) => quoted.split_once('\'')?.0,
            // A structured type is a list.
            None => descr.split_once(", 'fortran_order'").map_or(descr, |(list, _)| list),
        };
        let fortran = value("fortran_order")?;
        let fortran = if fortran.starts_with("True") {
            true
        } else if fortran.starts_with("False") {
            false
        } else {
            return None;
        };
        let (inside, _) = value("shape")?.strip_prefix('(')?.split_once(')')?;
        let lengths = inside.split(',').map(str::trim).filter(|n| !n.is_empty());
        let shape = lengths.map(|n| n.parse().ok()).collect::<Option<Vec<usize>>>()?;
        Some(Header { descr: descr.to_owned(), fortran, shape })
    }
}

/// The element type of a descriptor, and whether its bytes are the other way round.
fn dtype(descr: &str) -> Option<(Dtype, bool)> {
    let (order, kind) = descr.split_at_checked(1)?;
    let dtype = Dtype::ALL.into_iter().find(|d| self::descr(*d).is_some_and(|descr| &descr[1..] == kind))?;
    matches!(order, "<" | ">" | "|" | "=").then_some((dtype, order == ">"))
}

/// The descriptor of an element type; NumPy has none for `bf16`.
fn descr(dtype: Dtype) -> Option<&'static str> {
    Some(match dtype {
        Dtype::F32 => "<f4",
        Dtype::F64 => "<f8",
        Dtype::F16 => "<f2",
        Dtype::Bf16 => return None,
        Dtype::I32 => "<i4",
        Dtype::I64 => "<i8",
        Dtype::U32 => "<u4",
        Dtype::U8 => "|u1",
        Dtype::Bool => "|b1",
    })
}

fn header(descr: &str, array: &Array) -> Vec<u8> {
    let shape: Vec<String> = array.shape().iter().map(|n| format!("{n},")).collect();
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}), }}", shape.join(" "));
    // Version 2 leaves room for any rank; with its newline the header ends at a multiple of 64.
    while !(12 + text.len() + 1).is_multiple_of(64) {
        text.push(' ');
    }
    text.push('\n');
    let length = u32::try_from(text.len()).expect("a shape of fewer than 2^32 letters");
    [MAGIC, &[2, 0], &length.to_le_bytes(), text.as_bytes()].concat()
}
