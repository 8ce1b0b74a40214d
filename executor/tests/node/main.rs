//! A whole node against a fake server that speaks `/executor/v1`.

mod docker;
mod fake;
mod life;
mod process;
mod python;
mod templates;
