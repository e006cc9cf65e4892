//! Programs: a schedule compiled for a device, and the commands that run it.
//!
//! A program plans once: pipelines, a place per buffer, launches with the barriers between them. A
//! [`Frame`] is what one run in flight needs: memory, descriptors, and a command buffer recorded
//! when the frame is made and submitted, unchanged, for every run. Runs take a frame and give it
//! back, so that concurrent runs don't share one.
#![allow(unsafe_code)]

use crate::device::Context;
use crate::memory::{self, Layout, Place, Slab, Use};
use crate::pipeline::Pipeline;
use crate::spirv::{self, Module};
use crate::spread::{self, Memory, Spread};
use crate::{Shaders, glsl};
use ash::vk;
use egrad_ir::kernel::{Executable, Operand, Run};
use egrad_ir::schedule::{Buffer, Schedule};
use egrad_ir::{Array, Aval, Dtype, Error, Result};
use hashbrown::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What Vulkan's commands give.
type Commands<T> = ash::prelude::VkResult<T>;

/// A schedule compiled for a device.
pub(crate) struct Program {
    schedule: Schedule,
    modules: Vec<Module>,
    plan: Plan,
    /// Frames not in use.
    frames: Mutex<Vec<Frame>>,
    context: Arc<Context>,
}

/// How a schedule runs.
#[derive(Default)]
struct Plan {
    launches: Vec<Launch>,
    /// The memory kernels work on.
    arena: Layout,
    /// Whether the host sees the arena.
    shared: bool,
    /// The memory to stage through; empty if the arena is shared.
    staging: Layout,
    /// Inputs some kernel reads, with their positions.
    uploads: Vec<(usize, Transfer)>,
    /// Buffers that are results, each once.
    downloads: Vec<(Aval, Transfer)>,
    /// Per result what it is.
    results: Vec<Source>,
}

/// A launch of a kernel.
struct Launch {
    pipeline: Arc<Pipeline>,
    places: Vec<Place>,
    groups: [u32; 2],
    push: [u8; spirv::PUSH_BYTES as usize],
    /// Whether it reads what an earlier launch wrote, with no barrier in between yet.
    waits: bool,
}

/// A buffer that goes to the device or comes back. If the arena is shared, both places are one.
#[derive(Clone, Copy)]
struct Transfer {
    host: Place,
    device: Place,
}

/// What a result is.
enum Source {
    /// The input of that position.
    Input(usize),
    /// The download of that position.
    Download(usize),
}

impl Program {
    /// Compiles every kernel, after all of them were found to be ones the device can run.
    pub(crate) fn new(context: &Arc<Context>, shaders: Shaders, schedule: Schedule) -> Result<Program> {
        // A device checks no index: what follows relies on the verifier.
        schedule.verify()?;
        let spread = schedule.steps.iter().map(|step| spread::spread(&step.kernel, &context.caps));
        let spread: Vec<Spread> = spread.collect::<Result<_>>()?;
        Program::of(context, shaders, schedule, &spread)
    }

    /// Compiles the launches of a verified schedule's kernels.
    pub(crate) fn of(
        context: &Arc<Context>,
        shaders: Shaders,
        schedule: Schedule,
        spread: &[Spread],
    ) -> Result<Program> {
        let launches = spread.iter().flat_map(|s| &s.launches);
        let modules: Vec<Module> = launches.map(|l| module(context, shaders, l)).collect::<Result<_>>()?;
        let pipelines = pipelines(context, &modules)?;
        let plan = Plan::new(context, &schedule, spread, &modules, pipelines)?;
        Ok(Program { schedule, modules, plan, frames: Mutex::default(), context: Arc::clone(context) })
    }

    fn frame(&self) -> Result<Frame> {
        let kept = self.frames.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.map_or_else(|| Frame::new(&self.context, &self.plan), Ok)
    }

