//! An object while it comes: written by one, read by many, at the pace of each.
//!
//! Bytes are copied out of the connection's buffers into pieces of one block: a frame of a few bytes would otherwise keep a
//! whole read buffer alive. What was written to disk is let go here; a reader that is behind that reads it from the file,
//! which was opened before.
//!
//! An object that cannot be kept after all still has readers, who have its beginning and want the rest. For them it goes on
//! as a [`window`](Growth::narrow): what all of them have read is let go, whoever writes waits for the last of them, and
//! where there are several, one that is too far behind is cut off rather than let it hold up the others.

use std::fs::File;
use std::future::poll_fn;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;

use super::BLOCK_BYTES;

/// Blocks that a narrowed object keeps.
const WINDOW_BLOCKS: usize = 8;

/// An object while it comes.
#[derive(Debug)]
pub(crate) struct Growth {
    state: Mutex<State>,
    /// The file, once there is one.
    file: OnceLock<Arc<File>>,
}

#[derive(Debug, Default)]
struct State {
    /// The checksums of the blocks that are on disk.
    sums: Vec<u32>,
    /// Blocks behind those that were let go.
    gone: usize,
    /// Whole blocks that are only here.
    pieces: Vec<Bytes>,
    /// The beginning of the block after those.
    open: Vec<u8>,
    len: u64,
    end: End,
    narrow: bool,
    readers: Vec<Place>,
    next_reader: u64,
    /// Readers that wait for bytes.
    waiting: Vec<Waker>,
    /// The writer, if it waits for readers.
    writer: Option<Waker>,
}

/// How far a reader is.
#[derive(Debug)]
struct Place {
    reader: u64,
    position: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    #[default]
    ToCome,
    Whole,
    Broken,
}

/// What is next for a reader.
#[derive(Debug)]
pub(super) enum Next {
    /// These bytes.
    Data(Bytes),
    /// Blocks that are on disk, with these checksums.
    OnDisk(Arc<File>, Vec<u32>),
    /// Nothing: it ends here.
    End,
    /// Nothing: it will never be whole.
    Broken,
}

impl Growth {
    /// An object of no bytes yet.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), file: OnceLock::new() })
    }

    /// Adds `data`.
    pub(crate) fn push(&self, mut data: &[u8]) {
        let mut state = self.state.lock();
        state.len += data.len() as u64;
        while !data.is_empty() {
            let room = BLOCK_BYTES - state.open.len();
            let (now, rest) = data.split_at(room.min(data.len()));
            state.open.extend_from_slice(now);
            if state.open.len() == BLOCK_BYTES {
                let piece = std::mem::take(&mut state.open);
                state.pieces.push(piece.into());
            }
            data = rest;
        }
        state.wake();
    }

    /// It is whole.
    pub(crate) fn finish(&self) {
        self.state.lock().end(End::Whole);
    }

    /// It will never be whole. Whoever reads it has to break off.
    pub(crate) fn break_off(&self) {
        self.state.lock().end(End::Broken);
    }

    /// It is not kept: from now on it is only there for those who read it already.
    pub(crate) fn narrow(&self) {
        let mut state = self.state.lock();
        state.narrow = true;
        state.let_go();
    }

    /// Waits until a narrowed object has room for more.
    pub(crate) async fn has_room(&self) {
        poll_fn(|cx| self.state.lock().poll_room(cx)).await;
    }

    /// Waits until nobody reads it.
    pub(crate) async fn is_unread(&self) {
        poll_fn(|cx| self.state.lock().poll_unread(cx)).await;
    }

    /// Bytes that have come.
    pub(crate) fn len(&self) -> u64 {
        self.state.lock().len
    }

    /// Whether all of them have.
    pub(crate) fn is_whole(&self) -> bool {
        self.state.lock().end == End::Whole
    }

    /// All of it in one piece, if it is whole and nothing of it was let go.
    pub(crate) fn in_memory(&self) -> Option<Bytes> {
        let state = self.state.lock();
        if state.end != End::Whole || state.first_here() > 0 {
            return None;
        }
        match (&*state.pieces, &*state.open) {
            ([], open) => Some(Bytes::copy_from_slice(open)),
            ([piece], []) => Some(piece.clone()),
            (pieces, open) => {
                let mut all = Vec::with_capacity(state.len as usize);
                pieces.iter().for_each(|piece| all.extend_from_slice(piece));
                all.extend_from_slice(open);
                Some(all.into())
            }
        }
    }
}

