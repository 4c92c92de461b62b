//! Whether an HTTP/2 client is in the middle of a request's head.
//!
//! hyper waits for the rest of a head for as long as the client likes. A head is one HEADERS frame and the CONTINUATION frames
//! after it, with nothing between (RFC 9113 §4.3), so whoever stays in one holds only its own connection; but it must not hold
//! that for ever. Only the headers of frames are read here: what is in them is hyper's to judge.

use super::PREFACE;

const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;
/// Bytes of a frame's header (RFC 9113 §4.1).
const FRAME_HEADER: usize = 9;

/// Where a connection's stream of frames is.
#[derive(Debug)]
pub(super) struct Frames {
    header: [u8; FRAME_HEADER],
    filled: usize,
    /// Bytes of the frame's payload that are yet to come.
    left: usize,
    ends_head: bool,
    in_head: bool,
    heads: u64,
}

impl Frames {
    /// At the first byte of the preface.
    pub(super) fn new() -> Self {
        let header = [0; FRAME_HEADER];
        Self { header, filled: 0, left: PREFACE.len(), ends_head: false, in_head: false, heads: 0 }
    }

    /// Whether a head has begun and not ended.
    pub(super) fn is_in_head(&self) -> bool {
        self.in_head
    }

    /// How many heads have begun.
    pub(super) fn heads(&self) -> u64 {
        self.heads
    }

    /// Reads on.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left > 0 {
                let skipped = self.left.min(bytes.len());
                bytes = &bytes[skipped..];
                self.left -= skipped;
            } else {
                let taken = (FRAME_HEADER - self.filled).min(bytes.len());
                self.header[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
                bytes = &bytes[taken..];
                self.filled += taken;
                if self.filled < FRAME_HEADER {
                    return;
                }
                self.begin_frame();
            }
            if self.left == 0 && self.ends_head {
                (self.in_head, self.ends_head) = (false, false);
            }
        }
    }

    fn begin_frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.header;
        self.filled = 0;
        self.left = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if matches!(kind, HEADERS | CONTINUATION) {
            self.heads += u64::from(!self.in_head);
            self.in_head = true;
            self.ends_head = flags & END_HEADERS != 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    #[test]
    fn a_head_lasts_from_its_first_frame_to_the_end_of_its_last_however_it_is_cut() {
        let sent = [
            (PREFACE.to_vec(), false, 0),
            (frame(4, 0, &[]), false, 0),
            (frame(HEADERS, 0, b"abc"), true, 1),
            (frame(CONTINUATION, 0, b""), true, 1),
            (frame(CONTINUATION, END_HEADERS, b"de"), false, 1),
            (frame(0, 0, b"data"), false, 1),
            (frame(HEADERS, END_HEADERS, b""), false, 2),
        ];
        for cut in [1, 2, 7, 1000] {
            let mut frames = Frames::new();
            for (bytes, in_head, heads) in &sent {
                bytes.chunks(cut).for_each(|piece| frames.feed(piece));
                assert_eq!((frames.is_in_head(), frames.heads()), (*in_head, *heads), "{bytes:?} by {cut}");
            }
            // Not before its payload is whole.
            frames.feed(&frame(HEADERS, END_HEADERS, b"abc")[..10]);
            assert!(frames.is_in_head());
        }
    }
}
