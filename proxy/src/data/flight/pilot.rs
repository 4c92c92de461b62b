//! The task behind a flight: ask, judge the head, fill the object, keep it.

use std::sync::Arc;
use std::time::SystemTime;

use http::{Request, response};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::{Errand, Flight, Phase};
use crate::clock;
use crate::data::Cache;
use crate::data::fetch::{self, FetchError, Upload};
use crate::data::object::{Beginning, Object, Purpose};
use crate::data::outlet::Stream;
use crate::data::{headers, storable};
use crate::metrics::DataRefusal;

/// Who flies. Dropped on the way, by a cancellation or a runtime that ends, it leaves nobody waiting.
pub(super) struct Pilot {
    cache: Arc<Cache>,
    flight: Arc<Flight>,
}

impl Drop for Pilot {
    fn drop(&mut self) {
        let unfinished = match &self.flight.state.lock().phase {
            Phase::Asking => Some(None),
            Phase::Filling(object) => Some(Some(Arc::clone(object))),
            Phase::Whole(_) | Phase::Overflowed(_) | Phase::Passed(_) | Phase::Failed(_) => None,
        };
        if let Some(object) = unfinished {
            self.enter(Phase::Failed(FetchError::Cancelled));
            if let Some(object) = object {
                object.break_off();
            }
        }
        self.cache.flights.remove(&self.flight);
    }
}

impl Pilot {
    pub(super) fn new(cache: &Arc<Cache>, flight: &Arc<Flight>) -> Self {
        Self { cache: Arc::clone(cache), flight: Arc::clone(flight) }
    }

    /// Fetches, and says what comes of it.
    pub(super) async fn fly(self, errand: Errand) {
        let rules = self.cache.rules.load_full();
        let deadline = Instant::now() + rules.way.timeout;
        let asked_at = std::time::Instant::now();
        let mut request = Request::new(Upload::new(None));
        *request.headers_mut() = errand.headers.clone();
        let asking = timeout_at(deadline, fetch::send(&rules.way, &self.flight.key, request)).await;
        let answer = match asking.unwrap_or(Err(FetchError::Timeout)) {
            Ok(answer) => answer,
            Err(why) => return self.fail(why),
        };
        let Some(object) = self.begin(&errand, &answer.0, asked_at) else {
            if errand.purpose == Purpose::Warm {
                // Nobody is to read it here: who has asked meanwhile asks for himself.
                return self.enter(Phase::Passed(None));
            }
            return self.enter(Phase::Passed(Some(Box::new(answer))));
        };
        let (_, stream) = answer;
        self.enter(Phase::Filling(Arc::clone(&object)));
        let began_s = clock::now_s();
        match timeout_at(deadline, self.fill(&errand, &object, stream)).await {
            Ok(Filled::Whole) => {
                object.finish();
                self.measured(&object, began_s);
                self.cache.store.put(&self.flight.key, Arc::clone(&object), errand.purpose);
                self.enter(Phase::Whole(object));
            }
            Ok(Filled::Overflowed(rest)) => {
                self.cache.metrics.data.refused(DataRefusal::NoRoom);
                object.overflow(rest);
                self.enter(Phase::Overflowed(object));
            }
            Ok(Filled::BrokeOff) => self.break_off(&object, FetchError::BrokeOff),
            Ok(Filled::TooMuch) => {
                self.cache.metrics.data.refused(DataRefusal::Allowance);
                self.break_off(&object, FetchError::Cancelled);
            }
            Err(_) => self.break_off(&object, FetchError::Timeout),
        }
    }

    /// An object for this answer, if it may be kept and there is room for it.
    fn begin(&self, errand: &Errand, answer: &response::Parts, asked_at: std::time::Instant) -> Option<Arc<Object>> {
        let Some(terms) = storable::terms(&errand.headers, answer, SystemTime::now()) else {
            self.cache.metrics.data.refused(DataRefusal::NotStorable);
            return None;
        };
        if terms.length.is_some_and(|length| !errand.allows(length)) {
            self.cache.metrics.data.refused(DataRefusal::Allowance);
            return None;
        }
        let begin = Beginning {
            headers: headers::kept(&answer.headers),
            terms,
            purpose: errand.purpose,
            asked_at,
            most_bytes: self.cache.rules.load().object_bytes,
            name_bytes: 2 * self.flight.key.path.as_str().len(),
        };
        let begun = Object::begin(begin, self.cache.memory.share(), &self.cache.metrics);
        begun.inspect_err(|_| self.cache.metrics.data.refused(DataRefusal::NoRoom)).ok().map(Arc::new)
    }

    /// How fast the origin was, if nothing but it and the link can have held the fetch up.
    fn measured(&self, object: &Object, began_s: f64) {
        let now_s = clock::now_s();
        self.cache.link.lock().saw_transfer(object.len(), now_s - began_s, now_s);
    }

    async fn fill(&self, errand: &Errand, object: &Object, mut stream: Stream) -> Filled {
        while let Some(frame) = stream.frame().await {
            let Ok(frame) = frame else { return Filled::BrokeOff };
            // Trailers are not kept: what is said after the body is not needed to use it.
            let Ok(data) = frame.into_data() else { continue };
            // What nobody waits for yet has bounds of its own.
            let is_ahead = errand.purpose == Purpose::Warm && !object.was_read();
            if is_ahead && object.terms.length.is_none() && !errand.allows(data.len() as u64) {
                return Filled::TooMuch;
            }
            if object.append(&data).is_err() {
                stream.unread(data);
                return Filled::Overflowed(Box::new(stream));
            }
            if is_ahead && let Some(until) = self.cache.pace.took(data.len()) {
                tokio::time::sleep_until(until).await;
            }
        }
        let whole = object.terms.length.is_none_or(|length| length == object.len());
        if whole { Filled::Whole } else { Filled::BrokeOff }
    }

    fn break_off(&self, object: &Object, why: FetchError) {
        self.fail(why);
        object.break_off();
    }

    fn fail(&self, why: FetchError) {
        tracing::debug!(error = %why, key = %self.flight.key, "a fetch failed");
        self.cache.metrics.data.refused(DataRefusal::Failed);
        self.enter(Phase::Failed(why));
    }

    fn enter(&self, phase: Phase) {
        let before = std::mem::replace(&mut self.flight.state.lock().phase, phase);
        drop(before);
        self.flight.changed.notify_waiters();
    }
}

/// How the filling of an object ended.
enum Filled {
    Whole,
    /// With what is yet to come.
    Overflowed(Box<Stream>),
    BrokeOff,
    /// More than may be fetched ahead for one job.
    TooMuch,
}

impl Errand {
    /// Whether so much more may be fetched ahead for its job.
    fn allows(&self, bytes: u64) -> bool {
        self.allowance.as_ref().is_none_or(|allowance| allowance.spend(bytes))
    }
}