/// For readers.
impl Growth {
    /// One more reader, at the beginning; `None` if that is not there any more.
    pub(super) fn enter(&self) -> Option<u64> {
        let mut state = self.state.lock();
        if state.narrow || state.end == End::Broken {
            return None;
        }
        let reader = state.next_reader;
        state.next_reader += 1;
        state.readers.push(Place { reader, position: 0 });
        Some(reader)
    }

    pub(super) fn leave(&self, reader: u64) {
        let mut state = self.state.lock();
        state.readers.retain(|place| place.reader != reader);
        state.let_go();
    }

    /// What comes at `position`, for `reader`, who has had all before that.
    pub(super) fn poll_next(&self, reader: u64, position: u64, cx: &mut Context<'_>) -> Poll<Next> {
        let mut state = self.state.lock();
        let Some(place) = state.readers.iter_mut().find(|place| place.reader == reader) else {
            return Poll::Ready(Next::Broken);
        };
        place.position = position;
        state.let_go();
        let (block, within) = ((position / BLOCK_BYTES as u64) as usize, (position % BLOCK_BYTES as u64) as usize);
        let on_disk = state.sums.get(block..).filter(|sums| !sums.is_empty());
        if let (Some(sums), Some(file)) = (on_disk, self.file.get()) {
            let sums = sums.iter().take(super::reader::AHEAD).copied().collect();
            return Poll::Ready(Next::OnDisk(Arc::clone(file), sums));
        }
        let Some(at) = block.checked_sub(state.first_here()) else { return Poll::Ready(Next::Broken) };
        if let Some(piece) = state.pieces.get(at) {
            return Poll::Ready(Next::Data(piece.slice(within..)));
        }
        if at == state.pieces.len() && within < state.open.len() {
            return Poll::Ready(Next::Data(Bytes::copy_from_slice(&state.open[within..])));
        }
        match state.end {
            End::Whole => Poll::Ready(Next::End),
            End::Broken => Poll::Ready(Next::Broken),
            End::ToCome => {
                if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                    state.waiting.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

/// For whoever writes it to disk.
impl Growth {
    pub(super) fn is_in(&self, file: &Arc<File>) {
        self.file.get_or_init(|| Arc::clone(file));
    }

    /// Whole blocks that are not on disk yet.
    pub(super) fn unwritten(&self) -> Vec<Bytes> {
        self.state.lock().pieces.clone()
    }

    /// What is behind the whole blocks.
    pub(super) fn rest(&self) -> Vec<u8> {
        self.state.lock().open.clone()
    }

    pub(super) fn sums(&self) -> Vec<u32> {
        self.state.lock().sums.clone()
    }

    /// The first blocks of those that were not are on disk now; they are let go.
    pub(super) fn wrote(&self, sums: &[u32]) {
        let mut state = self.state.lock();
        state.pieces.drain(..sums.len());
        state.sums.extend_from_slice(sums);
    }
}

impl State {
    /// The first block that is in memory.
    fn first_here(&self) -> usize {
        self.sums.len() + self.gone
    }

    fn end(&mut self, end: End) {
        if self.end == End::ToCome {
            self.end = end;
        }
        self.wake();
    }

    fn wake(&mut self) {
        self.waiting.drain(..).for_each(Waker::wake);
    }

    /// Lets go of what nobody will read, if that is how it is, and tells the writer.
    fn let_go(&mut self) {
        if self.narrow {
            let needed = self.readers.iter().map(|place| place.position).min().unwrap_or(self.len);
            let unneeded = ((needed / BLOCK_BYTES as u64) as usize).saturating_sub(self.first_here());
            let unneeded = unneeded.min(self.pieces.len());
            self.pieces.drain(..unneeded);
            self.gone += unneeded;
        }
        if let Some(writer) = self.writer.take() {
            writer.wake();
        }
    }

    fn poll_room(&mut self, cx: &Context<'_>) -> Poll<()> {
        // Several readers: the last is cut off. One: it is waited for.
        while self.narrow && self.pieces.len() >= WINDOW_BLOCKS {
            if self.readers.len() < 2 {
                self.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let last = self.readers.iter().enumerate().min_by_key(|(_, place)| place.position).map(|(at, _)| at);
            if let Some(last) = last {
                self.readers.remove(last);
            }
            self.let_go();
            self.wake();
        }
        Poll::Ready(())
    }

    fn poll_unread(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.readers.is_empty() {
            return Poll::Ready(());
        }
        self.writer = Some(cx.waker().clone());
        Poll::Pending
    }
}
