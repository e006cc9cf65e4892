//! The loader, the choice of a device, and what the device can do.
#![allow(unsafe_code)]

use crate::cache::Cache;
use crate::info::{DeviceInfo, DeviceKind};
use crate::memory;
use crate::queue::Queue;
use crate::spread::Worth;
use crate::validation::{LAYER, Messages};
use crate::{Options, Selection, Without};
use ash::vk;
use egrad_ir::{Dtype, Error};
use std::ffi::{CStr, c_char};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Why there is no device, with the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unavailable {
    NoLoader { path: Option<PathBuf>, why: String },
    NoDriver { why: String },
    NoDevice { why: String },
    MissingFeature { who: String, what: String },
}

/// What shaders may use and how much of it; what [`Options::without`] names is left out.
#[derive(Clone, Debug)]
pub(crate) struct Caps {
    pub(crate) float64: bool,
    pub(crate) int64: bool,
    pub(crate) storage8: bool,
    pub(crate) storage16: bool,
    /// Whether `Fma` rounds once.
    pub(crate) fused: bool,
    pub(crate) f32: FloatCaps,
    pub(crate) f64: FloatCaps,
    /// Invocations per workgroup, a power of two.
    pub(crate) workgroup: u32,
    /// Invocations per subgroup, a power of two that divides a workgroup, where they can exchange
    /// values and subgroups of that size can be required.
    pub(crate) subgroup: Option<u32>,
    /// Bytes that the invocations of a workgroup share.
    pub(crate) local_bytes: u32,
    /// Shapes (rows, columns, depth) of the subgroups' cooperative matrices whose elements and sums are
    /// all of that type.
    pub(crate) cooperative: Vec<(Dtype, [usize; 3])>,
    /// Iterations of all its loops together that an invocation can run.
    pub(crate) iterations: usize,
    /// Workgroups along the first two axes.
    pub(crate) groups: [u32; 2],
    /// Bytes per storage buffer.
    pub(crate) range: u64,
    /// Storage buffers per kernel.
    pub(crate) bindings: u32,
    /// Bytes per allocation.
    pub(crate) allocation: u64,
    /// What storage buffers' offsets are multiples of.
    pub(crate) alignment: u64,
    /// Whether memory that device and host share may be used, where there is some.
    pub(crate) shared_memory: bool,
    /// Which loops are long enough to be cut.
    pub(crate) worth: Worth,
}

/// What a kernel may require of floats of one width.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FloatCaps {
    pub(crate) keeps_nan: bool,
    pub(crate) keeps_denormals: bool,
    pub(crate) rounds_to_even: bool,
}

/// An instance, with whoever listens to the layers.
struct Instance {
    raw: ash::Instance,
    messenger: Option<(ash::ext::debug_utils::Instance, vk::DebugUtilsMessengerEXT)>,
    messages: Messages,
    /// Keeps the loader's code in memory.
    _entry: ash::Entry,
}

/// An open device.
pub(crate) struct Context {
    pub(crate) raw: ash::Device,
    pub(crate) info: DeviceInfo,
    pub(crate) caps: Caps,
    pub(crate) memory: vk::PhysicalDeviceMemoryProperties,
    pub(crate) family: u32,
    pub(crate) cache: Cache,
    pub(crate) queue: Queue,
    /// Whether the layers check what kernels access.
    pub(crate) bounds: bool,
    /// Bytes of host memory to stage through, if not as many as usual.
    pub(crate) ring: Option<u64>,
    /// Last: destroyed after the device.
    instance: Instance,
}

/// A device that could be opened.
struct Candidate {
    raw: vk::PhysicalDevice,
    info: DeviceInfo,
    caps: Caps,
    family: u32,
}

/// The devices in picking order.
pub(crate) fn list(options: &Options) -> Result<Vec<DeviceInfo>, Unavailable> {
    let instance = Instance::new(options)?;
    Ok(instance.candidates(options)?.into_iter().map(|c| c.info).collect())
}

