//! Tells Cargo when the embedded dashboard changed: `rust-embed` sees edits of files it already embeds, but not new ones.

fn main() {
    // `make ui` writes ui/dist. While it is missing, its parent is watched instead: naming a path that does not exist would
    // make Cargo rebuild this crate every time.
    let dist = std::path::Path::new("../ui/dist");
    let watched = if dist.is_dir() { "../ui/dist" } else { "../ui" };
    println!("cargo:rerun-if-changed={watched}");
}
