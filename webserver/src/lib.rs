//! Updraft.

pub mod ui_assets;
