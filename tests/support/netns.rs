//! A network of its own on this machine: a bridge, and namespaces that hang on it by veth pairs.

use std::process::Command;

/// Some namespaces on one bridge; gone when it is dropped.
pub(crate) struct Network {
    /// Makes the names of this one unlike those of another test at the same time.
    tag: String,
    /// The third number of 10.213.x.0/24.
    subnet: u8,
    spaces: usize,
}

impl Network {
    /// A network with so many namespaces; `None`, and a word why, where this user or machine cannot have one.
    pub(crate) fn new(spaces: usize) -> Option<Self> {
        if !nix::unistd::Uid::effective().is_root() {
            eprintln!("skipped: only root may make network namespaces");
            return None;
        }
        if Command::new("ip").arg("-V").output().is_err() {
            eprintln!("skipped: there is no program `ip` (Debian: iproute2)");
            return None;
        }
        let tag = format!("{:x}", std::process::id());
        let network = Self { tag, subnet: (std::process::id() % 250) as u8, spaces };
        let bridge = network.bridge();
        if let Err(why) = ip(&format!("link add {bridge} type bridge")) {
            eprintln!("skipped: this machine makes no bridge: {why}");
            return None;
        }
        must(&format!("address add {}/24 dev {bridge}", network.host()));
        must(&format!("link set {bridge} up"));
        for space in 0..spaces {
            let (name, outer, inner) = (network.space(space), network.outer(space), network.inner(space));
            must(&format!("netns add {name}"));
            must(&format!("link add {outer} type veth peer name {inner} netns {name}"));
            must(&format!("link set {outer} master {bridge} up"));
            must(&format!("-n {name} address add {}/24 dev {inner}", network.address(space)));
            must(&format!("-n {name} link set {inner} up"));
            must(&format!("-n {name} link set lo up"));
        }
        Some(network)
    }

    /// This machine's address in it.
    pub(crate) fn host(&self) -> String {
        format!("10.213.{}.1", self.subnet)
    }

    fn address(&self, space: usize) -> String {
        format!("10.213.{}.{}", self.subnet, space + 2)
    }

    /// What a program is started with to be in a namespace.
    pub(crate) fn enter(&self, space: usize) -> Vec<String> {
        ["ip", "netns", "exec", &self.space(space)].map(str::to_owned).to_vec()
    }

    /// From now on what a namespace sends, and what is sent to it, goes nowhere. Its links stay up: nobody is told.
    pub(crate) fn cut(&self, space: usize) {
        must(&format!("link set {} nomaster", self.outer(space)));
    }

    /// Ends [`Self::cut`].
    pub(crate) fn heal(&self, space: usize) {
        must(&format!("link set {} master {}", self.outer(space), self.bridge()));
    }

    fn bridge(&self) -> String {
        format!("udb{}", self.tag)
    }

    fn space(&self, space: usize) -> String {
        format!("updraft-{}-{space}", self.tag)
    }

    fn outer(&self, space: usize) -> String {
        format!("udo{}-{space}", self.tag)
    }

    fn inner(&self, space: usize) -> String {
        format!("udi{}-{space}", self.tag)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What was not made yet is not there; the veth pairs go with their namespaces.
        for space in 0..self.spaces {
            let _ = ip(&format!("netns delete {}", self.space(space)));
            let _ = ip(&format!("link delete {}", self.outer(space)));
        }
        let _ = ip(&format!("link delete {}", self.bridge()));
    }
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output().map_err(|error| error.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
}

/// Runs `ip`, or fails the test.
fn must(arguments: &str) {
    ip(arguments).unwrap_or_else(|why| panic!("ip {arguments}: {why}"));
}
