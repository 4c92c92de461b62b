//! A list of bytes in pieces that are neither tiny nor copied without need.
//!
//! A large frame is kept as it is: it is reference-counted. A small one is copied behind the one before it, because a
//! body that trickles in byte by byte would otherwise cost many times its length in bookkeeping, and would hold on to the
//! connection's read buffer.

use bytes::{Bytes, BytesMut};

/// A frame of at least this many bytes is kept without copying.
const LARGE_BYTES: usize = 16 << 10;
/// Small frames are gathered up to this many bytes.
const GATHER_BYTES: usize = 64 << 10;

/// Bytes in order.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    done: Vec<Bytes>,
    gathering: BytesMut,
    len: usize,
}

impl Pieces {
    /// Bytes in all pieces.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends `bytes`.
    pub(super) fn push(&mut self, bytes: &Bytes) {
        self.len += bytes.len();
        let large = bytes.len() >= LARGE_BYTES;
        if large || self.gathering.len() + bytes.len() > GATHER_BYTES {
            self.close();
        }
        if large {
            self.done.push(bytes.clone());
        } else {
            self.gathering.extend_from_slice(bytes);
        }
    }

    /// Takes everything out.
    pub(super) fn take(&mut self) -> Vec<Bytes> {
        self.close();
        self.len = 0;
        std::mem::take(&mut self.done)
    }

    fn close(&mut self) {
        if !self.gathering.is_empty() {
            self.done.push(std::mem::take(&mut self.gathering).freeze());
        }
    }
}
