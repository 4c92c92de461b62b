//! Lines of a CSV file, plain or gzip, as cells.
//!
//! RFC 4180 without line breaks inside quotes: what records jobs writes none, and a line number then is a line's. A line is
//! bounded, so that a file that is not CSV at all is said to be none instead of being read into memory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

/// The most bytes of one line.
const LINE_MOST: u64 = 64 << 10;
/// How a gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file's lines.
pub(super) struct Lines {
    from: Box<dyn BufRead>,
    number: u64,
}

impl Lines {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut from = BufReader::new(File::open(path)?);
        let is_gzip = from.fill_buf()?.starts_with(&GZIP);
        let from: Box<dyn BufRead> =
            if is_gzip { Box::new(BufReader::new(MultiGzDecoder::new(from))) } else { Box::new(from) };
        Ok(Self { from, number: 0 })
    }

    /// The next line's number, from 1, and its cells; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Vec<String>)>> {
        let mut line = Vec::new();
        if (&mut self.from).take(LINE_MOST).read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        self.number += 1;
        if line.len() as u64 == LINE_MOST && line.last() != Some(&b'\n') {
            let what = format!("line {} has more than {LINE_MOST} bytes; is it CSV?", self.number);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        let line = String::from_utf8_lossy(&line);
        Ok(Some((self.number, cells(line.trim_end_matches(['\n', '\r'])))))
    }
}

/// The cells of a line.
fn cells(line: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut chars = line.chars().peekable();
    let mut in_quotes = false;
    while let Some(c) = chars.next() {
        let cell = cells.last_mut().expect("there is one from the start");
        match c {
            '"' if in_quotes && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if in_quotes => in_quotes = false,
            '"' if cell.is_empty() => in_quotes = true,
            ',' if !in_quotes => cells.push(String::new()),
            c => cell.push(c),
        }
    }
    cells
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn cells_are_parted_by_commas_outside_quotes() {
        let check = |line: &str, expected: &[&str]| assert_eq!(cells(line), expected, "{line}");
        check("", &[""]);
        check("a,,b", &["a", "", "b"]);
        check("\"a,b\",c", &["a,b", "c"]);
        check("\"say \"\"so\"\"\",x\"y", &["say \"so\"", "x\"y"]);
        check("\"open,end", &["open,end"]);
    }

    #[test]
    fn a_packed_file_reads_as_the_plain_one_and_what_is_no_csv_is_said_to_be_none() {
        let directory = tempfile::tempdir().expect("there is room for files");
        let (plain, packed) = (directory.path().join("a.csv"), directory.path().join("a.csv.gz"));
        let text = "class,service_s\r\nx,1.5\n";
        std::fs::write(&plain, text).expect("it can be written");
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gz.write_all(text.as_bytes()).expect("memory takes it");
        std::fs::write(&packed, gz.finish().expect("memory takes it")).expect("it can be written");
        for path in [&plain, &packed] {
            let mut lines = Lines::open(path).expect("it is there");
            assert_eq!(lines.next().expect("text"), Some((1, vec!["class".to_owned(), "service_s".to_owned()])));
            assert_eq!(lines.next().expect("text"), Some((2, vec!["x".to_owned(), "1.5".to_owned()])));
            assert_eq!(lines.next().expect("text"), None);
        }
        std::fs::write(&plain, vec![b'x'; 100_000]).expect("it can be written");
        assert!(Lines::open(&plain).expect("it is there").next().is_err());
        std::fs::write(&packed, &std::fs::read(&packed).expect("it is there")[..25]).expect("it can be written");
        let mut cut = Lines::open(&packed).expect("it is there");
        assert!(std::iter::repeat_with(|| cut.next()).take(3).any(|line| line.is_err()), "half a gzip file");
    }
}
