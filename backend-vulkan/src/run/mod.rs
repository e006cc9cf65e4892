//! Programs: a schedule compiled for a device, and its runs.
//!
//! A program plans once: pipelines, places for temporaries, launches with the barriers between
//! them. A [`Frame`] is what one run in flight needs: temporaries, memory for inputs that come from
//! the host, descriptors, and commands, which are recorded anew only when inputs or results lie
//! elsewhere than in the frame's last run. Runs take a frame and give it back once it is
//! submitted; results are arrays on the device, there when the timeline says so.
//!
//! A long loop, or one whose end the device decides, is recorded and submitted in parts (`walk`); such a
//! run returns when the last part is submitted.

mod frame;
mod live;
mod plan;
mod walk;

use crate::device::Context;
use crate::memory::Region;
use crate::pipeline::Pipeline;
use crate::runtime::{Elements, Runtime};
use crate::spirv::{self, Module};
use crate::spread::{self, Spread};
use crate::{Shaders, glsl};
use egrad_ir::kernel::{Executable, Run};
use egrad_ir::schedule::Schedule;
use egrad_ir::{Array, Error, Result};
use frame::Frame;
use hashbrown::HashMap;
#[cfg(test)]
pub(crate) use plan::Home;
pub(crate) use plan::Plan;
use plan::Source;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A schedule compiled for a device.
pub(crate) struct Program {
    schedule: Schedule,
    modules: Vec<Module>,
    pub(crate) plan: Plan,
    /// Frames no run is being prepared in; the device may still be busy with them.
    frames: Mutex<Vec<Frame>>,
    runtime: Arc<Runtime>,
}

/// An input a run reads.
enum Input<'a> {
    /// It is on the device.
    There(&'a Elements),
    /// It is on the host, and goes to memory of the frame.
    Here(&'a Array),
}

impl Program {
    /// Compiles every kernel, after all of them were found to be ones the device can run.
    pub(crate) fn new(runtime: &Arc<Runtime>, shaders: Shaders, schedule: Schedule) -> Result<Program> {
        // A device checks no index: what follows relies on the verifier.
        schedule.verify()?;
        let spread = schedule.steps.iter().map(|step| spread::spread(&step.kernel, &runtime.context.caps));
        let spread: Vec<Spread> = spread.collect::<Result<_>>()?;
        Program::of(runtime, shaders, schedule, &spread)
    }

    /// Compiles the launches of a verified schedule's kernels.
    pub(crate) fn of(
        runtime: &Arc<Runtime>,
        shaders: Shaders,
        schedule: Schedule,
        spread: &[Spread],
    ) -> Result<Program> {
        let context = &runtime.context;
        let launches = spread.iter().flat_map(|s| &s.launches);
        let modules: Vec<Module> = launches.map(|l| module(context, shaders, l)).collect::<Result<_>>()?;
        let mut plan = Plan::new(context, &schedule, spread, &modules)?;
        plan.compile(context, &modules)?;
        Ok(Program { schedule, modules, plan, frames: Mutex::default(), runtime: Arc::clone(runtime) })
    }

    fn frames(&self) -> MutexGuard<'_, Vec<Frame>> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many frames there are at most: several of small ones, so that runs needn't wait.
    fn most(&self) -> usize {
        const SMALL: u64 = 4 << 20;
        if self.plan.temporaries.bytes() <= SMALL { 8 } else { 2 }
    }

    /// A frame that the device is done with.
    fn frame(&self) -> Result<Frame> {
        let context = &self.runtime.context;
        let mut frames = self.frames();
        let reached = context.reached();
        let at = frames.iter().position(|f| f.until() <= reached);
        let at = at.or_else(|| {
            let completed = if frames.is_empty() { 0 } else { context.completed() };
            frames.iter().position(|f| f.until() <= completed)
        });
        if let Some(at) = at {
            return Ok(frames.swap_remove(at));
        }
        if frames.len() < self.most() {
            drop(frames);
            return Frame::new(&self.runtime, &self.plan);
        }
        let oldest = (0..frames.len()).min_by_key(|i| frames[*i].until()).unwrap_or(0);
        let frame = frames.swap_remove(oldest);
        drop(frames);
        context.wait(frame.until()).map_err(|e| context.error("finish a run", e))?;
        Ok(frame)
    }

    fn give_back(&self, frame: Frame) {
        let mut frames = self.frames();
        if frames.len() < self.most() {
            frames.push(frame);
        }
    }

    /// Submits the kernels, and says how many. The results are computed in that order, if not yet.
    fn launch(&self, inputs: &[&Array]) -> Result<(Vec<Array>, usize)> {
        let runtime = &self.runtime;
        if self.plan.launches.is_empty() {
            let outputs = self.plan.outputs.iter().map(|aval| Array::scratch(aval.clone()));
            return Ok((outputs.collect::<Result<_>>()?, 0));
        }
        let read = |at: &usize| match runtime.elements(inputs[*at]) {
            Some(elements) => Ok(Input::There(elements)),
            // Another device's are fetched here, before anything of this one is held.
            None => inputs[*at].fetch().map(|()| Input::Here(inputs[*at])),
        };
        let inputs: Vec<Input<'_>> = self.plan.inputs.iter().map(read).collect::<Result<_>>()?;
        let outputs = self.plan.outputs.iter().map(|aval| Region::new(runtime, crate::runtime::bytes(aval)));
        let outputs: Vec<Region> = outputs.collect::<Result<_>>()?;
        let mut frame = self.frame()?;
        let ready = frame.run(&self.plan, &inputs, &outputs);
        self.give_back(frame);
        let (ready, launches) = ready?;
        let arrays = self.plan.outputs.iter().zip(outputs);
        Ok((arrays.map(|(aval, region)| runtime.array(aval.clone(), region, ready)).collect(), launches))
    }
}

impl Executable for Program {
    fn run(&self, inputs: &[&Array]) -> Result<Run> {
        let expected = &self.schedule.inputs;
        if inputs.len() != expected.len() || inputs.iter().zip(expected).any(|(i, (_, aval))| i.aval() != aval) {
            return Err(Error::internal("a program was run on inputs it wasn't compiled for"));
        }
        let (computed, dispatches) = self.launch(inputs)?;
        let result = |(source, (_, aval)): (&Source, &(_, egrad_ir::Aval))| {
            let array = match source {
                Source::Input(i) => inputs[*i],
                Source::Output(i) => &computed[*i],
                Source::Empty => return Array::scratch(aval.clone()),
            };
            if array.aval() == aval { Ok(array.clone()) } else { array.reshape(aval.shape.clone()) }
        };
        let outputs = self.plan.results.iter().zip(&self.schedule.outputs).map(result);
        Ok(Run { outputs: outputs.collect::<Result<_>>()?, dispatches })
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
            "glsl" => Some(shaders(&self.runtime.context, &self.schedule)),
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