/// The position of the device to take. `named` is the environment's wish.
fn choose(devices: &[DeviceInfo], selection: &Selection, named: Option<&str>) -> Result<usize, Unavailable> {
    let names = || devices.iter().map(|d| format!("`{}`", d.name)).collect::<Vec<_>>().join(", ");
    let find = |text: &str| match text.parse::<usize>() {
        Ok(i) => (i < devices.len()).then_some(i),
        Err(_) => devices.iter().position(|d| d.name.to_lowercase().contains(&text.to_lowercase())),
    };
    let named = match selection {
        Selection::Named(n) => Some((n.as_str(), "asked for")),
        Selection::Any | Selection::Hardware => named.map(|n| (n, "named by EGRAD_VULKAN_DEVICE")),
    };
    if devices.is_empty() {
        let why = "the driver shows no Vulkan device: check that the GPU is visible here (in a container, pass it in)";
        return Err(Unavailable::NoDevice { why: why.into() });
    }
    let at = if let Some((text, by)) = named {
        let why = || format!("there is no Vulkan device `{text}`, as {by}; there are {}, numbered from 0", names());
        find(text).ok_or_else(|| Unavailable::NoDevice { why: why() })?
    } else {
        let usable = |d: &DeviceInfo| d.lacks.is_none();
        let wanted = |d: &DeviceInfo| *selection == Selection::Any || d.kind != DeviceKind::Software;
        let best = devices.iter().position(|d| wanted(d) && usable(d)).or_else(|| devices.iter().position(wanted));
        let why = || {
            let what = "Vulkan has software devices alone here";
            format!("{what} ({}); ask for `--device vulkan`, or set EGRAD_VULKAN_DEVICE, to take one", names())
        };
        best.ok_or_else(|| Unavailable::NoDevice { why: why() })?
    };
    match &devices[at].lacks {
        None => Ok(at),
        Some(what) => Err(Unavailable::MissingFeature { who: devices[at].name.clone(), what: what.clone() }),
    }
}

/// The size of subgroups that exchange values by `OpGroupNonUniformShuffleXor`, if every workgroup of
/// that size can be made of full ones.
fn subgroup(
    p11: &vk::PhysicalDeviceVulkan11Properties<'_>,
    p13: &vk::PhysicalDeviceVulkan13Properties<'_>,
    f13: &vk::PhysicalDeviceVulkan13Features<'_>,
    workgroup: u32,
) -> Option<u32> {
    let size = p11.subgroup_size;
    let exchange = vk::SubgroupFeatureFlags::BASIC | vk::SubgroupFeatureFlags::SHUFFLE;
    let usable = p11.subgroup_supported_operations.contains(exchange)
        && p11.subgroup_supported_stages.contains(vk::ShaderStageFlags::COMPUTE)
        && p13.required_subgroup_size_stages.contains(vk::ShaderStageFlags::COMPUTE)
        && f13.subgroup_size_control == vk::TRUE
        && f13.compute_full_subgroups == vk::TRUE
        && (p13.min_subgroup_size..=p13.max_subgroup_size).contains(&size)
        && size.is_power_of_two()
        && size <= workgroup
        && workgroup / size <= p13.max_compute_workgroup_subgroups;
    usable.then_some(size)
}

/// The system's loader, opened once and kept; or the one at `path`.
fn load(path: Option<&Path>) -> Result<ash::Entry, Unavailable> {
    static SYSTEM: OnceLock<ash::Entry> = OnceLock::new();
    let failed = |e: ash::LoadingError| Unavailable::NoLoader { path: path.map(Path::to_path_buf), why: e.to_string() };
    if let Some(path) = path {
        // SAFETY: running the initialisers of the library the user named is what was asked for;
        // the entry that holds it outlives every object made through it (`Instance::_entry`).
        return unsafe { ash::Entry::load_from(path) }.map_err(failed);
    }
    if let Some(entry) = SYSTEM.get() {
        return Ok(entry.clone());
    }
    // SAFETY: the system's Vulkan loader is a well-behaved library, and stays loaded.
    let entry = unsafe { ash::Entry::load() }.map_err(failed)?;
    Ok(SYSTEM.get_or_init(|| entry).clone())
}

