//! A copy as it is made: what state it is in, and who moves it on.
//!
//! Two parties do: the tee, which must never wait, and the writer, which may. They meet in one short lock. The writer is
//! not a thread that sits and waits for a slow client; it is started when there is something to write, and ends when
//! there is nothing left, so that idle bodies cost no thread.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::budget::Share;
use super::disk::Disk;
use super::growing::{Growing, Writer};
use super::{Store, Unspooled};

/// A copy from its first byte to its last reader.
#[derive(Debug)]
pub(super) struct Copy {
    store: Arc<Store>,
    /// What becomes of a copy that is not going to be whole.
    part: Part,
    state: Mutex<State>,
    settled: Notify,
}

/// What becomes of the part there is of a copy that is not going to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It is let go of, there and then: the body itself has gone where it should.
    Dropped,
    /// It is kept: nobody else has it.
    Kept,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one to a body, behind an `Arc`, and mostly it grows")]
enum State {
    Growing(Growing),
    Whole(Arc<Whole>),
    Failed(Unspooled),
    /// What there is of one that failed.
    Part(Arc<Whole>, Unspooled),
}

/// A copy that will not change any more.
#[derive(Debug, Default)]
pub(super) struct Whole {
    pub(super) memory: Vec<Bytes>,
    /// The room that this takes.
    pub(super) _held: Option<Share>,
    /// Comes after what is in memory.
    pub(super) disk: Option<Arc<Disk>>,
    pub(super) disk_bytes: u64,
    /// Comes after that, if the disk did not take all of it.
    pub(super) unwritten: Vec<Bytes>,
    pub(super) trailers: Option<HeaderMap>,
    pub(super) length: u64,
}

impl Copy {
    /// An empty copy of a body that says it is `declared` bytes long.
    pub(super) fn new(store: Arc<Store>, declared: Option<u64>, part: Part) -> Arc<Self> {
        let growing = Growing::new(declared, store.memory.share());
        Arc::new(Self { store, part, state: Mutex::new(State::Growing(growing)), settled: Notify::new() })
    }

    /// Appends `data`; says whether there is still a copy to append to.
    pub(super) fn push(self: &Arc<Self>, data: &Bytes) -> bool {
        self.grow(|growing, store| growing.push(data, store))
    }

    /// Keeps the trailers.
    pub(super) fn keep_trailers(&self, trailers: &HeaderMap) {
        if let State::Growing(growing) = &mut *self.state.lock() {
            growing.keep_trailers(trailers);
        }
    }

    /// The body has ended as it should.
    pub(super) fn finish(self: &Arc<Self>) {
        self.grow(Growing::finish);
    }

    /// There will be no whole copy, unless there is one already.
    pub(super) fn fail(&self, why: Unspooled) {
        let mut state = self.state.lock();
        if matches!(*state, State::Growing(_)) {
            self.settle(&mut state, State::Failed(why));
        }
    }

    /// Nobody will ask for the copy any more.
    pub(super) fn abandon(&self) {
        let mut state = self.state.lock();
        self.settle(&mut state, State::Failed(Unspooled::BrokeOff));
    }

    pub(super) fn settled(&self) -> Option<Result<u64, Unspooled>> {
        match &*self.state.lock() {
            State::Growing(_) => None,
            State::Whole(whole) => Some(Ok(whole.length)),
            State::Failed(why) | State::Part(_, why) => Some(Err(*why)),
        }
    }

    pub(super) async fn complete(&self) -> Result<u64, Unspooled> {
        loop {
            let mut settling = std::pin::pin!(self.settled.notified());
            // Registered before the look at the state, or the wake-up between the two would be lost.
            settling.as_mut().enable();
            if let Some(settled) = self.settled() {
                return settled;
            }
            settling.await;
        }
    }

    pub(super) fn whole(&self) -> Option<Arc<Whole>> {
        match &*self.state.lock() {
            State::Whole(whole) => Some(Arc::clone(whole)),
            State::Growing(_) | State::Failed(_) | State::Part(..) => None,
        }
    }

    /// What there is of a copy that failed, if that was to be kept.
    pub(super) fn part(&self) -> Option<Arc<Whole>> {
        match &*self.state.lock() {
            State::Part(part, _) => Some(Arc::clone(part)),
            State::Growing(_) | State::Failed(_) | State::Whole(_) => None,
        }
    }

    fn grow(self: &Arc<Self>, step: impl FnOnce(&mut Growing, &Store) -> Result<Writer, Unspooled>) -> bool {
        let mut state = self.state.lock();
        let State::Growing(growing) = &mut *state else { return false };
        if growing.is_stopping() {
            return false;
        }
        match step(growing, &self.store) {
            Ok(Writer::NotNeeded) => {
                if growing.is_done() {
                    let whole = growing.take_whole();
                    self.settle(&mut state, State::Whole(Arc::new(whole)));
                }
                true
            }
            Ok(Writer::Needed) => {
                // Without the lock: a runtime that shuts down drops the writer here and now, and that takes it.
                drop(state);
                let writer = WriterGuard { copy: Some(Arc::clone(self)) };
                drop(tokio::task::spawn_blocking(move || writer.run()));
                true
            }
            Err(why) => {
                if self.part == Part::Kept && why != Unspooled::BrokeOff {
                    growing.stop(why);
                    self.settle_part(&mut state);
                } else {
                    self.settle(&mut state, State::Failed(why));
                }
                false
            }
        }
    }

    /// Settles a copy that was stopped, if nobody writes to it any more. Else whoever does calls this again.
    fn settle_part(&self, state: &mut State) {
        if let State::Growing(growing) = state
            && let Some(why) = growing.is_stopped()
        {
            let part = Arc::new(growing.take_whole());
            self.settle(state, State::Part(part, why));
        }
    }

    fn settle(&self, state: &mut State, to: State) {
        *state = to;
        self.settled.notify_waiters();
    }

    /// Writes what is queued. Blocks.
    fn write(&self) {
        let mut written = 0;
        loop {
            let (disk, offset, batch) = {
                let mut state = self.state.lock();
                let State::Growing(growing) = &mut *state else { return };
                let Some(next) = growing.next_batch(written) else {
                    if growing.is_done() {
                        let whole = growing.take_whole();
                        self.settle(&mut state, State::Whole(Arc::new(whole)));
                    }
                    return self.settle_part(&mut state);
                };
                next
            };
            let bounds = self.store.bounds.load_full();
            if let Err(error) = disk.write(&bounds.directory, offset, &batch) {
                let directory = bounds.directory.display();
                tracing::warn!(%error, %directory, "cannot write to the spool; the job cannot be switched any more");
                if self.part == Part::Dropped {
                    return self.fail(Unspooled::NoRoom);
                }
                let mut state = self.state.lock();
                if let State::Growing(growing) = &mut *state {
                    growing.not_written(batch, Unspooled::NoRoom);
                }
                return self.settle_part(&mut state);
            }
            written = batch.iter().map(Bytes::len).sum();
        }
    }
}

/// A writer that is under way. Dropped before it has run to its end, it will never write.
struct WriterGuard {
    copy: Option<Arc<Copy>>,
}

impl WriterGuard {
    fn run(mut self) {
        if let Some(copy) = &self.copy {
            copy.write();
        }
        self.copy = None;
    }
}

impl Drop for WriterGuard {
    fn drop(&mut self) {
        if let Some(copy) = self.copy.take() {
            copy.fail(Unspooled::NoRoom);
        }
    }
}
