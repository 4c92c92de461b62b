//! The `adumbra` program: everything is in the library.

fn main() -> std::process::ExitCode {
    proxy::cli::main()
}