impl Instance {
    fn new(options: &Options) -> Result<Instance, Unavailable> {
        let entry = load(options.loader.as_deref())?;
        let driver = |what: &str, e: vk::Result| Unavailable::NoDriver { why: format!("{what}: {e}") };
        // SAFETY: the loader is open.
        let version = unsafe { entry.try_enumerate_instance_version() };
        if version.ok().flatten().unwrap_or(vk::API_VERSION_1_0) < vk::API_VERSION_1_1 {
            let why = "it speaks Vulkan 1.0 alone".to_owned();
            return Err(Unavailable::NoLoader { path: options.loader.clone(), why });
        }
        let application = vk::ApplicationInfo::default().engine_name(c"egrad").api_version(vk::API_VERSION_1_3);
        let (mut layers, mut extensions): (Vec<*const c_char>, Vec<*const c_char>) = (Vec::new(), Vec::new());
        if options.validation {
            // SAFETY: the loader is open.
            let known = unsafe { entry.enumerate_instance_layer_properties() };
            let known = known.map_err(|e| driver("the Vulkan layers can't be listed", e))?;
            if !known.iter().any(|l| l.layer_name_as_c_str() == Ok(LAYER)) {
                let what = "the validation layers, which were asked for: install them \
                            (Debian, Ubuntu: apt-get install vulkan-validationlayers)";
                return Err(Unavailable::MissingFeature { who: "the Vulkan loader".into(), what: what.into() });
            }
            layers.push(LAYER.as_ptr());
            extensions.push(ash::ext::debug_utils::NAME.as_ptr());
            // SAFETY: the loader is open.
            let offered = unsafe { entry.enumerate_instance_extension_properties(Some(LAYER)) }.unwrap_or_default();
            let features = ash::ext::validation_features::NAME;
            if offered.iter().any(|e| e.extension_name_as_c_str() == Ok(features)) {
                extensions.push(features.as_ptr());
            }
        }
        let messages = Messages::default();
        let mut messenger = messages.messenger();
        let all = [
            vk::ValidationFeatureEnableEXT::SYNCHRONIZATION_VALIDATION,
            vk::ValidationFeatureEnableEXT::GPU_ASSISTED,
            vk::ValidationFeatureEnableEXT::GPU_ASSISTED_RESERVE_BINDING_SLOT,
        ];
        let enabled = if options.bounds { &all[..] } else { &all[..1] };
        let mut features = vk::ValidationFeaturesEXT::default().enabled_validation_features(enabled);
        let mut info = vk::InstanceCreateInfo::default()
            .application_info(&application)
            .enabled_layer_names(&layers)
            .enabled_extension_names(&extensions);
        if options.validation {
            info = info.push_next(&mut messenger).push_next(&mut features);
        }
        // SAFETY: `info` names a layer and extensions that were just found, by static strings;
        // the messages it points to live in the instance returned, which is destroyed before them.
        let raw = unsafe { entry.create_instance(&info, None) }
            .map_err(|e| driver("the Vulkan loader found no driver that works", e))?;
        let mut instance = Instance { raw, messenger: None, messages, _entry: entry };
        if options.validation {
            let debug = ash::ext::debug_utils::Instance::new(&instance._entry, &instance.raw);
            // SAFETY: the instance was created with the extension; `messages` outlives the
            // messenger, which the instance's `drop` destroys.
            let messenger = unsafe { debug.create_debug_utils_messenger(&instance.messages.messenger(), None) };
            let messenger = messenger.map_err(|e| driver("the validation layers can't report", e))?;
            instance.messenger = Some((debug, messenger));
        }
        Ok(instance)
    }

    /// The devices in picking order.
    fn candidates(&self, options: &Options) -> Result<Vec<Candidate>, Unavailable> {
        // SAFETY: the instance is alive.
        let devices = unsafe { self.raw.enumerate_physical_devices() };
        let devices =
            devices.map_err(|e| Unavailable::NoDriver { why: format!("its devices can't be listed: {e}") })?;
        let mut all: Vec<Candidate> = devices.into_iter().map(|d| self.inspect(d, &options.without)).collect();
        all.sort_by_key(|c| c.info.kind);
        Ok(all)
    }

