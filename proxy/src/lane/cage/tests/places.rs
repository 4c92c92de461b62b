//! Where groups are found: texts of the kernel's files as they are on machines of several kinds.

use super::super::mounts::Groups;
use super::super::owner::Owner;
use super::super::v1::quota;
use super::*;

#[track_caller]
fn check(cgroup: &str, mountinfo: &str, v1: &[(&str, &str)], v2: &[&str]) {
    let groups = Groups::parse(cgroup, mountinfo);
    let found: Vec<_> =
        groups.v1.iter().map(|(controller, path)| (controller.as_str(), path.to_str().expect("text"))).collect();
    assert_eq!(found, v1);
    assert_eq!(groups.v2.iter().map(|path| path.to_str().expect("text")).collect::<Vec<_>>(), v2);
}

#[test]
fn each_controller_may_have_a_mount_of_its_own() {
    let mountinfo = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
33 31 0:30 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 master:1 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    let v1 = [
        ("cpu", "/sys/fs/cgroup/cpu"),
        ("cpuacct", "/sys/fs/cgroup/cpuacct"),
        ("memory", "/sys/fs/cgroup/memory/api/c027"),
    ];
    check("4:memory:/api/c027\n2:cpuacct:/\n1:cpu:/\n0::/\n", mountinfo, &v1, &["/sys/fs/cgroup/unified"]);
}

#[test]
fn controllers_may_share_a_mount() {
    let mountinfo = "29 25 0:25 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct\n";
    let v1 = [("cpu", "/sys/fs/cgroup/cpu,cpuacct/user.slice"), ("cpuacct", "/sys/fs/cgroup/cpu,cpuacct/user.slice")];
    check("4:cpu,cpuacct:/user.slice\n", mountinfo, &v1, &[]);
}

#[test]
fn a_mount_in_a_container_begins_below_the_root() {
    let mountinfo = "745 741 0:33 /docker/ab /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory\n";
    check("7:memory:/docker/ab\n", mountinfo, &[("memory", "/sys/fs/cgroup/memory")], &[]);
    check("7:memory:/docker/ab/inner\n", mountinfo, &[("memory", "/sys/fs/cgroup/memory/inner")], &[]);
    // Another container's group cannot be seen from here.
    check("7:memory:/docker/abc\n", mountinfo, &[], &[]);
}

#[test]
fn version_2_is_one_mount() {
    let mountinfo = "25 24 0:22 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    let service = "0::/system.slice/adumbra.service\n";
    check(service, mountinfo, &[], &["/sys/fs/cgroup/system.slice/adumbra.service"]);
    // Outside of our namespace.
    check("0::/../other\n", mountinfo, &[], &[]);
    // A process that has moved itself makes its cages where it came from.
    let moved = format!("0::/system.slice/adumbra.service/{}\n", Owner::us().named(v2::SELF));
    check(&moved, mountinfo, &[], &["/sys/fs/cgroup/system.slice/adumbra.service"]);
    check("0::/\n", "25 24 0:22 / /a\\040b rw - cgroup2 cgroup2 rw\n", &[], &["/a b"]);
}

#[test]
fn nothing_and_nonsense_are_no_groups() {
    check("", "", &[], &[]);
    check("0::\nx\n1:2\n", "a b c\n - \n1 2 3 4 5 - cgroup2\n", &[], &[]);
}

#[test]
fn a_share_is_whole_microseconds_of_a_period_that_the_kernel_takes() {
    for (share, expected) in [
        (0.2, (10_000, 50_000)),
        (0.05, (2_500, 50_000)),
        (2.0, (100_000, 50_000)),
        (0.01, (1_000, 100_000)),
        // The least there is.
        (0.000_1, (1_000, 1_000_000)),
    ] {
        assert_eq!(quota(share), expected, "{share}");
    }
}
