//! What a device is and can do, for people.

use egrad_ir::Dtype;
use std::fmt;

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeviceKind {
    /// A graphics card of its own.
    Discrete,
    /// Graphics in the processor.
    Integrated,
    /// A virtual machine's view of one.
    Virtual,
    /// Something else.
    Other,
    /// The processor itself: correct, and slow.
    Software,
}

/// A Vulkan device.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its name, as its driver gives it.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
    /// The newest Vulkan version it speaks: major, minor.
    pub version: (u32, u32),
    /// Its driver's name and version.
    pub driver: String,
    /// Whether it computes in 64-bit floats.
    pub float64: bool,
    /// Whether it computes in 64-bit integers.
    pub int64: bool,
    /// Whether shaders can address single bytes, as `bool` and `u8` are stored.
    pub storage8: bool,
    /// Whether shaders can address two bytes, as `f16` and `bf16` are stored.
    pub storage16: bool,
    /// How many invocations a subgroup has, where subgroups can exchange values.
    pub subgroup: Option<u32>,
    /// The most invocations of a workgroup.
    pub workgroup: u32,
    /// How many bytes the invocations of a workgroup share.
    pub local_bytes: u32,
    /// Shapes of cooperative matrices and their type: rows, columns, depth.
    pub cooperative: Vec<(Dtype, [usize; 3])>,
    /// Whether it has the timeline semaphores that runs are counted by.
    pub timeline: bool,
    /// Whether the host reaches its memory as quickly as it does, so that nothing is staged.
    pub shared_memory: bool,
    /// Its heaps of memory: how many bytes, and whether the device's own.
    pub heaps: Vec<(u64, bool)>,
    /// The most bytes a buffer may have.
    pub max_range: u64,
    /// What it lacks to be of use at all, with the remedy.
    pub lacks: Option<String>,
}

impl DeviceInfo {
    /// What programs can make use of, a line for each topic.
    pub fn features(&self) -> Vec<String> {
        let has = |has: bool, what: &str| if has { what.to_owned() } else { format!("no {what}") };
        let mib = |bytes: u64| format!("{} MiB", bytes >> 20);
        let subgroup = match self.subgroup {
            Some(n) => format!("subgroups of {n}"),
            None => "no subgroup operations".to_owned(),
        };
        let matrices: Vec<String> =
            self.cooperative.iter().map(|(dtype, [m, n, k])| format!("{dtype} {m}x{n}x{k}")).collect();
        let matrices = if matrices.is_empty() { "none".to_owned() } else { matrices.join(", ") };
        let heaps: Vec<String> = self
            .heaps
            .iter()
            .map(|(bytes, own)| format!("{}{}", mib(*bytes), if *own { "" } else { " of the host's" }))
            .collect();
        vec![
            format!("driver {}, {}", self.driver, has(self.timeline, "timeline semaphores")),
            format!(
                "{}, {}, {}, {}",
                has(self.float64, "f64"),
                has(self.int64, "i64"),
                has(self.storage8, "bool"),
                has(self.storage16, "f16")
            ),
            format!("workgroups of {} with {} KiB in common, {subgroup}", self.workgroup, self.local_bytes >> 10),
            format!("cooperative matrices: {matrices}"),
            format!(
                "memory {}, {} the host, buffers up to {}",
                heaps.join(" and "),
                if self.shared_memory { "shared with" } else { "apart from" },
                mib(self.max_range)
            ),
        ]
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DeviceKind::Discrete => "discrete",
            DeviceKind::Integrated => "integrated",
            DeviceKind::Virtual => "virtual",
            DeviceKind::Other => "other",
            DeviceKind::Software => "software",
        })
    }
}

impl fmt::Display for DeviceInfo {
    /// Name, kind and version on one line, and what it lacks to be of use.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.version;
        write!(f, "{} ({}, Vulkan {major}.{minor})", self.name, self.kind)?;
        match &self.lacks {
            Some(what) => write!(f, "; unusable: lacks {what}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A device of that name and kind.
    pub(crate) fn device(name: &str, kind: DeviceKind) -> DeviceInfo {
        DeviceInfo {
            name: name.to_owned(),
            kind,
            version: (1, 3),
            driver: "swift 7.1".into(),
            float64: true,
            int64: true,
            storage8: true,
            storage16: true,
            subgroup: Some(32),
            workgroup: 256,
            local_bytes: 48 << 10,
            cooperative: Vec::new(),
            timeline: true,
            shared_memory: false,
            heaps: vec![(8 << 30, true), (16 << 30, false)],
            max_range: 1 << 27,
            lacks: None,
        }
    }

    #[test]
    fn a_device_in_words() {
        let mut info = device("Fast 9000", DeviceKind::Discrete);
        assert_eq!(info.to_string(), "Fast 9000 (discrete, Vulkan 1.3)");
        let lines = [
            "driver swift 7.1, timeline semaphores",
            "f64, i64, bool, f16",
            "workgroups of 256 with 48 KiB in common, subgroups of 32",
            "cooperative matrices: none",
            "memory 8192 MiB and 16384 MiB of the host's, apart from the host, buffers up to 128 MiB",
        ];
        assert_eq!(info.features(), lines);
        info.cooperative = vec![(Dtype::F32, [16, 16, 8])];
        (info.storage8, info.subgroup, info.shared_memory) = (false, None, true);
        info.lacks = Some("wings: take another".into());
        assert_eq!(info.to_string(), "Fast 9000 (discrete, Vulkan 1.3); unusable: lacks wings: take another");
        assert_eq!(info.features()[1], "f64, i64, no bool, f16");
        assert!(info.features()[2].ends_with("no subgroup operations"));
        assert_eq!(info.features()[3], "cooperative matrices: f32 16x16x8");
        assert!(info.features()[4].contains("shared with the host"));
    }
}
