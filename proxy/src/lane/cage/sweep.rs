//! What sidecars that were killed have left.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::mounts::Groups;
use super::owner::{self, Owner};
use super::{GONE_WITHIN, file, limits, v2};

/// Takes away what sidecars that were killed have left where we make cages, with what still runs in it.
pub(super) fn sweep(groups: &Groups) {
    let mut bases: Vec<&Path> = groups.v1.iter().map(|(_, base)| base.as_path()).collect();
    bases.extend(groups.v2.iter().map(PathBuf::as_path));
    bases.sort_unstable();
    bases.dedup();
    let mut taken = BTreeSet::new();
    for base in bases {
        for entry in std::fs::read_dir(base).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if Owner::of(name).is_some_and(|owner| owner.is_gone()) {
                take_away(&entry.path(), name);
                taken.insert(name.to_owned());
            }
        }
    }
    if !taken.is_empty() {
        tracing::info!(cages = taken.len(), "took away what killed sidecars have left");
    }
    // And where they had no groups. They may fork while they are counted.
    let until = Instant::now() + GONE_WITHIN;
    loop {
        let orphans = limits::orphans();
        if orphans.is_empty() || Instant::now() > until {
            break;
        }
        owner::kill_each(&orphans);
    }
}

fn take_away(directory: &Path, name: &str) {
    if v2::is_self(name) {
        // A sidecar's own group: what it started may have stayed there, such as the one that took over from it.
        drop(std::fs::remove_dir(directory));
        return;
    }
    tracing::debug!(group = name, "taking away what a killed sidecar left");
    if file::put(&directory.join("cgroup.kill"), "1").is_err() {
        owner::kill_each(&file::processes(&directory.join("cgroup.procs")));
    }
    remove(directory);
}

/// Removes a group, or says that it stays.
pub(super) fn remove(directory: &Path) {
    if let Err(error) = file::remove(directory, GONE_WITHIN) {
        tracing::warn!(error = &error as &dyn std::error::Error, "a control group stays behind");
    }
}
