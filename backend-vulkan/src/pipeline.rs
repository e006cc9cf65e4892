//! Kernels as the driver compiled them.
#![allow(unsafe_code)]

use crate::device::{Context, ENTRY};
use crate::spirv::{Module, PUSHED, WORKGROUP_SPEC};
use ash::vk;
use egrad_ir::Result;
use std::sync::Arc;
use std::time::Instant;

/// A compute pipeline with its layout: `bindings` storage buffers in set 0, and push constants.
pub(crate) struct Pipeline {
    pub(crate) raw: vk::Pipeline,
    pub(crate) layout: vk::PipelineLayout,
    pub(crate) set: vk::DescriptorSetLayout,
    context: Arc<Context>,
}

impl Pipeline {
    /// Compiles a module.
    pub(crate) fn new(context: &Arc<Context>, module: &Module) -> Result<Pipeline> {
        let device = &context.raw;
        let failed = |e| context.error("compile a kernel", e);
        // Each part is kept in `pipeline` as soon as it exists, so that a failure drops it.
        let mut pipeline = Pipeline {
            raw: vk::Pipeline::null(),
            layout: vk::PipelineLayout::null(),
            set: vk::DescriptorSetLayout::null(),
            context: Arc::clone(context),
        };
        let binding = |i| {
            vk::DescriptorSetLayoutBinding::default()
                .binding(i)
                .descriptor_count(1)
                .descriptor_type(vk::DescriptorType::STORAGE_BUFFER)
                .stage_flags(vk::ShaderStageFlags::COMPUTE)
        };
        let bindings: Vec<_> = (0..module.bindings).map(binding).collect();
        let set = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
        // SAFETY: bindings are distinct and no more than the device takes (`spirv::emit` counts).
        pipeline.set = context
            .granted()
            .and_then(|()| unsafe { device.create_descriptor_set_layout(&set, None) })
            .map_err(failed)?;

        let sets = [pipeline.set];
        let bytes = 4 * (PUSHED + module.counters) as u32;
        let push = [vk::PushConstantRange::default().stage_flags(vk::ShaderStageFlags::COMPUTE).size(bytes)];
        let layout = vk::PipelineLayoutCreateInfo::default().set_layouts(&sets).push_constant_ranges(&push);
        // SAFETY: the set layout is alive; every device takes 128 bytes of push constants, which `spread`
        // keeps to.
        pipeline.layout = unsafe { device.create_pipeline_layout(&layout, None) }.map_err(failed)?;

        let shader = vk::ShaderModuleCreateInfo::default().code(&module.words);
        // SAFETY: the words are a valid module (tests run spirv-val over every kind of them) that
        // uses only what `Caps` allows, and the device was opened with exactly that.
        let shader = unsafe { device.create_shader_module(&shader, None) }.map_err(failed)?;
        let entries = [vk::SpecializationMapEntry { constant_id: WORKGROUP_SPEC, offset: 0, size: 4 }];
        let data = module.workgroup.to_ne_bytes();
        let special = vk::SpecializationInfo::default().map_entries(&entries).data(&data);
        let mut required = vk::PipelineShaderStageRequiredSubgroupSizeCreateInfo::default();
        let mut stage = vk::PipelineShaderStageCreateInfo::default()
            .stage(vk::ShaderStageFlags::COMPUTE)
            .module(shader)
            .name(ENTRY)
            .specialization_info(&special);
        if let Some(size) = module.subgroup {
            required = required.required_subgroup_size(size);
            stage = stage.flags(vk::PipelineShaderStageCreateFlags::REQUIRE_FULL_SUBGROUPS).push_next(&mut required);
        }
        let create = [vk::ComputePipelineCreateInfo::default().stage(stage).layout(pipeline.layout)];
        let begun = Instant::now();
        let granted = context.granted().map_err(|e| (Vec::new(), e));
        // SAFETY: the module has that entry point and that specialisation constant, its interface
        // is the layout's, and the cache is the device's (or null). A subgroup size is required only
        // where the device has it, for workgroups that are a multiple of it (`Caps::subgroup`).
        let created =
            granted.and_then(|()| unsafe { device.create_compute_pipelines(context.cache.raw, &create, None) });
        // SAFETY: pipelines don't need the module they came from.
        unsafe { device.destroy_shader_module(shader, None) };
        // On failure the one pipeline is null.
        pipeline.raw = created.map_err(|(_, e)| failed(e))?[0];
        context.cache.compiled(device, begun.elapsed());
        Ok(pipeline)
    }
}

impl Drop for Pipeline {
    fn drop(&mut self) {
        // SAFETY: each is null or this device's, alive and ours alone. None is in use: frames in
        // flight hold an `Arc` of the pipelines they run, and wait before they drop it.
        unsafe {
            self.context.raw.destroy_pipeline(self.raw, None);
            self.context.raw.destroy_pipeline_layout(self.layout, None);
            self.context.raw.destroy_descriptor_set_layout(self.set, None);
        }
    }
}