    /// What a device is and can do.
    fn inspect(&self, raw: vk::PhysicalDevice, without: &Without) -> Candidate {
        // SAFETY: `raw` is a device of this instance, here and below.
        let base = unsafe { self.raw.get_physical_device_properties(raw) };
        let version = (vk::api_version_major(base.api_version), vk::api_version_minor(base.api_version));
        let mut float = vk::PhysicalDeviceVulkan12Properties::default();
        let mut p11 = vk::PhysicalDeviceVulkan11Properties::default();
        let mut p13 = vk::PhysicalDeviceVulkan13Properties::default();
        let mut f11 = vk::PhysicalDeviceVulkan11Features::default();
        let mut f12 = vk::PhysicalDeviceVulkan12Features::default();
        let mut f13 = vk::PhysicalDeviceVulkan13Features::default();
        let mut core = vk::PhysicalDeviceFeatures::default();
        if version >= (1, 3) {
            let mut properties =
                vk::PhysicalDeviceProperties2::default().push_next(&mut p11).push_next(&mut float).push_next(&mut p13);
            // SAFETY: the structures chained are those of versions the device speaks.
            unsafe { self.raw.get_physical_device_properties2(raw, &mut properties) };
            let mut features =
                vk::PhysicalDeviceFeatures2::default().push_next(&mut f11).push_next(&mut f12).push_next(&mut f13);
            // SAFETY: as above.
            unsafe { self.raw.get_physical_device_features2(raw, &mut features) };
            core = features.features;
        }
        // SAFETY: as above.
        let families = unsafe { self.raw.get_physical_device_queue_family_properties(raw) };
        let family = families.iter().position(|f| f.queue_flags.contains(vk::QueueFlags::COMPUTE));
        let lacks = if version < (1, 3) {
            let (major, minor) = version;
            Some(format!("Vulkan 1.3 (it speaks {major}.{minor}): update its driver"))
        } else if f13.synchronization2 == vk::FALSE {
            Some("`synchronization2`: update its driver".into())
        } else if f12.timeline_semaphore == vk::FALSE || without.timeline {
            Some("timeline semaphores (`timelineSemaphore`): update its driver".into())
        } else if family.is_none() {
            Some("a queue that computes: take another device".into())
        } else {
            None
        };
        let limits = &base.limits;
        let kind = match base.device_type {
            vk::PhysicalDeviceType::DISCRETE_GPU => DeviceKind::Discrete,
            vk::PhysicalDeviceType::INTEGRATED_GPU => DeviceKind::Integrated,
            vk::PhysicalDeviceType::VIRTUAL_GPU => DeviceKind::Virtual,
            vk::PhysicalDeviceType::CPU => DeviceKind::Software,
            _ => DeviceKind::Other,
        };
        let yes = |b: vk::Bool32| b == vk::TRUE;
        // Float modes of one width can be required alone only where widths are independent.
        let alone = |i: vk::ShaderFloatControlsIndependence, wide: bool| {
            use vk::ShaderFloatControlsIndependence as Independence;
            i == Independence::ALL || (i == Independence::TYPE_32_ONLY && !wide)
        };
        let [denorm, rounding] = [float.denorm_behavior_independence, float.rounding_mode_independence];
        let cooperative = match f12.vulkan_memory_model == vk::TRUE && p11.subgroup_size > 0 && !without.subgroups {
            true => self.cooperative(raw),
            false => Vec::new(),
        };
        let range = u64::from(limits.max_storage_buffer_range).min(p13.max_buffer_size);
        let workgroup = limits.max_compute_work_group_invocations.min(limits.max_compute_work_group_size[0]);
        let workgroup = 1 << workgroup.clamp(1, 256).ilog2();
        let caps = Caps {
            float64: yes(core.shader_float64) && !without.float64,
            int64: yes(core.shader_int64) && !without.int64,
            storage8: yes(f12.storage_buffer8_bit_access) && !without.storage8,
            storage16: yes(f11.storage_buffer16_bit_access) && !without.storage16,
            // Vulkan doesn't say. Every card of this decade fuses, no software device does.
            fused: kind != DeviceKind::Software,
            f32: FloatCaps {
                keeps_nan: yes(float.shader_signed_zero_inf_nan_preserve_float32),
                keeps_denormals: yes(float.shader_denorm_preserve_float32) && alone(denorm, false),
                rounds_to_even: yes(float.shader_rounding_mode_rte_float32) && alone(rounding, false),
            },
            f64: FloatCaps {
                keeps_nan: yes(float.shader_signed_zero_inf_nan_preserve_float64),
                keeps_denormals: yes(float.shader_denorm_preserve_float64) && alone(denorm, true),
                rounds_to_even: yes(float.shader_rounding_mode_rte_float64) && alone(rounding, true),
            },
            workgroup,
            subgroup: (!without.subgroups).then(|| subgroup(&p11, &p13, &f13, workgroup)).flatten(),
            local_bytes: limits.max_compute_shared_memory_size,
            cooperative,
            // Where llvmpipe stops: it would give wrong results beyond.
            iterations: if float.driver_id == vk::DriverId::MESA_LLVMPIPE { 65_535 } else { usize::MAX },
            groups: [
                limits.max_compute_work_group_count[0].min(without.groups.unwrap_or(u32::MAX)),
                limits.max_compute_work_group_count[1],
            ],
            range: range.min(without.range.unwrap_or(u64::MAX)),
            bindings: limits.max_per_stage_descriptor_storage_buffers.min(limits.max_per_stage_resources),
            allocation: p11.max_memory_allocation_size.min(p13.max_buffer_size),
            alignment: limits.min_storage_buffer_offset_alignment.max(64),
            shared_memory: !without.shared_memory,
            worth: without.long.map_or(Worth::USUAL, |piece| Worth { piece, ..Worth::USUAL }),
        };
        let name = base.device_name_as_c_str().unwrap_or(c"a device without a name");
        // SAFETY: as above.
        let memory = unsafe { self.raw.get_physical_device_memory_properties(raw) };
        let local = |h: &vk::MemoryHeap| h.flags.contains(vk::MemoryHeapFlags::DEVICE_LOCAL);
        let text = |s: Result<&CStr, _>| s.map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let driver = [text(float.driver_name_as_c_str()), text(float.driver_info_as_c_str())].join(" ");
        let driver = match driver.trim() {
            "" => format!("of version {:#x}", base.driver_version),
            driver => driver.to_owned(),
        };
        let info = DeviceInfo {
            name: name.to_string_lossy().into_owned(),
            kind,
            version,
            driver,
            float64: caps.float64,
            int64: caps.int64,
            storage8: caps.storage8,
            storage16: caps.storage16,
            subgroup: caps.subgroup,
            workgroup: caps.workgroup,
            local_bytes: caps.local_bytes,
            cooperative: caps.cooperative.clone(),
            timeline: yes(f12.timeline_semaphore) && !without.timeline,
            shared_memory: caps.shared_memory && memory::has_shared(&memory),
            heaps: memory.memory_heaps_as_slice().iter().map(|h| (h.size, local(h))).collect(),
            max_range: caps.range,
            lacks,
        };
        Candidate { raw, info, caps, family: family.unwrap_or(0) as u32 }
    }
}

