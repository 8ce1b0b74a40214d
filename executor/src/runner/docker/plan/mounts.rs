//! Mounts of a container.

use std::collections::HashMap;

use bollard::models::{Mount, MountBindOptions, MountTmpfsOptions, MountType, MountVolumeOptions};
use updraft_core::{
    operator::{self, Tmpfs},
    spec::Failure,
};

use super::{invalid, units::bytes};

/// `docker.types.Mount`.
pub(super) fn mount(mount: &operator::Mount) -> Result<Mount, Failure> {
    let kind = match mount.kind.as_deref().unwrap_or("volume") {
        "bind" => MountType::BIND,
        "volume" => MountType::VOLUME,
        "tmpfs" => MountType::TMPFS,
        other => return Err(invalid(format!("A mount's type is bind, volume or tmpfs, not `{other}`."))),
    };
    let misplaced = |field: &str, of: &str| {
        invalid(format!("The mount at `{}` has `{field}`, which only a mount of type {of} has.", mount.target))
    };
    if mount.propagation.is_some() && kind != MountType::BIND {
        return Err(misplaced("propagation", "bind"));
    }
    if (mount.no_copy.is_some() || mount.labels.is_some()) && kind != MountType::VOLUME {
        return Err(misplaced(if mount.no_copy.is_some() { "no_copy" } else { "labels" }, "volume"));
    }
    if (mount.tmpfs_size.is_some() || mount.tmpfs_mode.is_some()) && kind != MountType::TMPFS {
        return Err(misplaced(if mount.tmpfs_size.is_some() { "tmpfs_size" } else { "tmpfs_mode" }, "tmpfs"));
    }
    let propagation = mount
        .propagation
        .as_deref()
        .map(|word| word.parse().map_err(|_: String| invalid(format!("There is no mount propagation `{word}`."))));
    let propagation = propagation.transpose()?;
    let size = mount.tmpfs_size.as_ref().map(|size| bytes("tmpfs_size", size)).transpose()?;
    let volume = mount.no_copy.is_some() || mount.labels.is_some();
    let tmpfs = size.is_some() || mount.tmpfs_mode.is_some();
    Ok(Mount {
        target: Some(mount.target.clone()),
        source: mount.source.clone(),
        typ: Some(kind),
        read_only: Some(mount.read_only),
        consistency: mount.consistency.clone(),
        bind_options: propagation
            .map(|propagation| MountBindOptions { propagation: Some(propagation), ..MountBindOptions::default() }),
        volume_options: volume.then(|| MountVolumeOptions {
            no_copy: mount.no_copy,
            labels: mount.labels.clone().map(|labels| labels.into_iter().collect()),
            ..MountVolumeOptions::default()
        }),
        tmpfs_options: tmpfs.then(|| MountTmpfsOptions {
            size_bytes: size,
            mode: mount.tmpfs_mode,
            ..MountTmpfsOptions::default()
        }),
        ..Mount::default()
    })
}

/// Folders in memory, with their options.
pub(super) fn tmpfs(tmpfs: Tmpfs) -> HashMap<String, String> {
    let plain = |folder: String| (folder, String::new());
    match tmpfs {
        Tmpfs::One(folder) => HashMap::from([plain(folder)]),
        Tmpfs::Folders(folders) => folders.into_iter().map(plain).collect(),
        Tmpfs::Options(folders) => folders.into_iter().collect(),
    }
}
