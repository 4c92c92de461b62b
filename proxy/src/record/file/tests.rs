//! The decision log on disk.

use super::*;

/// A disk that takes `room` bytes and then is full.
#[derive(Debug, Default)]
struct Disk {
    bytes: Vec<u8>,
    room: usize,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let n = bytes.len().min(self.room);
        self.room -= n;
        self.bytes.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn file(room: usize) -> File<Disk> {
    File::over(Disk { bytes: Vec::new(), room }, Path::new("decisions.jsonl"))
}

/// Writes lines as `push` would have left them.
fn flush(file: &mut File<Disk>, lines: &str, metrics: &Metrics) {
    file.waiting.extend_from_slice(lines.as_bytes());
    file.flush(metrics);
}

#[test]
fn a_full_disk_costs_lines_and_the_next_one_starts_afresh() {
    let metrics = Metrics::new(&[]);
    let mut file = file(9);
    flush(&mut file, "one\ntwo\nthree\n", &metrics);
    assert_eq!(file.inner.bytes, b"one\ntwo\nt");
    assert!(file.failing && file.torn);
    flush(&mut file, "four\n", &metrics);
    assert!(file.torn, "nothing was written, so nothing was mended");
    file.inner.room = 100;
    flush(&mut file, "five\n", &metrics);
    assert_eq!(file.inner.bytes, b"one\ntwo\nt\nfive\n");
    assert!(!file.failing && !file.torn);
    assert_eq!((metrics.records_so_far()), (3, 2));
}

#[test]
fn a_line_that_is_torn_at_its_end_is_mended_without_an_empty_one() {
    let metrics = Metrics::new(&[]);
    let mut file = file(4);
    flush(&mut file, "one\ntwo\n", &metrics);
    file.inner.room = 100;
    flush(&mut file, "three\n", &metrics);
    assert_eq!(file.inner.bytes, b"one\nthree\n");
}
