//! What the driver compiled, kept on disk for the next process.
//!
//! A file per device and driver. It begins with a header of ours, whose checksum tells a damaged
//! file before a driver sees it; whatever is wrong with a file, it is as if there were none.
//! Files appear whole or not at all, so processes may write at once: the last one stays.
#![allow(unsafe_code)]

use ash::vk;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// A device's pipeline cache.
pub(crate) struct Cache {
    /// Null if the driver has none.
    pub(crate) raw: vk::PipelineCache,
    /// Where it is kept, if it is.
    file: Option<PathBuf>,
    key: Vec<u8>,
    /// How long it took to compile what isn't in the file yet.
    unsaved: Mutex<Duration>,
}

/// Compiling longer than this is worth a file at once.
const WORTH: Duration = Duration::from_millis(50);

/// What a file begins with. The number is the format's.
const MAGIC: &[u8; 8] = b"egradvk1";

/// Files beyond this many bytes are nobody's pipelines.
const MOST: u64 = 1 << 28;

impl Cache {
    /// The cache of a device, with what is in its file in that directory.
    ///
    /// # Safety
    /// The device has those properties, is alive, and outlives the cache.
    pub(crate) unsafe fn open(
        device: &ash::Device,
        properties: &vk::PhysicalDeviceProperties,
        directory: Option<&Path>,
    ) -> Cache {
        let key = key(properties);
        let file = directory.map(|d| d.join(name(&key)));
        let data = file.as_deref().and_then(|file| read(file, &key)).unwrap_or_default();
        // SAFETY: the device is alive. The data is what this driver gave for this device, or none.
        let raw =
            unsafe { device.create_pipeline_cache(&vk::PipelineCacheCreateInfo::default().initial_data(&data), None) };
        // Without a cache, everything works as well, only slower.
        Cache { raw: raw.unwrap_or_default(), file, key, unsaved: Mutex::default() }
    }

    /// Notes that compiling took so long, and keeps the result if that is worth it.
    pub(crate) fn compiled(&self, device: &ash::Device, took: Duration) {
        let mut unsaved = self.unsaved.lock().unwrap_or_else(PoisonError::into_inner);
        *unsaved += took;
        if *unsaved >= WORTH {
            *unsaved = Duration::ZERO;
            drop(unsaved);
            self.save(device);
        }
    }

    /// Keeps what isn't in the file yet.
    pub(crate) fn flush(&self, device: &ash::Device) {
        let unsaved = std::mem::take(&mut *self.unsaved.lock().unwrap_or_else(PoisonError::into_inner));
        if unsaved > Duration::ZERO {
            self.save(device);
        }
    }

    fn save(&self, device: &ash::Device) {
        if let Some(file) = &self.file
            && self.raw != vk::PipelineCache::null()
            // SAFETY: the device and its cache are alive (the promise of `open`).
            && let Ok(data) = unsafe { device.get_pipeline_cache_data(self.raw) }
        {
            // A disk that is full or read-only costs the next process some time, no more.
            let _ = write(file, &self.key, &data);
        }
    }
}

/// What compiled pipelines depend on: the device and its driver.
fn key(properties: &vk::PhysicalDeviceProperties) -> Vec<u8> {
    let numbers = [properties.vendor_id, properties.device_id, properties.driver_version];
    let mut key: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    key.extend(properties.pipeline_cache_uuid);
    key
}

fn name(key: &[u8]) -> String {
    let digits: String = key.iter().map(|b| format!("{b:02x}")).collect();
    format!("vulkan-{digits}.cache")
}

/// FNV-1a, 64 bits.
fn checksum(parts: &[&[u8]]) -> u64 {
    let step = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3);
    parts.iter().copied().flatten().fold(0xcbf2_9ce4_8422_2325, step)
}

/// What a file holds for that key, if it is whole.
fn read(file: &Path, key: &[u8]) -> Option<Vec<u8>> {
    if fs::metadata(file).ok()?.len() > MOST {
        return None;
    }
    let all = fs::read(file).ok()?;
    let rest = all.strip_prefix(MAGIC)?.strip_prefix(key)?;
    let (sum, data) = rest.split_first_chunk()?;
    (checksum(&[key, data]) == u64::from_le_bytes(*sum)).then(|| data.to_vec())
}

fn write(file: &Path, key: &[u8], data: &[u8]) -> std::io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    let own = format!("{}.{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let made = file.with_extension(own);
    let all = [MAGIC, key, &checksum(&[key, data]).to_le_bytes(), data].concat();
    let done = fs::write(&made, all).and_then(|()| fs::rename(&made, file));
    if done.is_err() {
        let _ = fs::remove_file(&made);
    }
    done
}

/// The directory that the environment or the platform has for what can be made again.
pub(crate) fn directory() -> Option<PathBuf> {
    match std::env::var_os("EGRAD_CACHE_DIR") {
        Some(directory) => (!directory.is_empty()).then(|| PathBuf::from(directory)),
        None => Some(
            etcetera::base_strategy::BaseStrategy::cache_dir(&etcetera::choose_base_strategy().ok()?).join("egrad"),
        ),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A directory of the test's own, gone at its end.
    pub(crate) struct Directory(pub(crate) PathBuf);

    impl Directory {
        pub(crate) fn new(name: &str) -> Directory {
            let path = std::env::temp_dir().join(format!("egrad-cache-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Directory(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn damaged_files_are_no_files() {
        let directory = Directory::new("damaged");
        let (key, data) = ([7; 28], b"pipelines of a driver");
        let file = directory.0.join("deep").join(name(&key));
        assert_eq!(read(&file, &key), None);
        write(&file, &key, data).unwrap();
        assert_eq!(read(&file, &key).as_deref(), Some(data.as_slice()));
        assert_eq!(read(&file, &[8; 28]), None, "another device's");
        let whole = fs::read(&file).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            fs::write(&file, &damaged).unwrap();
            assert_eq!(read(&file, &key), None, "byte {at}");
            fs::write(&file, &whole[..at]).unwrap();
            assert_eq!(read(&file, &key), None, "cut at {at}");
        }
        write(&file, &key, &[]).unwrap();
        assert_eq!(read(&file, &key), Some(Vec::new()));
        // Nothing is left beside it, and what can't be written is an error to the caller alone.
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
        assert!(write(&file.join("under a file"), &key, data).is_err());
    }

    #[test]
    fn writers_at_once() {
        let directory = Directory::new("writers");
        let (key, file) = ([1; 28], directory.0.join("one"));
        let all: Vec<Vec<u8>> = (1..=4u8).map(|n| vec![n; 100_000 * usize::from(n)]).collect();
        std::thread::scope(|scope| {
            for data in &all {
                scope.spawn(|| (0..20).for_each(|_| write(&file, &key, data).unwrap()));
            }
            for _ in 0..50 {
                // Whole, whoever wrote it last.
                assert!(!file.exists() || read(&file, &key).is_some_and(|data| all.contains(&data)));
            }
        });
        assert!(read(&file, &key).is_some());
        assert_eq!(fs::read_dir(&directory.0).unwrap().count(), 1);
    }
}