impl Instance {
    /// The shapes of cooperative matrices that compute in one type.
    fn cooperative(&self, raw: vk::PhysicalDevice) -> Vec<(Dtype, [usize; 3])> {
        let extension = ash::khr::cooperative_matrix::NAME;
        // SAFETY: `raw` is a device of this instance, here and below.
        let offered = unsafe { self.raw.enumerate_device_extension_properties(raw) }.unwrap_or_default();
        if !offered.iter().any(|e| e.extension_name_as_c_str() == Ok(extension)) {
            return Vec::new();
        }
        let mut feature = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default();
        let mut properties = vk::PhysicalDeviceCooperativeMatrixPropertiesKHR::default();
        let mut features = vk::PhysicalDeviceFeatures2::default().push_next(&mut feature);
        // SAFETY: the device has the extension whose structure is chained.
        unsafe { self.raw.get_physical_device_features2(raw, &mut features) };
        let mut all = vk::PhysicalDeviceProperties2::default().push_next(&mut properties);
        // SAFETY: as above.
        unsafe { self.raw.get_physical_device_properties2(raw, &mut all) };
        let compute = properties.cooperative_matrix_supported_stages.contains(vk::ShaderStageFlags::COMPUTE);
        if feature.cooperative_matrix == vk::FALSE || !compute {
            return Vec::new();
        }
        let list = ash::khr::cooperative_matrix::Instance::new(&self._entry, &self.raw);
        // SAFETY: the device has the extension.
        let shapes = unsafe { list.get_physical_device_cooperative_matrix_properties(raw) }.unwrap_or_default();
        let of_one_type = |s: &vk::CooperativeMatrixPropertiesKHR<'_>| {
            let dtype = match s.result_type {
                vk::ComponentTypeKHR::FLOAT32 => Dtype::F32,
                vk::ComponentTypeKHR::FLOAT64 => Dtype::F64,
                _ => return None,
            };
            let same = [s.a_type, s.b_type, s.c_type] == [s.result_type; 3] && s.scope == vk::ScopeKHR::SUBGROUP;
            same.then_some((dtype, [s.m_size, s.n_size, s.k_size].map(|n| n as usize)))
        };
        shapes.iter().filter_map(of_one_type).collect()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some((debug, messenger)) = self.messenger.take() {
            // SAFETY: the messenger is the instance's and nothing else uses it.
            unsafe { debug.destroy_debug_utils_messenger(messenger, None) };
        }
        // SAFETY: every object of the instance is gone: `Context` destroys its device before it
        // drops this field, and `list` makes none.
        unsafe { self.raw.destroy_instance(None) };
    }
}

