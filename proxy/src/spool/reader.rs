//! A whole copy, read from its start at its reader's pace.
//!
//! The file is read by a blocking thread in pieces, one piece ahead of what was asked for: enough to hide the disk, and
//! all that a reader which hangs can hold.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::task::JoinHandle;

use super::copy::Whole;
use crate::body::BodyError;

/// Bytes read from the file at a time.
const READ_BYTES: u64 = 128 << 10;

/// A whole copy, read from its start.
#[derive(Debug)]
pub(crate) struct Reader {
    /// `None` if there is nothing to read.
    whole: Option<Arc<Whole>>,
    /// The next piece in memory.
    piece: usize,
    /// The next of those that the disk did not take.
    unwritten: usize,
    /// Bytes of the file that were read or are being read.
    asked_bytes: u64,
    ahead: Option<JoinHandle<io::Result<Bytes>>>,
    remaining_bytes: u64,
    trailers: Trailers,
    broken: bool,
}

/// Where the reader stands with the trailers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trailers {
    None,
    ToCome,
}

impl Reader {
    pub(super) fn new(whole: Arc<Whole>) -> Self {
        let trailers = if whole.trailers.is_some() { Trailers::ToCome } else { Trailers::None };
        let remaining_bytes = whole.length;
        Self {
            whole: Some(whole),
            piece: 0,
            unwritten: 0,
            asked_bytes: 0,
            ahead: None,
            remaining_bytes,
            trailers,
            broken: false,
        }
    }

    pub(super) fn empty() -> Self {
        Self {
            whole: None,
            piece: 0,
            unwritten: 0,
            asked_bytes: 0,
            ahead: None,
            remaining_bytes: 0,
            trailers: Trailers::None,
            broken: false,
        }
    }

    pub(super) fn not_whole() -> Self {
        Self { broken: true, ..Self::empty() }
    }

    /// Asks for the file's next piece, once memory is behind and if none is asked for yet.
    fn read_ahead(&mut self, whole: &Whole) {
        let left = whole.disk_bytes - self.asked_bytes;
        if let Some(disk) = &whole.disk
            && self.ahead.is_none()
            && self.piece == whole.memory.len()
            && left > 0
        {
            let (disk, offset, len) = (Arc::clone(disk), self.asked_bytes, left.min(READ_BYTES));
            self.asked_bytes += len;
            self.ahead = Some(tokio::task::spawn_blocking(move || disk.read(offset, len as usize)));
        }
    }

    fn poll_data(&mut self, whole: &Whole, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let data = if let Some(data) = whole.memory.get(self.piece) {
            self.piece += 1;
            data.clone()
        } else {
            self.read_ahead(whole);
            match &mut self.ahead {
                Some(ahead) => {
                    let read = ready!(Pin::new(ahead).poll(cx));
                    self.ahead = None;
                    read.map_err(io::Error::other).flatten()?
                }
                None => {
                    let Some(data) = whole.unwritten.get(self.unwritten) else { return Poll::Ready(Ok(None)) };
                    self.unwritten += 1;
                    data.clone()
                }
            }
        };
        self.remaining_bytes -= data.len() as u64;
        self.read_ahead(whole);
        Poll::Ready(Ok(Some(data)))
    }
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if std::mem::take(&mut this.broken) {
            return Poll::Ready(Some(Err(BodyError::Spool(io::Error::other("the copy is not whole")))));
        }
        let Some(whole) = this.whole.clone() else { return Poll::Ready(None) };
        match ready!(this.poll_data(&whole, cx)) {
            Ok(Some(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Ok(None) => {
                this.whole = None;
                this.trailers = Trailers::None;
                Poll::Ready(whole.trailers.clone().map(|trailers| Ok(Frame::trailers(trailers))))
            }
            Err(error) => {
                this.whole = None;
                Poll::Ready(Some(Err(BodyError::Spool(error))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        !self.broken && self.remaining_bytes == 0 && self.trailers == Trailers::None
    }

    /// Exact, so that a `Content-Length` goes out, unless there are trailers: HTTP/1.1 has those only behind chunks.
    fn size_hint(&self) -> SizeHint {
        if self.broken {
            return SizeHint::default();
        }
        let mut hint = SizeHint::with_exact(self.remaining_bytes);
        if self.trailers == Trailers::ToCome {
            hint = SizeHint::new();
            hint.set_lower(self.remaining_bytes);
        }
        hint
    }
}
