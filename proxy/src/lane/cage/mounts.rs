//! Where this process's control groups are in the file system.
//!
//! `/proc/self/cgroup` says which group we are in, per hierarchy; `/proc/self/mountinfo` says where a hierarchy is mounted
//! and from which of its groups on. In a container the two often do not start from the same root, so neither is enough.

use std::path::{Component, Path, PathBuf};

use super::v2;

/// Our groups, as directories.
#[derive(Debug, PartialEq, Eq, Default)]
pub(super) struct Groups {
    /// Version 1: a controller, and our group in its hierarchy. A hierarchy that is mounted twice is there twice.
    pub(super) v1: Vec<(String, PathBuf)>,
    /// Version 2.
    pub(super) v2: Vec<PathBuf>,
}

impl Groups {
    /// Of this process.
    pub(super) fn ours() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self::parse(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
    }

    /// From the texts of the two files.
    pub(super) fn parse(cgroup: &str, mountinfo: &str) -> Self {
        let mut groups = Self::default();
        // hierarchy:controllers:group, and controllers are empty for version 2.
        let ours: Vec<(Vec<&str>, &str)> = cgroup
            .lines()
            .filter_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                Some((parts.next()?.split(',').collect(), parts.next()?))
            })
            .collect();
        for mount in mountinfo.lines().filter_map(Mount::parse) {
            for (controllers, group) in &ours {
                let is_v2 = *controllers == [""];
                match mount.kind {
                    "cgroup2" if is_v2 => groups.v2.extend(mount.directory(group).map(before_the_move)),
                    "cgroup" if !is_v2 && controllers.iter().all(|one| mount.options.contains(one)) => {
                        let directory = mount.directory(group);
                        let each = controllers.iter().map(|&one| one.to_owned());
                        groups
                            .v1
                            .extend(each.zip(std::iter::repeat(directory)).filter_map(|(one, at)| Some((one, at?))));
                    }
                    _ => {}
                }
            }
        }
        groups
    }

    /// Our group for a controller of version 1.
    pub(super) fn of(&self, controller: &str) -> impl Iterator<Item = &Path> {
        self.v1.iter().filter(move |(one, _)| one == controller).map(|(_, path)| path.as_path())
    }
}

/// Where this process was before it moved into a group of its own, if it has: cages are made beside that, not in it.
fn before_the_move(directory: PathBuf) -> PathBuf {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if v2::is_self(name) { directory.parent().map_or_else(PathBuf::new, Path::to_owned) } else { directory }
}

struct Mount<'a> {
    kind: &'a str,
    /// The group that is seen at the mount point.
    root: PathBuf,
    point: PathBuf,
    options: Vec<&'a str>,
}

impl<'a> Mount<'a> {
    /// `36 35 98:0 /root /point rw,noatime master:1 - type source options`.
    fn parse(line: &'a str) -> Option<Self> {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let mut kind_source_options = after.split(' ');
        Some(Self {
            root: plain(fields.next()?),
            point: plain(fields.next()?),
            kind: kind_source_options.next()?,
            options: kind_source_options.nth(1)?.split(',').collect(),
        })
    }

    /// The directory of a group, if it can be seen from here.
    fn directory(&self, group: &str) -> Option<PathBuf> {
        let below = Path::new(group).strip_prefix(&self.root).ok()?;
        // Of a group outside our namespace it says `/../…`.
        let is_below = below.components().all(|part| matches!(part, Component::Normal(_)));
        // Not `join`, which ends with a slash if nothing is joined.
        is_below.then(|| self.point.components().chain(below.components()).collect())
    }
}

/// Spaces, tabs, line breaks and backslashes are written in octal.
fn plain(field: &str) -> PathBuf {
    let mut text = field.to_owned();
    for (octal, char) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        text = text.replace(octal, char);
    }
    text.into()
}