impl Context {
    /// Opens the device that the options and the environment choose.
    pub(crate) fn open(options: &Options) -> Result<Context, Unavailable> {
        let instance = Instance::new(options)?;
        let mut candidates = instance.candidates(options)?;
        let infos: Vec<DeviceInfo> = candidates.iter().map(|c| c.info.clone()).collect();
        let named = std::env::var("EGRAD_VULKAN_DEVICE").ok().filter(|n| !n.is_empty());
        let picked = candidates.swap_remove(choose(&infos, &options.selection, named.as_deref())?);
        let Candidate { raw: physical, info, caps, family } = picked;
        let failed = |e: vk::Result| Unavailable::NoDevice { why: format!("`{}` can't be opened: {e}", info.name) };

        let queues = [vk::DeviceQueueCreateInfo::default().queue_family_index(family).queue_priorities(&[1.0])];
        let core = vk::PhysicalDeviceFeatures::default().shader_float64(caps.float64).shader_int64(caps.int64);
        let matrices = !caps.cooperative.is_empty();
        let mut f11 = vk::PhysicalDeviceVulkan11Features::default().storage_buffer16_bit_access(caps.storage16);
        let mut f12 = vk::PhysicalDeviceVulkan12Features::default()
            .storage_buffer8_bit_access(caps.storage8)
            .timeline_semaphore(true)
            .vulkan_memory_model(matrices);
        let mut cooperative = vk::PhysicalDeviceCooperativeMatrixFeaturesKHR::default().cooperative_matrix(true);
        let extensions = [ash::khr::cooperative_matrix::NAME.as_ptr()];
        let subgroups = caps.subgroup.is_some();
        let mut f13 = vk::PhysicalDeviceVulkan13Features::default()
            .synchronization2(true)
            .subgroup_size_control(subgroups)
            .compute_full_subgroups(subgroups);
        let mut create = vk::DeviceCreateInfo::default()
            .queue_create_infos(&queues)
            .enabled_features(&core)
            .push_next(&mut f11)
            .push_next(&mut f12)
            .push_next(&mut f13);
        if matrices {
            create = create.enabled_extension_names(&extensions).push_next(&mut cooperative);
        }
        // SAFETY: the device is the instance's, has the features enabled (`inspect` saw them, and
        // `choose` takes no device without `synchronization2`) and a queue of that family.
        let raw = unsafe { instance.raw.create_device(physical, &create, None) }.map_err(failed)?;
        // SAFETY: the device was created with one queue of that family.
        let queue = unsafe { raw.get_device_queue(family, 0) };
        // SAFETY: the physical device is the instance's.
        let memory = unsafe { instance.raw.get_physical_device_memory_properties(physical) };
        // SAFETY: the physical device is the instance's.
        let properties = unsafe { instance.raw.get_physical_device_properties(physical) };
        // SAFETY: the device was just made of that physical one; the context, which destroys it,
        // destroys the cache first.
        let cache = unsafe { Cache::open(&raw, &properties, options.cache.as_deref()) };
        let mut kind = vk::SemaphoreTypeCreateInfo::default().semaphore_type(vk::SemaphoreType::TIMELINE);
        let semaphore = vk::SemaphoreCreateInfo::default().push_next(&mut kind);
        // SAFETY: the device is alive, with `timelineSemaphore` enabled.
        let timeline = unsafe { raw.create_semaphore(&semaphore, None) };
        let lost = timeline.err();
        let queue = Queue::new(queue, timeline.unwrap_or_default(), options.faults.clone());
        let context = Context {
            raw,
            info,
            caps,
            memory,
            family,
            cache,
            queue,
            bounds: options.bounds,
            ring: options.without.ring,
            instance,
        };
        if let Some(e) = lost {
            let why = format!("`{}` can't be opened: {e}", context.info.name);
            return Err(Unavailable::NoDevice { why });
        }
        Ok(context)
    }

