//! Named places between two steps at which a test can kill the process or hold it.
//!
//! With the cargo feature `failpoints` the environment variable `UPDRAFT_FAILPOINTS` (`name=abort[;name=abort@N]…`) arms
//! them; the host process installs the hook with [`set_hook`] because `core` itself never reads the environment. Without the
//! feature [`failpoint!`](crate::failpoint) expands to nothing.

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::OnceLock;

    type Hook = Box<dyn Fn(&'static str) + Send + Sync>;
    static HOOK: OnceLock<Hook> = OnceLock::new();

    /// Installs what happens when execution passes a failpoint. The first call wins.
    pub fn set_hook(hook: impl Fn(&'static str) + Send + Sync + 'static) {
        let _ = HOOK.set(Box::new(hook));
    }

    /// Called by [`failpoint!`](crate::failpoint); does nothing until a hook is installed.
    pub fn hit(name: &'static str) {
        if let Some(hook) = HOOK.get() {
            hook(name);
        }
    }
}
#[cfg(feature = "failpoints")]
pub use armed::{hit, set_hook};

/// Marks a place between two steps. `failpoint!("plan.before_commit")` costs nothing in a build without `failpoints`.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {
        $crate::failpoint::hit($name)
    };
}

/// Marks a place between two steps. `failpoint!("plan.before_commit")` costs nothing in a build without `failpoints`.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! failpoint {
    ($name:literal) => {};
}
