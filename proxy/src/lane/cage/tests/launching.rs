//! The launcher: what it becomes, and what it says when it cannot.

use super::*;

#[test]
fn a_command_is_inside_when_it_begins_and_its_exit_code_comes_out() {
    let means = means();
    println!("{:?}, {:?}", means.enforced(), means.lacks());
    let cage = Cage::new(&means, "launching").expect("a cage");
    let output = cage.command("sh", ["-c", "cat /proc/self/cgroup; exit 7"]).output().expect("the launcher runs");
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(7), "{said}");
    let inside: Vec<&str> = said.lines().filter(|line| line.ends_with(&cage.id)).collect();
    let expected = match &cage.group {
        Some(Group::V2(_)) => 1,
        // One for each hierarchy.
        Some(Group::V1(group)) => group.directories().len(),
        None => 0,
    };
    assert_eq!(inside.len(), expected, "{said}");
    assert!(cage.processes().is_empty(), "it has ended");
}

#[test]
fn a_command_is_not_run_where_it_cannot_be_caged() {
    let mut launcher = Command::new(launcher());
    let parent = std::process::id();
    launch::Args { enter: vec!["/no/such/group".into()], parent, ..launch::Args::default() }.put(&mut launcher);
    let output = launcher.args(["--", "echo", "free"]).output().expect("the launcher runs");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(i32::from(launch::NOT_CAGED)), 0), "{said}");
    assert!(said.contains("cannot enter the cage by /no/such/group: No such file"), "{said}");
}

#[test]
fn a_command_whose_parent_has_ended_is_not_run() {
    let mut launcher = Command::new(self::launcher());
    launch::Args { parent: 1, ..launch::Args::default() }.put(&mut launcher);
    let output = launcher.args(["--", "echo", "orphan"]).output().expect("the launcher runs");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(i32::from(launch::NOT_CAGED)), 0));
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

#[test]
fn a_program_that_is_no_launcher_is_found_out() {
    // This one: a test's executable.
    let means = Means::survey();
    let enforced = means.enforced();
    assert_eq!((enforced.cpu, enforced.kill), (By::Nothing, By::Mark));
    assert!(!means.lacks().is_empty());
    if groups("a launcher that is none").is_some() {
        assert!(means.lacks()[0].starts_with("a process cannot enter a cage: "), "{:?}", means.lacks());
    }
}
