//! What one run in flight needs.
#![allow(unsafe_code)]

use super::Input;
use super::plan::{Bound, Home, Plan};
use super::walk::{self, Walk};
use crate::commands::{Actor, Commands};
use crate::memory::{Region, Ring, Spot};
use crate::pipeline::Pipeline;
use crate::queue::Commanded;
use crate::runtime::{Runtime, bytes};
use ash::vk;
use egrad_ir::{Array, Result};
use smallvec::SmallVec;
use std::sync::Arc;

/// Memory, descriptors and commands of a run.
pub(super) struct Frame {
    /// At least one; the others are for programs that don't fit it.
    commands: Vec<Commands>,
    /// Host memory for what the device decides.
    answers: Option<Ring>,
    descriptors: vk::DescriptorPool,
    /// A descriptor set per launch.
    sets: Vec<vk::DescriptorSet>,
    temporaries: Vec<Region>,
    /// Per input of the plan, memory for when it comes from the host.
    uploads: Vec<Option<Region>>,
    /// Where inputs and results were when the commands were recorded. Empty if they aren't, or if
    /// they copy what was staged, which is elsewhere in every run.
    recorded: Spots,
    /// How many launches were recorded.
    launches: usize,
    /// Kept alive: the commands use them.
    _pipelines: Vec<Arc<Pipeline>>,
    runtime: Arc<Runtime>,
}

type Spots = SmallVec<[Spot; 8]>;

/// A copy that a run begins with: from where, to where, how many bytes.
type Copy = (Spot, Spot, u64);

impl Frame {
    pub(super) fn new(runtime: &Arc<Runtime>, plan: &Plan) -> Result<Frame> {
        let context = &runtime.context;
        let failed = |e| context.error("prepare a run", e);
        let temporaries = plan.temporaries.slabs.iter().map(|size| Region::new(runtime, *size));
        // Each part is kept in `frame` as soon as it exists, so that a failure drops it.
        let mut frame = Frame {
            temporaries: temporaries.collect::<Result<_>>()?,
            commands: vec![Commands::new(context).map_err(failed)?],
            answers: None,
            descriptors: vk::DescriptorPool::null(),
            sets: Vec::new(),
            uploads: plan.inputs.iter().map(|_| None).collect(),
            recorded: Spots::new(),
            launches: 0,
            _pipelines: plan.pipelines.clone(),
            runtime: Arc::clone(runtime),
        };
        frame.make_sets(plan).map_err(failed)?;
        Ok(frame)
    }

    fn make_sets(&mut self, plan: &Plan) -> Commanded<()> {
        let context = &self.runtime.context;
        let bindings: usize = plan.launches.iter().map(|l| l.operands.len()).sum();
        let sizes = [vk::DescriptorPoolSize::default()
            .ty(vk::DescriptorType::STORAGE_BUFFER)
            .descriptor_count(bindings.max(1) as u32)];
        let create = vk::DescriptorPoolCreateInfo::default().max_sets(plan.launches.len() as u32).pool_sizes(&sizes);
        context.granted()?;
        // SAFETY: neither count is 0: there is a launch, or no frame would be made.
        self.descriptors = unsafe { context.raw.create_descriptor_pool(&create, None) }?;
        let layouts: Vec<_> = plan.pipelines.iter().map(|p| p.set).collect();
        let allocate = vk::DescriptorSetAllocateInfo::default().descriptor_pool(self.descriptors).set_layouts(&layouts);
        context.granted()?;
        // SAFETY: the pool was made for exactly these sets, and is ours alone.
        self.sets = unsafe { context.raw.allocate_descriptor_sets(&allocate) }?;
        Ok(())
    }

    /// The timeline's value at which the last run is over.
    pub(super) fn until(&self) -> u64 {
        walk::until(&self.commands)
    }

