//! Trees in files: round trips, what NumPy wrote, and damaged files.

#[allow(dead_code, reason = "for the tests of the binary, too")]
mod common;

use common::file;
use egrad::{Array, Error, Result, Tree, bf16, f16, files};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The arrays of `fixtures/files.py`.
#[derive(Tree, Clone, Debug, PartialEq)]
struct Model<T> {
    scalar: T,
    layers: (Layer<T>, T),
    mask: T,
    empty: T,
}

#[derive(Tree, Clone, Debug, PartialEq)]
struct Layer<T> {
    w: T,
    b: T,
}

fn array<T: egrad::Element>(data: Vec<T>, shape: &[usize]) -> Array {
    Array::from_vec(data, shape).unwrap()
}

fn model() -> Model<Array> {
    Model {
        scalar: Array::from(1.5f32),
        layers: (
            Layer {
                w: array((0..6u8).map(|i| f32::from(i) / 4.0).collect(), &[2, 3]),
                b: array(vec![1e300, -0.0, f64::INFINITY], &[3]),
            },
            array(vec![i32::MIN, i32::MAX], &[2, 1]),
        ),
        mask: array(vec![true, false, true], &[3]),
        empty: array(Vec::<f32>::new(), &[0, 4]),
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A path of the test's own.
fn fresh(name: &str) -> String {
    file(name, "")
}

/// Both kinds of files: the ending, how to save and how to load.
type Kind = (&'static str, fn(&str, &Model<Array>) -> Result<()>, fn(&str, &Model<Array>) -> Result<Model<Array>>);
const KINDS: [Kind; 2] = [
    ("npz", |p, m| files::save_npz(p, m), |p, m| files::load_npz(p, m)),
    ("safetensors", |p, m| files::save_safetensors(p, m), |p, m| files::load_safetensors(p, m)),
];

#[test]
fn round_trips() {
    for (ending, save, load) in KINDS {
        let path = fresh(&format!("round.{ending}"));
        save(&path, &model()).unwrap();
        assert_eq!(load(&path, &model()).unwrap(), model(), "{ending}");
        // What is there is replaced.
        let mut other = model();
        other.mask = array(vec![false; 3], &[3]);
        save(&path, &other).unwrap();
        assert_eq!(load(&path, &model()).unwrap(), other, "{ending}");
    }
}

#[test]
fn what_numpy_writes_is_read() {
    assert_eq!(files::load_npz(fixture("numpy.npz"), &model()).unwrap(), model());
    assert_eq!(files::load_safetensors(fixture("numpy.safetensors"), &model()).unwrap(), model());
    let all = files::read_npz(fixture("compressed.npz")).unwrap();
    let expected = [("big", array(vec![0.0, 1.0, 2.0f64], &[3])), ("fortran", array((0..6).collect(), &[2, 3]))];
    assert_eq!(all, BTreeMap::from(expected.map(|(name, array)| (name.to_owned(), array))));
}

#[test]
fn integers_of_every_type() {
    let mut want = BTreeMap::from([
        ("i64".to_owned(), array(vec![i64::MIN, (1 << 53) + 1], &[2])),
        ("u32".to_owned(), array(vec![0, u32::MAX], &[2, 1])),
        ("u8".to_owned(), array(vec![0u8, 7, 255], &[3])),
    ]);
    assert_eq!(files::read_safetensors(fixture("integers.safetensors")).unwrap(), want);
    let path = fresh("integers.safetensors");
    files::save_safetensors(&path, &want).unwrap();
    assert_eq!(files::load_safetensors(&path, &want).unwrap(), want);
    want.insert("big".to_owned(), array(vec![1, u32::MAX - 1], &[2]));
    assert_eq!(files::read_npz(fixture("integers.npz")).unwrap(), want);
    let path = fresh("integers.npz");
    files::save_npz(&path, &want).unwrap();
    assert_eq!(files::load_npz(&path, &want).unwrap(), want);
}

#[test]
fn floats_of_16_bits() {
    let halves = || [1.5, -0.0, 65504.0, 6e-8, f32::INFINITY, 0.1].map(f16::from_f32).to_vec();
    let f16s = BTreeMap::from([("f16".to_owned(), array(halves(), &[2, 3]))]);
    let mut both = f16s.clone();
    both.insert("bf16".to_owned(), array([1.5, 3e38, 0.1, 1e-40].map(bf16::from_f32).to_vec(), &[4]));
    assert_eq!(files::read_safetensors(fixture("halves.safetensors")).unwrap(), both);
    let path = fresh("halves.safetensors");
    files::save_safetensors(&path, &both).unwrap();
    assert_eq!(files::load_safetensors(&path, &both).unwrap(), both);

    let all = files::read_npz(fixture("halves.npz")).unwrap();
    assert_eq!([&all["f16"], &all["big"]], [&f16s["f16"]; 2]);
    let path = fresh("halves.npz");
    files::save_npz(&path, &f16s).unwrap();
    assert_eq!(files::load_npz(&path, &f16s).unwrap(), f16s);
    let expect = "entry `bf16`: NumPy's files have no bf16: convert it to f32, or save safetensors";
    refused(files::save_npz(&path, &both), "dtype", expect);
    // What was there is still there.
    assert_eq!(files::load_npz(&path, &f16s).unwrap(), f16s);
}

#[test]
fn names_may_be_read_without_a_tree() {
    let names = ["empty", "layers.0.b", "layers.0.w", "layers.1", "mask", "scalar"];
    let all = files::read_npz(fixture("numpy.npz")).unwrap();
    assert_eq!(all.keys().collect::<Vec<_>>(), names);
    assert_eq!(files::read_safetensors(fixture("numpy.safetensors")).unwrap(), all);
    // A map is a tree; a single array has a name, too.
    let path = fresh("map.npz");
    files::save_npz(&path, &all).unwrap();
    assert_eq!(files::read_npz(&path).unwrap(), all);
    files::save_npz(&path, &Array::from(true)).unwrap();
    assert_eq!(files::read_npz(&path).unwrap()["value"], Array::from(true));
}

#[track_caller]
fn refused<T>(result: Result<T>, kind: &str, expect: &str) {
    let error: Error = result.err().expect("it should be refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(expect), "{error}\nshould say: {expect}");
}

#[test]
fn what_does_not_fit_is_named() {
    for (ending, _, load) in KINDS {
        let path = fixture(&format!("numpy.{ending}")).to_str().unwrap().to_owned();
        let mut like = model();
        like.layers.0.w = array(vec![0.0f32; 6], &[3, 2]);
        let entry = format!("numpy.{ending}: entry `layers.0.w` is f32[2,3], where the tree has f32[3,2]");
        refused(load(&path, &like), "shape", &entry);
        like.layers.0.w = array(vec![0; 6], &[2, 3]);
        let entry = format!("numpy.{ending}: entry `layers.0.w` is f32[2,3], where the tree has i32[2,3]");
        refused(load(&path, &like), "dtype", &entry);
    }
    let layer = Layer { w: Array::from(0.0f32), b: Array::from(0.0f32) };
    let expect = "numpy.npz has no entry `b`, `w`, and entries that the tree doesn't: `empty`, `layers.0.b`";
    refused(files::load_npz(fixture("numpy.npz"), &layer), "tree", expect);
    let (all, mut fewer) = (files::read_npz(fixture("numpy.npz")).unwrap(), BTreeMap::new());
    fewer.insert("mask".to_owned(), all["mask"].clone());
    let expect = "has entries that the tree doesn't: `empty`, `layers.0.b`, `layers.0.w`, `layers.1`, `scalar`";
    refused(files::load_npz(fixture("numpy.npz"), &fewer), "tree", expect);
    let more = (0..12).map(|i| (format!("new {i}"), Array::from(0))).chain(all).collect::<BTreeMap<_, _>>();
    let expect = "has no entry `new 0`, `new 1`, `new 10`, `new 11`, `new 2`, `new 3`, `new 4`, `new 5` and 4 more";
    refused(files::load_safetensors(fixture("numpy.safetensors"), &more), "tree", expect);
}

#[test]
fn other_element_types_are_refused() {
    refused(
        files::read_npz(fixture("unsupported.npz")),
        "dtype",
        "unsupported.npz: entry `complex`: arrays have no element type '<c8'",
    );
    refused(
        files::read_safetensors(fixture("unsupported.safetensors")),
        "dtype",
        "unsupported.safetensors: entry `bytes`: arrays have no element type I8",
    );
}

#[test]
fn two_leaves_of_one_name_are_refused() {
    let clash = (BTreeMap::from([("a.b".to_owned(), Array::from(0)), ("a".to_owned(), Array::from(1))]),);
    files::save_npz(fresh("fine.npz"), &clash).unwrap();
    let inner = BTreeMap::from([("b".to_owned(), Array::from(0))]);
    let clash = BTreeMap::from([
        ("a".to_owned(), inner),
        ("a.b".to_owned(), BTreeMap::new()),
        ("".to_owned(), BTreeMap::from([("a.b".to_owned(), Array::from(0))])),
    ]);
    refused(files::save_npz(fresh("clash.npz"), &clash), "tree", "clash.npz: two leaves would be the entry `a.b`");
}

#[test]
fn damaged_files_are_refused() {
    refused(files::read_npz("/nowhere/x.npz"), "parse", "/nowhere/x.npz: No such file");
    refused(files::save_npz("/nowhere/x.npz", &Array::from(0)), "parse", "/nowhere/x.npz: No such file");
    refused(files::read_npz(file("text.npz", "no zip")), "parse", "text.npz: no npz file");
    refused(files::read_safetensors(file("text.safetensors", "no")), "parse", "no safetensors file");
    for (ending, _, load) in KINDS {
        let good = std::fs::read(fixture(&format!("numpy.{ending}"))).unwrap();
        // Every truncation is noticed, and none panics.
        for n in (0..good.len()).step_by(7) {
            let path = file(&format!("truncated.{ending}"), &good[..n]);
            refused(load(&path, &model()), "parse", "truncated");
        }
        // A changed byte is noticed, or changes a value, a name or padding.
        for n in (0..good.len()).step_by(5) {
            let mut bad = good.clone();
            bad[n] ^= 0x55;
            let path = file(&format!("changed.{ending}"), &bad);
            if let Err(error) = load(&path, &model()) {
                assert_ne!(error.kind(), "internal", "{error}");
                assert!(error.to_string().contains("changed."), "{error}");
            }
        }
    }
}

/// An archive of one npy file, not compressed.
fn npz(name: &str, npy: &[u8]) -> String {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("x.npy", stored).unwrap();
    zip.write_all(npy).unwrap();
    file(name, zip.finish().unwrap().into_inner())
}

fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn damaged_entries_are_named() {
    let cases: [(&str, Vec<u8>, &str, &str); 8] = [
        ("magic", b"NUMPY and more".to_vec(), "parse", "entry `x`: it is no npy file"),
        ("version", b"\x93NUMPY\x09\x00aaaa".to_vec(), "parse", "npy files of version 9 are unknown"),
        (
            "long",
            b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(),
            "parse",
            "its header claims to be 4294967295 bytes long",
        ),
        ("header", npy("{'descr': '<f4'}", b""), "parse", "its header can't be read: {'descr': '<f4'}"),
        (
            "short",
            npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", b"1234"),
            "parse",
            "4 bytes can't be the elements of f32[2]",
        ),
        (
            "huge",
            npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", b"1234"),
            "parse",
            "4 bytes can't be the elements of f32[4294967296, 4294967296]",
        ),
        (
            "bool",
            npy("{'descr': '|b1', 'fortran_order': False, 'shape': (), }", b"\x02"),
            "parse",
            "the byte 2 stands for no bool",
        ),
        (
            "structured",
            npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (), }", b"1234"),
            "dtype",
            "entry `x`: arrays have no element type",
        ),
    ];
    for (name, bytes, kind, expect) in cases {
        refused(files::read_npz(npz(&format!("{name}.npz"), &bytes)), kind, expect);
    }
}
