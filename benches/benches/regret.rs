//! How far adumbra and the rules that people use are from one who knows what nobody can: real jobs in virtual time.
//!
//! ```text
//! cargo bench -p benches --bench regret -- --trace FILE --load 0.9 --json FILE
//! ```

use std::process::ExitCode;

fn main() -> ExitCode {
    benches::regret::bench::main()
}
