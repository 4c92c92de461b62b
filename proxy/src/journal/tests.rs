//! Segments against disks that fill up, processes that are killed, and readers that meet what is left.

use std::path::Path;

use proptest::prelude::*;

use super::reader::{Found, Lost, read};
use super::segment::{ENTRY, LINE, MAGIC, Segments, Wrote, count, frame, list, name};

fn line(text: &str) -> Vec<u8> {
    let mut frames = Vec::new();
    frame(LINE, text.as_bytes(), &mut frames);
    frames
}

/// The lines that can be read, and what was lost.
fn lines(directory: &Path) -> (Vec<String>, Lost) {
    let mut lines = Vec::new();
    let lost = read(directory, |found| {
        if let Found::Line(line) = found {
            lines.push(line);
        }
    });
    (lines, lost.expect("it can be read"))
}

#[test]
fn what_was_written_is_read_and_a_torn_end_is_dropped_and_said() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let mut segments = Segments::open(directory.path(), 1 << 20).expect("a directory");
    for n in 0..3 {
        assert_eq!(segments.write(&line(&format!("line {n}"))).expect("there is room"), Wrote::Here);
    }
    assert_eq!(lines(directory.path()), (vec!["line 0".into(), "line 1".into(), "line 2".into()], Lost::default()));
    // A process that is killed in the middle of a write.
    let path = directory.path().join(name(0));
    let whole = std::fs::read(&path).expect("it is there");
    for cut in 1..15 {
        std::fs::write(&path, &whole[..whole.len() - cut]).expect("there is room for files");
        let torn = line("line 2").len() as u64 - cut as u64;
        let lost = Lost { bytes: torn, segments: u64::from(torn > 0), unknown: 0 };
        assert_eq!(lines(directory.path()), (vec!["line 0".into(), "line 1".into()], lost), "cut by {cut}");
    }
    // The next process goes on in a segment of its own.
    let mut next = Segments::open(directory.path(), 1 << 20).expect("a directory");
    next.write(&line("line 3")).expect("there is room");
    let (read, lost) = lines(directory.path());
    assert_eq!((read.last().map(String::as_str), read.len(), lost.segments), (Some("line 3"), 3, 1));
}

#[test]
fn it_is_never_longer_than_it_may_be_and_keeps_the_newest() {
    let directory = tempfile::tempdir().expect("there is room for files");
    let most = 1 << 20;
    let mut segments = Segments::open(directory.path(), most).expect("a directory");
    let text = "x".repeat(10_000);
    for n in 0..500 {
        segments.write(&line(&format!("{n} {text}"))).expect("there is room");
        let on_disk: u64 = list(directory.path()).expect("it can be read").iter().map(|(_, bytes)| bytes).sum();
        assert!(on_disk <= most && on_disk == segments.bytes(), "{on_disk}");
    }
    let (read, lost) = lines(directory.path());
    assert_eq!(lost, Lost::default());
    let numbers: Vec<usize> =
        read.iter().map(|line| line.split(' ').next().expect("a number").parse().expect("a number")).collect();
    assert!(numbers.len() > 70, "most of what there is room for: {}", numbers.len());
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]) && numbers.last() == Some(&499));
    // Another process, with less room, makes it at once.
    let mut less = Segments::open(directory.path(), 300_000).expect("a directory");
    less.write(&line("last")).expect("there is room");
    assert!(less.bytes() <= 300_000 && lines(directory.path()).0.last().map(String::as_str) == Some("last"));
    assert!(less.write(&line(&"x".repeat(400_000))).is_err(), "more at once than there may be");
}

#[test]
fn a_directory_that_is_gone_costs_entries_until_it_can_be_made_again() {
    let parent = tempfile::tempdir().expect("there is room for files");
    let directory = parent.path().join("journal");
    let mut segments = Segments::open(&directory, 100_000).expect("a directory").trying_again_at_once();
    segments.write(&line(&"x".repeat(70_000))).expect("there is room");
    std::fs::remove_dir_all(&directory).expect("it is there");
    std::fs::write(&directory, "in the way").expect("there is room for files");
    assert!(segments.write(&line("lost")).is_err());
    assert!(segments.is_waiting());
    std::fs::remove_file(&directory).expect("it is there");
    assert_eq!(segments.write(&line("kept")).expect("it is made again"), Wrote::Here);
    assert!(!segments.is_waiting());
    assert_eq!(lines(&directory).0, ["kept"]);
}

#[test]
fn a_failure_is_left_alone_for_a_while() {
    let parent = tempfile::tempdir().expect("there is room for files");
    let directory = parent.path().join("journal");
    let mut segments = Segments::open(&directory, 100_000).expect("a directory");
    std::fs::remove_dir(&directory).expect("it is empty");
    std::fs::write(&directory, "in the way").expect("there is room for files");
    assert!(segments.write(&line("lost")).is_err());
    assert_eq!(segments.write(&line("not even tried")).expect("nothing is tried"), Wrote::NotYet);
}

#[test]
fn frames_are_counted_and_what_no_reader_would_take_is_no_frame() {
    let mut frames = line("one");
    frames.extend(line(""));
    assert_eq!(count(&frames), 2);
    let mut none = Vec::new();
    frame(LINE, &vec![0; super::segment::FRAME_MOST + 1], &mut none);
    assert!(none.is_empty());
}

proptest! {
    #[test]
    fn whatever_is_in_a_segment_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..200_usize) {
        let mut segment = MAGIC.to_vec();
        frame(ENTRY, br#"{"begins":{"version":"0","instance":1,"unix_ms":2}}"#, &mut segment);
        frame(LINE, b"{}", &mut segment);
        let whole = segment.len();
        segment.extend_from_slice(&bytes);
        let read = |segment: &[u8]| {
            let (mut lost, mut count) = (Lost::default(), 0);
            super::reader::segment(segment, &mut lost, &mut |_| count += 1);
            (count, lost)
        };
        prop_assert!(read(&segment).0 >= 2, "what is whole before it is read all the same");
        let place = at % whole;
        segment[place] ^= 0x55;
        prop_assert!(read(&segment[..whole]).0 < 2, "a changed byte at {place} is seen");
        let _any_bytes = read(&bytes);
    }
}
