//! What of a client's bytes may pass, and the keeping of those that may not yet.
//!
//! No socket and no clock: bytes come in, and are passed, held or refused.

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use super::Watch;
use crate::accept::scan::{Bounds, Fault, Scanner, Step};

/// Lets through one message at a time.
#[derive(Debug)]
pub(super) struct Gate {
    scanner: Scanner,
    /// What was read and not passed: a head in pieces, or what came before its time.
    held: BytesMut,
    /// Bytes at the front of `held` that may be passed.
    cleared: usize,
    /// Bytes that are held before their time, before no more are read.
    held_bytes_most: usize,
    /// Whether a head was passed whose answer is not over.
    is_busy: bool,
    watch: Arc<Watch>,
}

/// What became of bytes at the front.
enum Admitted {
    Passed(usize),
    Skipped(usize),
    Waiting,
}

impl Gate {
    pub(super) fn new(bounds: Bounds, watch: Arc<Watch>) -> Self {
        let scanner = Scanner::new(bounds);
        let held_bytes_most = bounds.head_bytes;
        Self { scanner, held: BytesMut::new(), cleared: 0, held_bytes_most, is_busy: false, watch }
    }

    /// What was read and not passed.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Whether as much is held as may be before its time.
    pub(super) fn is_full(&self) -> bool {
        self.is_busy && !self.is_in_body() && self.held.len() >= self.held_bytes_most
    }

    /// Whether a head is due, and none but what is held has come.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_busy && !self.is_in_body()
    }

    pub(super) fn is_in_body(&self) -> bool {
        self.scanner.is_in_body()
    }

    /// Whether the message under way ends within what is held and these bytes after it, or has ended.
    pub(super) fn ends_with(&self, unread: &[u8]) -> bool {
        let mut scanner = self.scanner.clone();
        for mut bytes in [&self.held[self.cleared..], unread] {
            while scanner.is_in_body() {
                match scanner.feed(bytes) {
                    Step::Pass(passed) => bytes = &bytes[passed..],
                    Step::Skip(_) | Step::NeedMore | Step::Bad(_) => break,
                }
            }
        }
        !scanner.is_in_body()
    }

    pub(super) fn is_answered(&self) -> bool {
        self.is_busy && self.watch.is_answered()
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.is_busy && self.watch.is_upgraded()
    }

    /// The answer is over and flushed: the next head is due.
    pub(super) fn rest(&mut self) {
        self.is_busy = false;
        self.watch.rested();
    }

    /// Lets all that is held pass, whatever it is.
    pub(super) fn open(&mut self) {
        self.cleared = self.held.len();
    }

    /// Keeps bytes, to be judged later.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
    }

    /// Judges bytes that stand in the reader's buffer; those that may not stay there are held. Says how many may.
    pub(super) fn judge(&mut self, fresh: &[u8]) -> Result<usize, Fault> {
        if !self.held.is_empty() {
            self.hold(fresh);
            return self.judge_held().map(|()| 0);
        }
        match self.admit(fresh)? {
            Admitted::Passed(passed) => {
                self.hold(&fresh[passed..]);
                Ok(passed)
            }
            Admitted::Skipped(skipped) => {
                self.hold(&fresh[skipped..]);
                self.judge_held().map(|()| 0)
            }
            Admitted::Waiting => {
                self.hold(fresh);
                Ok(0)
            }
        }
    }

    /// Judges what is held, as far as it goes now.
    pub(super) fn judge_held(&mut self) -> Result<(), Fault> {
        if self.cleared > 0 || self.held.is_empty() {
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        let judged = loop {
            match self.admit(&held) {
                Ok(Admitted::Skipped(skipped)) => held.advance(skipped),
                Ok(Admitted::Passed(passed)) => {
                    self.cleared = passed;
                    break Ok(());
                }
                Ok(Admitted::Waiting) => break Ok(()),
                Err(fault) => break Err(fault),
            }
        };
        self.held = held;
        judged
    }

    /// Passes what may be of what is held, as much as there is room for. Says whether it was any.
    pub(super) fn pass_held(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let passed = self.cleared.min(buf.remaining());
        if passed == 0 {
            return false;
        }
        buf.put_slice(&self.held[..passed]);
        self.held.advance(passed);
        self.cleared -= passed;
        if self.held.is_empty() {
            // Few connections ever hold anything: give the memory back.
            self.held = BytesMut::new();
        }
        true
    }

    /// Lets through what is sound and due: one head, or the rest of one body, or both; never two messages.
    fn admit(&mut self, bytes: &[u8]) -> Result<Admitted, Fault> {
        if self.is_busy && !self.is_in_body() {
            return Ok(Admitted::Waiting);
        }
        let mut passed = 0;
        loop {
            let is_head = !self.is_in_body();
            match self.scanner.feed(&bytes[passed..]) {
                Step::Pass(bytes) => passed += bytes,
                Step::Skip(skipped) => return Ok(Admitted::Skipped(skipped)),
                Step::Bad(fault) if passed == 0 => return Err(fault),
                Step::NeedMore if passed == 0 => return Ok(Admitted::Waiting),
                Step::Bad(_) | Step::NeedMore => return Ok(Admitted::Passed(passed)),
            }
            if is_head {
                self.is_busy = true;
                self.watch.began();
            }
            if self.scanner.is_between_messages() {
                return Ok(Admitted::Passed(passed));
            }
        }
    }
}
