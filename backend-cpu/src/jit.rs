//! A schedule's functions in one `JITModule`, and what stays of it: entries and their memory.
#![allow(unsafe_code)]

use crate::isa::Machine;
use crate::memory::{Memory, Provider};
use crate::symbols;
use cranelift_codegen::ir::{ExternalName, LibCall};
use cranelift_codegen::{Context, FinalizedRelocTarget};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module, ModuleError, default_libcall_names};
use egrad_ir::{Error, Result};

/// Functions being compiled, to be made executable together.
pub(crate) struct Assembly {
    pub(crate) module: JITModule,
    memory: Memory,
    functions: Vec<FuncId>,
}

/// Executable functions.
pub(crate) struct Code {
    entries: Vec<Entry>,
    /// What the entries point into.
    _memory: Memory,
}

/// A compiled kernel; the argument points at its argument block.
pub(crate) type Entry = unsafe extern "C" fn(*const u64);

impl Assembly {
    pub(crate) fn new(machine: &Machine) -> Assembly {
        let memory = Memory::default();
        let mut builder = JITBuilder::with_isa(machine.isa.clone(), default_libcall_names());
        builder.memory_provider(Box::new(Provider::new(memory.clone())));
        // Asked for the names that are called, before the process' own symbols.
        builder.symbol_lookup_fn(Box::new(symbols::address));
        Assembly { module: JITModule::new(builder), memory, functions: Vec::new() }
    }

    /// Compiles the function in `context`, whose signature is that of [`Entry`]; returns its
    /// number. The names are for profilers and need not differ.
    ///
    /// # Errors
    /// If Cranelift refuses it, or the system gives no memory.
    pub(crate) fn define(&mut self, name: &str, context: &mut Context) -> Result<usize> {
        let number = self.functions.len();
        let refused = |e| refused(&format!("kernel `{name}`"), e);
        let unique = format!("{name}.{number}");
        let id = self.module.declare_function(&unique, Linkage::Local, &context.func.signature).map_err(refused)?;
        self.module.define_function(id, context).map_err(refused)?;
        let compiled = context.compiled_code().expect("it has just been compiled");
        if let Some(call) = compiled.buffer.relocs().iter().find_map(|r| unknown(&r.target)) {
            return Err(Error::internal(format!("kernel `{name}` calls {call}, which egrad doesn't have")));
        }
        self.functions.push(id);
        Ok(number)
    }

    /// Makes the functions executable.
    ///
    /// # Errors
    /// If the system refuses to.
    pub(crate) fn finish(mut self) -> Result<Code> {
        self.module.finalize_definitions().map_err(|e| refused("the schedule", e))?;
        let entry = |id: &FuncId| {
            let start = self.module.get_finalized_function(*id);
            // SAFETY: `define` had Cranelift compile that function for this machine with the
            // signature of `Entry` (one pointer argument, no result, the C calling convention),
            // and it has been made executable.
            unsafe { std::mem::transmute::<*const u8, Entry>(start) }
        };
        Ok(Code { entries: self.functions.iter().map(entry).collect(), _memory: self.memory })
    }
}

impl Code {
    /// The function defined as number `i`; it may be called as long as `self` lives.
    pub(crate) fn entry(&self, i: usize) -> Entry {
        self.entries[i]
    }
}

/// The function of the library that is called but isn't there, which `JITModule` would panic at.
fn unknown(target: &FinalizedRelocTarget) -> Option<LibCall> {
    let FinalizedRelocTarget::ExternalName(ExternalName::LibCall(call)) = target else { return None };
    symbols::address(&default_libcall_names()(*call)).is_none().then_some(*call)
}

fn refused(what: &str, e: ModuleError) -> Error {
    match e {
        ModuleError::Allocation { err } => Error::memory(format!("no memory for code: {err}")),
        e => Error::internal(format!("Cranelift refuses {what}: {e:?}")),
    }
}
