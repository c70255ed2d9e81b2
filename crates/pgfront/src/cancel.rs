//! CancelRequest: a key per connection, looked up by the process number that BackendKeyData told.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use sql::session::CancelHandle;

#[derive(Default)]
pub(crate) struct Cancels(Mutex<BTreeMap<u32, (u32, CancelHandle)>>);

impl Cancels {
    /// Registers a connection under its process number.
    pub fn add(&self, process: u32, secret: u32, handle: CancelHandle) {
        self.0.lock().insert(process, (secret, handle));
    }

    pub fn remove(&self, process: u32) {
        self.0.lock().remove(&process);
    }

    /// Ends every session: the node stops.
    pub fn terminate_all(&self) {
        for (_, handle) in self.0.lock().values() {
            handle.terminate();
        }
    }

    /// Cancels what the connection runs, if the secret is right. Nobody is told whether it was.
    pub fn cancel(&self, process: u32, secret: u32) {
        if let Some((expected, handle)) = self.0.lock().get(&process)
            && (expected ^ secret) == 0
        {
            handle.cancel();
        }
    }
}
