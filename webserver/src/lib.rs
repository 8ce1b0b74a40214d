//! Updraft.

pub mod executor_api;
pub mod logs;
pub mod ui_assets;
