//! Writes `docs/config.md` from the parser: `cargo run -p config --example write_reference`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/config.md");
    std::fs::write(page, config::reference())
}