    /// Keeps a frame for the next run: one of any size, more of small ones.
    fn give_back(&self, frame: Frame) {
        const SMALL: u64 = 4 << 20;
        let mut frames = self.frames.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = self.plan.arena.bytes() + self.plan.staging.bytes();
        if frames.is_empty() || (frames.len() < 16 && bytes <= SMALL) {
            frames.push(frame);
        }
    }

    /// Runs the kernels and reads their results.
    fn launch(&self, inputs: &[&Array]) -> Result<Vec<Array>> {
        if self.plan.launches.is_empty() {
            let empty = self.plan.downloads.iter().map(|(aval, _)| Array::scratch(aval.clone()));
            return empty.collect();
        }
        let mut frame = self.frame()?;
        for (i, transfer) in &self.plan.uploads {
            frame.upload(inputs[*i], transfer.host);
        }
        frame.run()?;
        let outputs = self.plan.downloads.iter().map(|(aval, transfer)| frame.download(aval, transfer.host));
        let outputs = outputs.collect::<Result<_>>()?;
        self.give_back(frame);
        Ok(outputs)
    }
}

impl Executable for Program {
    fn run(&self, inputs: &[&Array]) -> Result<Run> {
        let expected = &self.schedule.inputs;
        if inputs.len() != expected.len() || inputs.iter().zip(expected).any(|(i, (_, aval))| i.aval() != aval) {
            return Err(Error::internal("a program was run on inputs it wasn't compiled for"));
        }
        let computed = self.launch(inputs)?;
        let pick = |source: &Source| match source {
            Source::Input(i) => inputs[*i],
            Source::Download(i) => &computed[*i],
        };
        let results = self.plan.results.iter().zip(&self.schedule.outputs);
        let outputs = results.map(|(source, (_, aval))| pick(source).reshape(aval.shape.clone()));
        Ok(Run { outputs: outputs.collect::<Result<_>>()?, dispatches: self.plan.launches.len() })
    }

    fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    fn code(&self) -> Vec<usize> {
        Vec::new()
    }

    fn listing(&self, stage: &str) -> Option<Vec<String>> {
        match stage {
            "spirv" => Some(self.modules.iter().map(Module::disassemble).collect()),
            "glsl" => Some(shaders(&self.context, &self.schedule)),
            _ => None,
        }
    }
}

/// The module of a launch, made in that way.
fn module(context: &Context, shaders: Shaders, launch: &spread::Launch) -> Result<Module> {
    let (caps, name) = (&context.caps, &context.info.name);
    match shaders {
        Shaders::Spirv => spirv::emit(launch, caps, name),
        Shaders::Glsl => glsl::compile(&glsl::print(launch, caps, name)?),
    }
}

/// Every launch in GLSL, or why it can't be.
fn shaders(context: &Context, schedule: &Schedule) -> Vec<String> {
    let (caps, name) = (&context.caps, &context.info.name);
    let spread = schedule.steps.iter().flat_map(|step| match spread::spread(&step.kernel, caps) {
        Ok(spread) => spread.launches.iter().map(|l| glsl::print(l, caps, name).map(|s| s.text)).collect(),
        Err(e) => vec![Err(e)],
    });
    spread.map(|text| text.unwrap_or_else(|e| format!("// {e}"))).collect()
}

/// A pipeline per module; equal modules share one.
fn pipelines(context: &Arc<Context>, modules: &[Module]) -> Result<Vec<Arc<Pipeline>>> {
    let mut compiled: HashMap<&[u32], Arc<Pipeline>> = HashMap::new();
    let mut pipelines = Vec::new();
    for module in modules {
        let pipeline = match compiled.get(module.words.as_slice()) {
            Some(pipeline) => Arc::clone(pipeline),
            None => Arc::new(Pipeline::new(context, module)?),
        };
        compiled.insert(&module.words, Arc::clone(&pipeline));
        pipelines.push(pipeline);
    }
    Ok(pipelines)
}

