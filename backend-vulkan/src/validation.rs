//! What the validation layers say.
#![allow(unsafe_code)]

use ash::vk;
use std::ffi::{CStr, c_void};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The validation layers, by name.
pub(crate) const LAYER: &CStr = c"VK_LAYER_KHRONOS_validation";

/// Warnings and errors of the validation layers; a clone shows the same ones.
#[derive(Clone, Default)]
pub struct Messages {
    texts: Arc<Mutex<Vec<String>>>,
}

impl Messages {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.texts().len()
    }

    /// Their texts.
    pub fn texts(&self) -> Vec<String> {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How the layers are told to report here. The reference keeps `self` at its address for as
    /// long as the value returned is used to create something; what is created keeps the address
    /// beyond that, and [`report`] says what its creator owes.
    pub(crate) fn messenger(self: &Messages) -> vk::DebugUtilsMessengerCreateInfoEXT<'_> {
        use vk::{DebugUtilsMessageSeverityFlagsEXT as Severity, DebugUtilsMessageTypeFlagsEXT as Type};
        vk::DebugUtilsMessengerCreateInfoEXT::default()
            .message_severity(Severity::ERROR | Severity::WARNING)
            // GENERAL is the loader's talk of drivers it passes over.
            .message_type(Type::VALIDATION | Type::PERFORMANCE)
            .pfn_user_callback(Some(report))
            .user_data(Arc::as_ptr(&self.texts).cast_mut().cast())
    }
}

impl fmt::Debug for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.texts()).finish()
    }
}

/// Keeps a message.
///
/// # Safety
/// `data` is a message of the layers, and `texts` is the address that [`Messages::messenger`]
/// gave: whoever creates an instance or a messenger with it keeps the `Messages` alive until both
/// are destroyed.
unsafe extern "system" fn report(
    _severity: vk::DebugUtilsMessageSeverityFlagsEXT,
    _kind: vk::DebugUtilsMessageTypeFlagsEXT,
    data: *const vk::DebugUtilsMessengerCallbackDataEXT<'_>,
    texts: *mut c_void,
) -> vk::Bool32 {
    // SAFETY: the caller's promise; the mutex is only ever reached by shared reference.
    let texts = unsafe { &*texts.cast_const().cast::<Mutex<Vec<String>>>() };
    // SAFETY: the layers pass a message, whose text is a C string or null.
    let text = unsafe { (*data).message_as_c_str() };
    let text = text.map_or_else(|| "(no text)".into(), |t| t.to_string_lossy().into_owned());
    eprintln!("vulkan validation: {text}");
    texts.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    vk::FALSE
}
