//! The machine that figures come from.

use egrad::Result;
use egrad_vulkan::{DeviceInfo, DeviceKind, Selection, Vulkan};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// The file's name beside the figures.
const FILE: &str = "machine.json";

/// What figures depend on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name, family and model.
    pub cpu: String,
    /// Cores that this process may use.
    pub cores: usize,
    /// The widest vector instructions.
    pub vectors: String,
    /// The operating system.
    pub os: String,
    /// The compiler's version.
    pub rustc: String,
    /// The Vulkan device, or why there is none.
    pub vulkan: std::result::Result<String, String>,
    /// Threads asked for by EGRAD_NUM_THREADS, if any.
    pub threads: Option<String>,
    /// The day, in UTC.
    pub date: String,
    /// The load average of the last minute, at the beginning and at the end, where it is known.
    pub load: Option<[f64; 2]>,
}

impl Machine {
    /// This machine, now. What the system doesn't say is `unknown`.
    pub fn here() -> Machine {
        let unknown = || "unknown".to_owned();
        Machine {
            cpu: cpu().unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            vectors: vectors().to_owned(),
            os: os().unwrap_or_else(|| std::env::consts::OS.to_owned()),
            rustc: output("rustc", &["--version"]).unwrap_or_else(unknown),
            vulkan: vulkan().map(|device| described(&device)).map_err(|e| e.report().message.clone()),
            threads: std::env::var("EGRAD_NUM_THREADS").ok(),
            date: today(),
            load: load().map(|now| [now, now]),
        }
    }

    /// The same with the load of now as that of the end.
    #[must_use]
    pub fn ended(mut self) -> Machine {
        self.load = self.load.zip(load()).map(|([before, _], now)| [before, now]);
        self
    }

    /// Writes it beside the figures in a folder.
    ///
    /// # Errors
    /// If the file can't be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        std::fs::write(folder.join(FILE), serde_json::to_vec_pretty(self)?)
    }

    /// Reads what [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// If the file can't be read.
    pub fn read(folder: &Path) -> io::Result<Machine> {
        Ok(serde_json::from_slice(&std::fs::read(folder.join(FILE))?)?)
    }

    /// All of it in a sentence.
    pub fn sentence(&self) -> String {
        let Machine { cpu, cores, vectors, os, rustc, vulkan, threads, date, load } = self;
        let threads = threads.as_ref().map_or(String::new(), |n| format!("; EGRAD_NUM_THREADS={n}"));
        let load = load.map_or(String::new(), |[before, after]| format!("; load {before:.1} to {after:.1}"));
        let vulkan = match vulkan {
            Ok(device) => format!("Vulkan: {device}"),
            Err(why) => format!("no Vulkan device: {why}"),
        };
        format!("{date}; {cpu}, {vectors}, {cores} cores; {os}; {rustc}{threads}{load}. {vulkan}.")
    }
}

/// The Vulkan device that programs run on.
///
/// # Errors
/// If there is none.
pub fn vulkan() -> Result<DeviceInfo> {
    Ok(Vulkan::new(Selection::Any)?.device().clone())
}

/// A device in words; of one that is no hardware, what it is.
pub fn described(device: &DeviceInfo) -> String {
    let cores = if device.kind == DeviceKind::Software { ", which runs on the processor's cores" } else { "" };
    format!("{device}{cores}")
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let out = Command::new(program).args(arguments).output().ok()?;
    Some(String::from_utf8(out.stdout).ok()?.trim().to_owned())
}

fn cpu() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find(|l| l.split(':').next().is_some_and(|key| key.trim() == name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    Some(format!("{} (family {}, model {})", field("model name")?, field("cpu family")?, field("model")?))
}

fn os() -> Option<String> {
    let text = std::fs::read_to_string("/etc/os-release").ok()?;
    let name = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').to_owned())
}

fn load() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

#[cfg(target_arch = "x86_64")]
fn vectors() -> &'static str {
    match () {
        () if std::arch::is_x86_feature_detected!("avx512f") => "AVX-512",
        () if std::arch::is_x86_feature_detected!("avx2") => "AVX2",
        () => "SSE2",
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn vectors() -> &'static str {
    std::env::consts::ARCH
}

fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (year, month, day) = civil((seconds / 86_400) as i64);
    format!("{year}-{month:02}-{day:02}")
}

/// Year, month and day of a number of days after 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    // Counted from 0000-03-01, years end with February, and leap days are their last ones.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(-1), (1969, 12, 31));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(20_454), (2026, 1, 1));
    }
}