impl Plan {
    fn new(
        context: &Context,
        schedule: &Schedule,
        spread: &[Spread],
        modules: &[Module],
        pipelines: Vec<Arc<Pipeline>>,
    ) -> Result<Plan> {
        let alignment = context.caps.alignment;
        let mut plan = Plan { shared: memory::is_shared(context), ..Plan::default() };
        let bytes = |buffer: &Buffer| buffer.len as u64 * buffer.dtype.bytes() as u64;
        let mut places: Vec<Option<Place>> = vec![None; schedule.buffers.len()];
        // Per place the launch that wrote it last.
        let mut writer: HashMap<Place, usize> = HashMap::new();
        // The launch before which the last barrier was put: it covers what earlier ones wrote.
        let mut barrier = 0;
        let mut compiled = modules.iter().zip(pipelines);
        for (step, spread) in schedule.steps.iter().zip(spread) {
            for id in &step.operands {
                let size = bytes(schedule.buffer(*id));
                places[id.index()].get_or_insert_with(|| plan.arena.place(size, alignment));
            }
            let scratch: Vec<Place> = spread.scratch.iter().map(|b| plan.arena.place(bytes(b), alignment)).collect();
            for launch in &spread.launches {
                let (module, pipeline) = compiled.next().expect("a module per launch");
                let whole = |memory: Memory| match memory {
                    Memory::Operand(i) => places[step.operands[i].index()].expect("operands have places"),
                    Memory::Scratch(i) => scratch[i],
                };
                let at = plan.launches.len();
                let operands = || launch.bindings.iter().zip(&launch.kernel.operands);
                let waits = operands().any(|(b, _)| writer.get(&whole(b.memory)).is_some_and(|w| *w >= barrier));
                if waits {
                    barrier = at;
                }
                for (b, _) in operands().filter(|(_, o)| o.written) {
                    writer.insert(whole(b.memory), at);
                }
                let part = |(b, o): (&spread::Binding, &Operand)| {
                    let (place, bytes) = (whole(b.memory), o.dtype.bytes() as u64);
                    let (offset, size) = (place.offset + b.first as u64 * bytes, (b.len as u64 * bytes).max(1));
                    Place { offset, size, ..place }
                };
                let places = operands().map(part).collect();
                let (groups, push) = grid(context, module)?;
                plan.launches.push(Launch { pipeline, places, groups, push, waits });
            }
        }
        let transfer = |device: Place, plan: &mut Plan| {
            let host = if plan.shared { device } else { plan.staging.place(device.size, alignment) };
            Transfer { host, device }
        };
        for (at, (id, _)) in schedule.inputs.iter().enumerate() {
            if let Some(place) = places[id.index()] {
                let transfer = transfer(place, &mut plan);
                plan.uploads.push((at, transfer));
            }
        }
        let mut downloaded = HashMap::new();
        for (id, aval) in &schedule.outputs {
            let source = match schedule.inputs.iter().position(|(i, _)| i == id) {
                Some(input) => Source::Input(input),
                None => Source::Download(*downloaded.entry(*id).or_insert_with(|| {
                    // Nobody writes what has no elements.
                    let place = places[id.index()].unwrap_or_else(|| plan.arena.place(0, alignment));
                    let transfer = transfer(place, &mut plan);
                    plan.downloads.push((aval.clone(), transfer));
                    plan.downloads.len() - 1
                })),
            };
            plan.results.push(source);
        }
        Ok(plan)
    }
}

