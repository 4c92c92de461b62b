//! Which command lines there are, and what is said of those that there are not.

use clap::CommandFactory;

use super::*;

#[test]
fn the_command_line_is_sound() {
    Line::command().debug_assert();
}

#[test]
fn an_error_is_one_line_with_what_is_behind_it() {
    let source = io::Error::new(io::ErrorKind::NotFound, "No such file\nor directory");
    let error = CliError::File(ConfigFileError::Unreadable { path: "a.toml".into(), source });
    let line = one_line(&error);
    assert!(line.starts_with("cannot read the configuration a.toml; give"), "{line}");
    assert!(line.ends_with(": No such file or directory"), "{line}");
}

#[test]
fn a_file_that_is_no_configuration_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bad.toml");
    std::fs::write(&path, "home = 3\nnonsense = 1\n").expect("a file");
    assert!(matches!(load(&path), Err(CliError::Invalid { .. })));
    std::fs::write(&path, " ".repeat(config::MAX_TEXT + 1)).expect("a file");
    assert!(matches!(load(&path), Err(CliError::File(ConfigFileError::TooLarge { .. }))));
    assert!(matches!(
        load(&directory.path().join("none.toml")),
        Err(CliError::File(ConfigFileError::Unreadable { .. }))
    ));
}
