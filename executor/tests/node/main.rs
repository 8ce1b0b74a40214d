//! A whole node against a fake server that speaks `/executor/v1`.

mod fake;
mod life;
mod process;