/// Workgroups along two axes for the module's points, and the push constants that tell them which
/// are theirs. One axis may have as few as 65,535 workgroups.
fn grid(context: &Context, module: &Module) -> Result<([u32; 2], [u8; spirv::PUSH_BYTES as usize])> {
    let caps = &context.caps;
    let groups = module.points.div_ceil(u64::from(module.per_group));
    let x = groups.min(u64::from(caps.groups[0]));
    let y = groups.div_ceil(x);
    // Numbers of points are computed in 32 bits, for the whole of the last row.
    if y > u64::from(caps.groups[1]) || y * x * u64::from(module.per_group) > u64::from(u32::MAX) {
        let (name, points) = (&context.info.name, module.points);
        return Err(Error::device(format!("`{name}` can't run a kernel over {points} points in one launch")));
    }
    let mut push = [0; spirv::PUSH_BYTES as usize];
    push[..4].copy_from_slice(&(module.points as u32).to_ne_bytes());
    push[4..].copy_from_slice(&(x as u32).to_ne_bytes());
    Ok(([x as u32, y as u32], push))
}

/// What one run in flight needs.
struct Frame {
    arena: Vec<Slab>,
    staging: Vec<Slab>,
    /// Kept alive: the commands use them.
    _pipelines: Vec<Arc<Pipeline>>,
    descriptors: vk::DescriptorPool,
    pool: vk::CommandPool,
    commands: vk::CommandBuffer,
    fence: vk::Fence,
    /// Whether the commands were submitted and not yet seen to end.
    in_flight: bool,
    shared: bool,
    context: Arc<Context>,
}

impl Frame {
    fn new(context: &Arc<Context>, plan: &Plan) -> Result<Frame> {
        let device = &context.raw;
        let failed = |e| context.error("prepare a run", e);
        let slabs = |layout: &Layout, usage| -> Result<Vec<Slab>> {
            layout.slabs.iter().map(|size| Slab::new(context, *size, usage)).collect()
        };
        // Each part is kept in `frame` as soon as it exists, so that a failure drops it.
        let mut frame = Frame {
            arena: slabs(&plan.arena, if plan.shared { Use::Shared } else { Use::Device })?,
            staging: slabs(&plan.staging, Use::Staging)?,
            _pipelines: plan.launches.iter().map(|l| Arc::clone(&l.pipeline)).collect(),
            descriptors: vk::DescriptorPool::null(),
            pool: vk::CommandPool::null(),
            commands: vk::CommandBuffer::null(),
            fence: vk::Fence::null(),
            in_flight: false,
            shared: plan.shared,
            context: Arc::clone(context),
        };
        let bindings: usize = plan.launches.iter().map(|l| l.places.len()).sum();
        let sizes = [vk::DescriptorPoolSize::default()
            .ty(vk::DescriptorType::STORAGE_BUFFER)
            .descriptor_count(bindings.max(1) as u32)];
        let sets = plan.launches.len() as u32;
        let create = vk::DescriptorPoolCreateInfo::default().max_sets(sets).pool_sizes(&sizes);
        // SAFETY: neither count is 0: there is a launch, or no frame would be made.
        frame.descriptors = unsafe { device.create_descriptor_pool(&create, None) }.map_err(failed)?;
        let create = vk::CommandPoolCreateInfo::default().queue_family_index(context.family);
        // SAFETY: the device has a queue of that family.
        frame.pool = unsafe { device.create_command_pool(&create, None) }.map_err(failed)?;
        let allocate = vk::CommandBufferAllocateInfo::default().command_pool(frame.pool).command_buffer_count(1);
        // SAFETY: the pool is alive and ours alone; it frees the buffer when it is destroyed.
        frame.commands = unsafe { device.allocate_command_buffers(&allocate) }.map_err(failed)?[0];
        // SAFETY: the device is alive.
        frame.fence = unsafe { device.create_fence(&vk::FenceCreateInfo::default(), None) }.map_err(failed)?;
        let sets = frame.describe(plan).map_err(failed)?;
        frame.record(plan, &sets).map_err(failed)?;
        Ok(frame)
    }

