//! The launcher: what it becomes, and what it says when it cannot.

use super::*;

#[test]
fn a_command_runs_inside_and_its_exit_code_comes_out() {
    let means = means();
    let cage = Cage::new(&means, "launching").expect("a cage");
    let mut command = cage.command("sh", ["-c", "echo $$; cat /proc/self/cgroup; exit 7"]);
    let output = command.output().expect("the launcher runs");
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(7), "{said}");
    println!("{:?} {:?}\n{said}", means.enforced(), means.lacks());
    cage.set(&CageLimits { cpu_share: Some(0.2), memory_bytes: Some(64 << 20), weight: Weight::Idle }).expect("limits");
    println!("{:?}", cage.usage());
}

#[test]
fn a_command_that_is_not_there_is_said_to_be() {
    let means = means();
    let cage = Cage::new(&means, "missing").expect("a cage");
    let output = cage.command("/no/such/command", ["a"]).output().expect("the launcher runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(i32::from(launch::NOT_FOUND)), "{said}");
    assert!(said.starts_with("adumbra: ") && said.contains("`/no/such/command`"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    let output = cage.command("/", ["a"]).output().expect("the launcher runs");
    assert_eq!(output.status.code(), Some(i32::from(launch::NOT_EXECUTABLE)));
}
