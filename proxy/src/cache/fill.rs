//! The task that takes a body in: for the client that asked, for those who joined it, and for the shelf.
//!
//! It reads the network's answer at the network's pace. If nobody reads what it takes in, it stops, and with it the job, as
//! any job does whose client goes away. If the object turns out too long, or the disk fails, those who read it have the
//! rest all the same; it is only not stored.

use std::sync::Arc;

use http_body_util::BodyExt;

use super::Cache;
use super::flights::Lead;
use super::meta::Meta;
use super::stored::{Headed, Held, Hold, Stored};
use super::terms::Terms;
use crate::body::Body;
use crate::clock;
use crate::disk::{Growth, Object, Why, WriteError, Writer};
use crate::metrics::NotStored;

/// What a body is taken into.
#[derive(Debug)]
pub(super) enum Into {
    Memory(Arc<Growth>),
    Disk(Box<Writer>),
}

impl Into {
    pub(super) fn growth(&self) -> &Arc<Growth> {
        match self {
            Self::Memory(growth) => growth,
            Self::Disk(writer) => writer.growth(),
        }
    }

    /// Adds `data`; readers have it whatever comes of this.
    async fn append(&mut self, data: &[u8]) -> Result<(), NotStored> {
        match self {
            Self::Memory(growth) => {
                growth.push(data);
                Ok(())
            }
            Self::Disk(writer) => writer.append(data).await.map_err(|error| match error {
                WriteError::TooLong => NotStored::TooLarge,
                WriteError::NoRoom => NotStored::NoRoom,
                WriteError::Io(error) => {
                    tracing::warn!(%error, "an answer cannot be written to the response cache's disk");
                    NotStored::Disk
                }
            }),
        }
    }
}

/// All that it takes to store an answer.
pub(super) struct Filling {
    pub(super) cache: Arc<Cache>,
    pub(super) key: Vec<u8>,
    /// `None` once it is known that it will not be stored.
    pub(super) lead: Option<Lead>,
    pub(super) head: Arc<Headed>,
    pub(super) into: Into,
    pub(super) len: Option<u64>,
    /// Bytes of it at the most.
    pub(super) most: u64,
    /// Bytes of it that are kept in memory.
    pub(super) small: usize,
    pub(super) body_hold: Hold,
    /// Whether it stops when nobody reads it.
    pub(super) ends_unread: bool,
}

/// Whoever reads a body that is not taken in to its end must hear of it, also if this task is cut.
struct BreaksOff(Arc<Growth>);

impl Drop for BreaksOff {
    fn drop(&mut self) {
        // Of no effect on one that has ended.
        self.0.break_off();
    }
}

/// Takes `body` in, and stores it.
pub(super) async fn fill(mut filling: Filling, mut body: Body) {
    let metrics = Arc::clone(&filling.cache.metrics);
    let growth = Arc::clone(filling.into.growth());
    let _breaks_off = BreaksOff(Arc::clone(&growth));
    if let Err(why) = filling.take_in(&mut body, &growth).await {
        metrics.cache.not_stored(why);
        return;
    }
    if filling.lead.is_none() {
        // It was said why when that was known.
        growth.finish();
        return;
    }
    if let Err(why) = filling.put(&growth).await {
        metrics.cache.not_stored(why);
    }
}

impl Filling {
    async fn take_in(&mut self, body: &mut Body, growth: &Arc<Growth>) -> Result<(), NotStored> {
        loop {
            let watched = self.ends_unread || self.lead.is_none();
            let frame = tokio::select! {
                biased;
                frame = body.frame() => frame,
                () = growth.is_unread(), if watched => return Err(NotStored::BrokeOff),
            };
            let Some(frame) = frame else { break };
            // Trailers were not announced, and are not needed to use what came before them.
            let Ok(data) = frame.map_err(|_| NotStored::BrokeOff)?.into_data() else { continue };
            if self.lead.is_none() {
                tokio::select! {
                    () = growth.has_room() => growth.push(&data),
                    () = growth.is_unread() => return Err(NotStored::BrokeOff),
                }
                continue;
            }
            let appended = self.into.append(&data).await;
            let fits = if growth.len() > self.most { Err(NotStored::TooLarge) } else { Ok(()) };
            if let Err(why) = appended.and(fits) {
                self.gives_up(why, growth);
            }
        }
        let whole = self.len.is_none_or(|len| len == growth.len());
        if whole { Ok(()) } else { Err(NotStored::BrokeOff) }
    }

    /// It will not be stored. Those who read it go on.
    fn gives_up(&mut self, why: NotStored, growth: &Growth) {
        self.cache.metrics.cache.not_stored(why);
        self.lead = None;
        growth.narrow();
    }

    /// Stores what is whole now.
    async fn put(self, growth: &Arc<Growth>) -> Result<(), NotStored> {
        let Self { cache, key, lead, head, into, small, body_hold, .. } = self;
        let disk = match into {
            Into::Memory(growth) => {
                growth.finish();
                None
            }
            Into::Disk(writer) => {
                let committed = writer.commit(&meta(&head).encode()).await;
                let failed = |error: &WriteError| {
                    tracing::warn!(%error, "an answer cannot be written to the response cache's disk");
                    cache.metrics.cache.not_stored(NotStored::Disk);
                };
                committed.inspect_err(failed).ok()
            }
        };
        let len = growth.len();
        let memory = growth.in_memory().filter(|_| len <= small as u64);
        body_hold.shrink_to(len.min(small as u64));
        let memory = memory.map(|bytes| (bytes, body_hold));
        if memory.is_none() && disk.is_none() {
            return Ok(());
        }
        let outdated = lead.as_ref().is_some_and(Lead::is_outdated) || !cache.is_on();
        if outdated {
            cache.unwrite(disk.as_ref());
            return Err(NotStored::Invalidated);
        }
        cache.metrics.cache.stored(len);
        let gone = cache.shelf.put(&key, Stored { head, body: Held::new(len, memory, disk) });
        cache.settle(gone);
        // Only now: whoever comes meanwhile finds the one or the other. And what was changed since is found there, too.
        let outdated = lead.as_ref().is_some_and(Lead::is_outdated);
        drop(lead);
        if outdated {
            cache.drop_all(&key, crate::metrics::Dropped::Invalidated);
        }
        Ok(())
    }
}

impl Cache {
    fn unwrite(&self, object: Option<&Arc<Object>>) {
        if let (Some(disk), Some(object)) = (self.disk.get(), object) {
            disk.remove(object, Why::Removed);
        }
    }
}

/// What is written of a head, as of now.
pub(super) fn meta(head: &Headed) -> Meta {
    let terms = Terms { initial_age: head.age(), ..head.terms.clone() };
    Meta { status: head.status, headers: head.headers.clone(), terms, unix_ms: clock::unix_ms() }
}