    /// A descriptor set per launch.
    fn describe(&self, plan: &Plan) -> Commands<Vec<vk::DescriptorSet>> {
        let device = &self.context.raw;
        let layouts: Vec<_> = plan.launches.iter().map(|l| l.pipeline.set).collect();
        let allocate = vk::DescriptorSetAllocateInfo::default().descriptor_pool(self.descriptors).set_layouts(&layouts);
        // SAFETY: the pool was made for exactly these sets, and is ours alone.
        let sets = unsafe { device.allocate_descriptor_sets(&allocate) }?;
        let buffer = |p: &Place| {
            vk::DescriptorBufferInfo::default().buffer(self.arena[p.slab].raw).offset(p.offset).range(p.size)
        };
        for (launch, set) in plan.launches.iter().zip(&sets) {
            let buffers: Vec<_> = launch.places.iter().map(buffer).collect();
            if buffers.is_empty() {
                continue;
            }
            let write = vk::WriteDescriptorSet::default()
                .dst_set(*set)
                .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                .buffer_info(&buffers);
            // SAFETY: the set has as many storage buffers, from binding 0 on; the places are
            // inside their slabs, aligned, and not larger than the device binds; no commands use
            // the set yet.
            unsafe { device.update_descriptor_sets(&[write], &[]) };
        }
        Ok(sets)
    }

    /// Records the commands of a run.
    fn record(&self, plan: &Plan, sets: &[vk::DescriptorSet]) -> Commands<()> {
        use vk::{AccessFlags2 as Access, PipelineStageFlags2 as Stage};
        const COMPUTE: Stage = Stage::COMPUTE_SHADER;
        const COPY: Stage = Stage::COPY;
        const WRITTEN: Access = Access::SHADER_STORAGE_WRITE;
        const READ: Access = Access::SHADER_STORAGE_READ;
        let (device, commands) = (&self.context.raw, self.commands);
        let barrier = |from: (Stage, Access), to: (Stage, Access)| {
            let barriers = [vk::MemoryBarrier2::default()
                .src_stage_mask(from.0)
                .src_access_mask(from.1)
                .dst_stage_mask(to.0)
                .dst_access_mask(to.1)];
            // SAFETY: the commands are being recorded, and the device has `synchronization2`.
            unsafe {
                device.cmd_pipeline_barrier2(commands, &vk::DependencyInfo::default().memory_barriers(&barriers));
            }
        };
        let copy = |from: &Slab, at: Place, to: &Slab, there: Place| {
            let region = [vk::BufferCopy { src_offset: at.offset, dst_offset: there.offset, size: at.size }];
            // SAFETY: the commands are being recorded; both places have that size, are inside
            // their slabs, and are in different slabs.
            unsafe { device.cmd_copy_buffer(commands, from.raw, to.raw, &region) };
        };
        // SAFETY: the buffer is fresh, and its pool is ours alone.
        unsafe { device.begin_command_buffer(commands, &vk::CommandBufferBeginInfo::default()) }?;
        if !plan.shared && !plan.uploads.is_empty() {
            for (_, t) in &plan.uploads {
                copy(&self.staging[t.host.slab], t.host, &self.arena[t.device.slab], t.device);
            }
            barrier((COPY, Access::TRANSFER_WRITE), (COMPUTE, READ));
        }
        for (launch, set) in plan.launches.iter().zip(sets) {
            if launch.waits {
                barrier((COMPUTE, WRITTEN), (COMPUTE, READ));
            }
            let (compute, layout) = (vk::PipelineBindPoint::COMPUTE, launch.pipeline.layout);
            let [x, y] = launch.groups;
            // SAFETY: the commands are being recorded; pipeline, layout and set fit each other,
            // are alive, and stay so as long as the frame (`_pipelines`); the push constants fill
            // the layout's range; the group counts are within the device's limits (`grid`).
            unsafe {
                device.cmd_bind_pipeline(commands, compute, launch.pipeline.raw);
                device.cmd_bind_descriptor_sets(commands, compute, layout, 0, &[*set], &[]);
                device.cmd_push_constants(commands, layout, vk::ShaderStageFlags::COMPUTE, 0, &launch.push);
                device.cmd_dispatch(commands, x, y, 1);
            }
        }
        if plan.shared {
            barrier((COMPUTE, WRITTEN), (Stage::HOST, Access::HOST_READ));
        } else if !plan.downloads.is_empty() {
            barrier((COMPUTE, WRITTEN), (COPY, Access::TRANSFER_READ));
            for (_, t) in &plan.downloads {
                copy(&self.arena[t.device.slab], t.device, &self.staging[t.host.slab], t.host);
            }
            barrier((COPY, Access::TRANSFER_WRITE), (Stage::HOST, Access::HOST_READ));
        }
        // SAFETY: the commands are being recorded.
        unsafe { device.end_command_buffer(commands) }
    }

