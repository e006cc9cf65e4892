//! Elements in the memory of a device, and how they come back.

use crate::array::Array;
use crate::error::{Error, Result};
use std::any::Any;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

/// An array's elements in the memory of a device, which a backend keeps. Dropping it gives the
/// memory back.
pub trait Resident: Send + Sync {
    /// The device's name, for people.
    fn device(&self) -> &str;

    /// Waits until the device has computed the elements.
    ///
    /// # Errors
    /// As [`fetch`](Resident::fetch).
    fn wait(&self) -> Result<()>;

    /// Copies the elements to the host, once the device has computed them.
    ///
    /// # Errors
    /// If memory runs out, or the device failed since: its failures are seen here.
    fn fetch(&self) -> Result<Array>;

    /// The backend's own type, by which it finds what it keeps.
    fn as_any(&self) -> &dyn Any;
}

/// What an array holds of elements on a device: them, and their copy on the host once one was
/// asked for.
pub(crate) struct Remote {
    pub(crate) resident: Box<dyn Resident>,
    host: OnceLock<Array>,
    /// Held while fetching, so that several threads fetch once.
    fetching: Mutex<()>,
}

impl Remote {
    pub(crate) fn new(resident: Box<dyn Resident>) -> Remote {
        Remote { resident, host: OnceLock::new(), fetching: Mutex::new(()) }
    }

    /// The elements on the host, fetched the first time.
    pub(crate) fn host(&self) -> Result<&Array> {
        if let Some(host) = self.host.get() {
            return Ok(host);
        }
        let _fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        if self.host.get().is_none() {
            let array = self.resident.fetch()?;
            if array.resident().is_some() {
                return Err(Error::internal(format!("what `{}` fetched is not on the host", self.resident.device())));
            }
            // Nobody else sets it, under the lock.
            let _ = self.host.set(array);
        }
        self.host.get().ok_or_else(|| Error::internal("what was fetched is gone"))
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote(on {}, fetched: {})", self.resident.device(), self.host.get().is_some())
    }
}
