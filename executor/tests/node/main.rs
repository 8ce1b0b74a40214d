//! A whole node against a fake server that speaks `/executor/v1`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::needless_pass_by_value,
    reason = "a test may, and its helpers with it"
)]

mod daemon;
mod docker;
mod docker_ahead;
mod docker_arguments;
mod docker_images;
mod docker_kill;
mod docker_own;
mod docker_rooms;
mod dockerd;
mod fake;
mod life;
mod limits;
mod mapped;
mod operators;
mod process;
mod python;
mod registry;
mod templates;