    /// The slab of a transfer's host side.
    fn host(&self, place: Place) -> &Slab {
        if self.shared { &self.arena[place.slab] } else { &self.staging[place.slab] }
    }

    /// Copies an input's elements to where the device finds them.
    ///
    /// # Panics
    /// If they don't fit the place.
    fn upload(&mut self, array: &Array, place: Place) {
        let bytes = array.shape().size() * array.dtype().bytes();
        assert!(bytes as u64 <= place.size, "{} in {place:?}", array.aval());
        let to = self.host(place).address(place);
        // SAFETY: the array has `bytes` bytes of elements, the place has as many in the slab's
        // mapping, which is no Rust object's memory; the device doesn't use the slab, as nothing is
        // in flight, and no other thread does, as the frame is borrowed exclusively.
        unsafe { std::ptr::copy_nonoverlapping(array.as_ptr(), to.as_ptr(), bytes) };
    }

    /// Submits the commands and waits for their end.
    fn run(&mut self) -> Result<()> {
        let (context, fences) = (&self.context, [self.fence]);
        self.in_flight = true;
        // SAFETY: the commands are recorded and, like all they use, live as long as the frame,
        // which waits for their end before it drops them; nothing is in flight, so that the fence
        // isn't in use, and it is reset below after every wait.
        unsafe { context.submit(self.commands, self.fence) }.map_err(|e| context.error("start a run", e))?;
        // SAFETY: the fence is alive.
        unsafe { context.raw.wait_for_fences(&fences, true, u64::MAX) }
            .map_err(|e| context.error("finish a run", e))?;
        self.in_flight = false;
        // SAFETY: the fence is signalled and not in use any more.
        unsafe { context.raw.reset_fences(&fences) }.map_err(|e| context.error("finish a run", e))
    }

    /// A result's elements.
    fn download(&self, aval: &Aval, place: Place) -> Result<Array> {
        let mut array = Array::scratch(aval.clone())?;
        let bytes = aval.shape.size() * aval.dtype.bytes();
        assert!(bytes as u64 <= place.size, "{aval} in {place:?}");
        let to = array.as_mut_ptr().expect("an array not shared yet");
        let from = self.host(place).address(place).as_ptr();
        match aval.dtype {
            // SAFETY: both sides have `bytes` bytes and are apart, the device is done with the
            // mapping, no one writes it while the frame is borrowed, and every bit pattern is an
            // element of these types.
            Dtype::F32 | Dtype::F64 | Dtype::I32 => unsafe { std::ptr::copy_nonoverlapping(from, to, bytes) },
            Dtype::Bool => {
                for i in 0..bytes {
                    // SAFETY: as above, byte by byte; what is written is 0 or 1, whatever is read.
                    unsafe { to.add(i).write(u8::from(from.add(i).read() != 0)) };
                }
            }
        }
        Ok(array)
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        if self.in_flight {
            self.context.wait_idle();
        }
        let device = &self.context.raw;
        // SAFETY: each is null or this device's, alive and ours alone; nothing is in flight.
        unsafe {
            device.destroy_fence(self.fence, None);
            device.destroy_command_pool(self.pool, None);
            device.destroy_descriptor_pool(self.descriptors, None);
        }
    }
}