    /// Submits a run, and says which value the timeline has when its results are there, and how many
    /// launches it is. The last run is over.
    pub(super) fn run(&mut self, plan: &Plan, inputs: &[Input<'_>], outputs: &[Region]) -> Result<(u64, usize)> {
        let runtime = Arc::clone(&self.runtime);
        let mut here: SmallVec<[(usize, &Array); 8]> = SmallVec::new();
        let mut spots = Spots::new();
        for (i, input) in inputs.iter().enumerate() {
            let spot = match input {
                Input::There(elements) => elements.region.spot(),
                Input::Here(array) => {
                    here.push((i, *array));
                    let upload = match self.uploads[i].take() {
                        Some(upload) => upload,
                        None => Region::new(&runtime, bytes(array.aval()))?,
                    };
                    self.uploads[i].insert(upload).spot()
                }
            };
            spots.push(spot);
        }
        spots.extend(outputs.iter().map(Region::spot));

        let total: u64 = here.iter().map(|(_, array)| bytes(array.aval())).sum();
        let fits = walk::count(&plan.nodes).is_some_and(|launches| launches <= walk::MOST);
        if fits && !runtime.shared() && total > 0 && total <= runtime.staged_at_once() {
            return runtime.with_ring(|ring| {
                let mut copies: Vec<Copy> = Vec::new();
                for (i, array) in &here {
                    let size = bytes(array.aval());
                    if size > 0
                        && let Some(upload) = &self.uploads[*i]
                    {
                        copies.push((runtime.stage(array, ring)?, upload.spot(), size));
                    }
                }
                let run = self.submit(plan, &spots, &copies, inputs, outputs)?;
                ring.submitted(run.0);
                Ok(run)
            });
        }
        for (i, array) in &here {
            self.uploads[*i].as_ref().map_or(Ok(0), |upload| runtime.send(array, upload))?;
        }
        if fits { self.submit(plan, &spots, &[], inputs, outputs) } else { self.walk(plan, &spots, inputs, outputs) }
    }

    /// Notes up to which value a run uses what it works on.
    fn used(&self, inputs: &[Input<'_>], outputs: &[Region], value: u64) {
        for input in inputs {
            if let Input::There(elements) = input {
                elements.region.used(value);
            }
        }
        let own = self.uploads.iter().flatten().chain(&self.temporaries);
        outputs.iter().chain(own).for_each(|region| region.used(value));
    }

    /// Submits a run on inputs and results at these spots, in the plan's order, which fits one command
    /// buffer.
    fn submit(
        &mut self,
        plan: &Plan,
        spots: &[Spot],
        copies: &[Copy],
        inputs: &[Input<'_>],
        outputs: &[Region],
    ) -> Result<(u64, usize)> {
        let runtime = Arc::clone(&self.runtime);
        let failed = |e| runtime.context.error("start a run", e);
        if self.recorded.is_empty() || self.recorded[..] != *spots || !copies.is_empty() {
            self.recorded.clear();
            self.describe(plan, spots);
            self.record(plan, spots, copies)?;
            if copies.is_empty() {
                self.recorded.extend_from_slice(spots);
            }
        }
        // SAFETY: the commands are recorded and not in flight, as the last run is over. The frame
        // keeps what it owns until this one is; regions are given out again, and slabs destroyed,
        // only when the timeline has the value up to which they are used.
        let value = unsafe { self.commands[0].submit() }.map_err(failed)?;
        self.used(inputs, outputs, value);
        Ok((value, self.launches))
    }

    /// Runs what doesn't fit one command buffer, or what the device decides about.
    fn walk(&mut self, plan: &Plan, spots: &[Spot], inputs: &[Input<'_>], outputs: &[Region]) -> Result<(u64, usize)> {
        self.recorded.clear();
        self.describe(plan, spots);
        let (mut commands, mut answers) = (std::mem::take(&mut self.commands), self.answers.take());
        let run = {
            let spot = |home| self.spot(plan, spots, home);
            let used = |value| self.used(inputs, outputs, value);
            let context = &self.runtime.context;
            let mut walk = Walk::new(plan, &self.sets, (&mut commands, &mut answers), &spot, &used, context);
            walk.run(self.runtime.shared())
        };
        (self.commands, self.answers) = (commands, answers);
        run
    }

    /// Where something is in a run on inputs and results at these spots.
    fn spot(&self, plan: &Plan, spots: &[Spot], home: Home) -> Spot {
        match home {
            Home::Input(i) => spots[i],
            Home::Output(i) => spots[plan.inputs.len() + i],
            Home::Temporary(slab) => self.temporaries[slab].spot(),
        }
    }

    /// Points the descriptors at where everything is.
    fn describe(&self, plan: &Plan, spots: &[Spot]) {
        let buffer = |bound: &Bound| {
            let spot = self.spot(plan, spots, bound.home);
            let (offset, range) = (spot.offset + bound.bytes.start, bound.bytes.end - bound.bytes.start);
            assert!(offset + range <= spot.end, "{bound:?} is outside of {spot:?}");
            vk::DescriptorBufferInfo::default().buffer(spot.buffer).offset(offset).range(range)
        };
        for (launch, set) in plan.launches.iter().zip(&self.sets) {
            let buffers: SmallVec<[_; 8]> = launch.operands.iter().map(buffer).collect();
            if buffers.is_empty() {
                continue;
            }
            let write = vk::WriteDescriptorSet::default()
                .dst_set(*set)
                .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                .buffer_info(&buffers);
            // SAFETY: the set has as many storage buffers, from binding 0 on; the bytes are inside
            // their slabs, as was just checked, aligned, and no more than the device binds; the
            // commands that use the set aren't in flight, and are recorded anew before they are.
            unsafe { self.runtime.context.raw.update_descriptor_sets(&[write], &[]) };
        }
    }

    /// Records the commands of a run.
    fn record(&mut self, plan: &Plan, spots: &[Spot], copies: &[Copy]) -> Result<()> {
        let runtime = Arc::clone(&self.runtime);
        let failed = |e| runtime.context.error("start a run", e);
        let mut commands = std::mem::take(&mut self.commands);
        let recorded = walk::begin_first(&mut commands).map_err(failed).and_then(|()| {
            copies.iter().for_each(|(from, to, bytes)| commands[0].copy(*from, *to, *bytes));
            if !copies.is_empty() {
                commands[0].barrier(Actor::Copies, Actor::Kernels);
            }
            let (spot, mut answers) = (|home| self.spot(plan, spots, home), None);
            Walk::new(plan, &self.sets, (&mut commands, &mut answers), &spot, &|_| (), &runtime.context).record()
        });
        self.commands = commands;
        self.launches = recorded?;
        if runtime.shared() {
            self.commands[0].barrier(Actor::Kernels, Actor::Host);
        }
        self.commands[0].end().map_err(failed)
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // On failure the device is lost, and idle.
        let _ = self.runtime.context.wait(self.until());
        // SAFETY: the pool is null or this device's, alive and ours alone; nothing is in flight.
        unsafe { self.runtime.context.raw.destroy_descriptor_pool(self.descriptors, None) };
    }
}
