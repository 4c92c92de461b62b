//! What workers write, passed on line by line to standard error, each line with the worker's name before it.
//!
//! The live process writes where the sidecar would: its output is nobody's business here. A worker's lines would be taken
//! for the live one's there, so they stand apart. A line is cut where it is too long to be one.

use std::io::Write;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest line that is passed on in one piece.
const LINE_MOST: usize = 8 * 1024;

/// Passes on all that comes, until its writers have closed it.
pub(super) async fn pass_on(name: String, mut from: impl AsyncRead + Unpin) {
    let mut lines = Lines { name, line: Vec::new() };
    let mut piece = vec![0; LINE_MOST];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        let ready = lines.take(&piece[..read]);
        // Nobody is left to hear that nobody listens.
        drop(std::io::stderr().lock().write_all(&ready));
    }
    drop(std::io::stderr().lock().write_all(&lines.rest()));
}

/// Puts a name before each line of what comes in pieces.
struct Lines {
    name: String,
    line: Vec<u8>,
}

impl Lines {
    /// The lines that are whole now.
    fn take(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut ready = Vec::new();
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") || self.line.len() >= LINE_MOST {
                ready.extend(self.rest());
            }
        }
        ready
    }

    /// What is left without an end of line.
    fn rest(&mut self) -> Vec<u8> {
        if self.line.is_empty() {
            return Vec::new();
        }
        let mut named = format!("[{}] ", self.name).into_bytes();
        named.append(&mut self.line);
        if !named.ends_with(b"\n") {
            named.push(b'\n');
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_has_its_name_however_it_comes() {
        let mut lines = Lines { name: "worker 0".to_owned(), line: Vec::new() };
        let mut said = |piece: &str| String::from_utf8(lines.take(piece.as_bytes())).expect("text");
        assert_eq!(said("one\ntw"), "[worker 0] one\n");
        assert_eq!(said("o\n\n"), "[worker 0] two\n[worker 0] \n");
        assert_eq!(said("rest"), "");
        assert_eq!(lines.rest(), b"[worker 0] rest\n");
        assert_eq!(lines.rest(), b"");
    }

    #[test]
    fn a_line_without_an_end_is_cut() {
        let mut lines = Lines { name: "w".to_owned(), line: Vec::new() };
        let ready = lines.take(&vec![b'x'; LINE_MOST]);
        assert_eq!(ready.len(), LINE_MOST + "[w] \n".len());
        assert!(lines.line.is_empty());
    }
}
