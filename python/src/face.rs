//! What Python sees of an endpoint: its strings, made once, and the user's value.
//!
//! A face is attached to the core's node, so a lease finds it without a lookup and it lives as long
//! as the node does. The value can be replaced by `update`; that is rare, so a flag tells the request
//! path whether there is one at all.

use std::sync::{
    Mutex, OnceLock, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use pyo3::{PyTraverseError, PyVisit, prelude::*, types::PyString};
use trimtab_core::Node;

/// The Python side of one endpoint under one balancer.
#[derive(Default)]
pub(crate) struct Face {
    strings: OnceLock<Strings>,
    has_value: AtomicBool,
    value: Mutex<Option<Py<PyAny>>>,
}

struct Strings {
    address: Py<PyString>,
    id: Py<PyString>,
}

impl Face {
    /// The face of `node` under the balancer `owner`.
    #[inline]
    pub(crate) fn of(node: &Node, owner: u64) -> &Self {
        node.attached(owner, Self::default)
    }

    /// Where to connect to.
    pub(crate) fn address(node: &Node, owner: u64, py: Python<'_>) -> Py<PyString> {
        Self::of(node, owner).strings(node, py).address.clone_ref(py)
    }

    /// The stable id.
    pub(crate) fn id(node: &Node, owner: u64, py: Python<'_>) -> Py<PyString> {
        Self::of(node, owner).strings(node, py).id.clone_ref(py)
    }

    /// The user's value now; `None` stands for Python's.
    #[inline]
    pub(crate) fn value(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        if !self.has_value.load(Ordering::Acquire) {
            return None;
        }
        let value = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        value.as_ref().map(|value| value.clone_ref(py))
    }

    /// Keeps `value` with the endpoint from now on; the one before, whose destructor is the user's code.
    pub(crate) fn replace_value(&self, value: Option<Py<PyAny>>) -> Option<Py<PyAny>> {
        let has_value = value.is_some();
        let old = {
            let mut slot = self.value.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *slot, value)
        };
        self.has_value.store(has_value, Ordering::Release);
        old
    }

    /// Shows the garbage collector the value.
    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.value.try_lock() {
            Ok(value) => visit.call(&*value),
            Err(_) => Ok(()),
        }
    }

    /// Making interned strings runs no code of the user's, so nothing can come back to this lock.
    fn strings(&self, node: &Node, py: Python<'_>) -> &Strings {
        self.strings.get_or_init(|| Strings {
            address: PyString::intern(py, node.address()).unbind(),
            id: PyString::intern(py, node.id().as_str()).unbind(),
        })
    }
}