    pub(crate) fn messages(&self) -> Messages {
        self.instance.messages.clone()
    }

    /// What a failure of the device is to the user.
    pub(crate) fn error(&self, what: &str, e: vk::Result) -> Error {
        let name = &self.info.name;
        match e {
            vk::Result::ERROR_OUT_OF_HOST_MEMORY | vk::Result::ERROR_OUT_OF_DEVICE_MEMORY => {
                Error::memory(format!("`{name}` is out of memory: can't {what}"))
            }
            vk::Result::ERROR_DEVICE_LOST => {
                Error::device(format!("`{name}` was lost: can't {what}; open the device anew and compile for it"))
            }
            _ => Error::device(format!("`{name}` can't {what}: {e}")),
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.wait_idle();
        self.cache.flush(&self.raw);
        // SAFETY: whatever was made of this device holds an `Arc` of it, so all of that is gone,
        // and the device is idle.
        unsafe {
            self.raw.destroy_semaphore(self.queue.timeline, None);
            self.raw.destroy_pipeline_cache(self.cache.raw, None);
            self.raw.destroy_device(None);
        }
    }
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unavailable::NoLoader { path, why } => {
                let which = path.as_ref().map_or(String::new(), |p| format!(" at {}", p.display()));
                write!(f, "no Vulkan loader{which} ({why}): install it ")?;
                f.write_str("(Debian, Ubuntu: apt-get install libvulkan1; Fedora: dnf install vulkan-loader)")
            }
            Unavailable::NoDriver { why } => {
                write!(f, "no Vulkan driver ({why}): install the GPU maker's, or a software one ")?;
                f.write_str("(Debian, Ubuntu: apt-get install mesa-vulkan-drivers)")?;
                for name in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
                    if let Some(value) = std::env::var_os(name) {
                        write!(f, "; {name} allows {} alone", value.to_string_lossy())?;
                    }
                }
                Ok(())
            }
            Unavailable::NoDevice { why } => write!(f, "no Vulkan device: {why}"),
            Unavailable::MissingFeature { who, what } => write!(f, "{who} lacks {what}"),
        }
    }
}

/// The name of every shader's entry point.
pub(crate) const ENTRY: &CStr = c"main";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info::tests::device;

    #[track_caller]
    fn check(devices: &[DeviceInfo], selection: Selection, named: Option<&str>, expect: Result<usize, &str>) {
        match (choose(devices, &selection, named), expect) {
            (Ok(got), Ok(want)) => assert_eq!(got, want),
            (Err(e), Err(want)) => assert!(e.to_string().contains(want), "{e}"),
            (got, want) => panic!("got {got:?}, expected {want:?}"),
        }
    }

    #[test]
    fn picking() {
        let (gpu, cpu) = (device("Fast 9000", DeviceKind::Discrete), device("llvmpipe", DeviceKind::Software));
        let both = [gpu.clone(), cpu.clone()];
        let old = DeviceInfo { lacks: Some("Vulkan 1.3: update its driver".into()), ..gpu };
        check(&both, Selection::Any, None, Ok(0));
        check(&both, Selection::Hardware, None, Ok(0));
        check(&both, Selection::Hardware, Some("LLVM"), Ok(1));
        check(&both, Selection::Any, Some("1"), Ok(1));
        check(&both, Selection::Named("fast".into()), Some("1"), Ok(0));
        check(&both, Selection::Any, Some("2"), Err("named by EGRAD_VULKAN_DEVICE; there are `Fast 9000`, `llvmpipe`"));
        check(&both, Selection::Named("arc".into()), None, Err("no Vulkan device `arc`, as asked for"));
        check(std::slice::from_ref(&cpu), Selection::Any, None, Ok(0));
        check(
            std::slice::from_ref(&cpu),
            Selection::Hardware,
            None,
            Err("software devices alone here (`llvmpipe`); ask for"),
        );
        check(&[old.clone(), cpu.clone()], Selection::Any, None, Ok(1));
        check(&[old, cpu], Selection::Hardware, None, Err("Fast 9000 lacks Vulkan 1.3: update its driver"));
        check(&[], Selection::Any, None, Err("the driver shows no Vulkan device"));
    }
}
