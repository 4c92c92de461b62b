//! What a dispatch has read of the inputs that it declares, as the egress sees it.
//!
//! A service that knows nothing of adumbra does not say which job it fetches for, and with several jobs at once nothing else
//! does. So adumbra tells the service a name with the job, in two headers that such services may well pass on by themselves:
//! `baggage` (W3C), which instrumented services propagate, and `adumbra-dispatch`, which one line of code can. What comes
//! back with neither is counted for nobody: to guess would be to compare one job's reading with another's work.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use http::{HeaderMap, HeaderValue, Uri};
use parking_lot::Mutex;
use policy::progress::Reading;

use crate::clock;
use crate::peer::DISPATCH;

/// What services pass on that are instrumented: `baggage`, a list of names and values (W3C Baggage).
const BAGGAGE: &str = "baggage";
/// The most dispatches that are watched.
const READERS_MOST: usize = 4096;

/// The dispatches that are watched, by the name the service was told.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    known: Mutex<HashMap<Box<str>, Arc<Reader>>>,
}

/// One dispatch, and how far it has read what it declares.
#[derive(Debug)]
pub(crate) struct Reader {
    inputs: Vec<Input>,
    began_s: f64,
    /// Microseconds in which it waited for us or for an origin.
    waited_us: AtomicU64,
}

#[derive(Debug)]
struct Input {
    url: Uri,
    read_bytes: AtomicU64,
    /// 0 while nobody knows.
    bytes: AtomicU64,
}

/// A dispatch's place among the readers, until it is dropped.
#[derive(Debug)]
pub(crate) struct Watched<'c> {
    readers: &'c Readers,
    id: Box<str>,
    reader: Arc<Reader>,
}

impl Readers {
    /// Watches what the dispatch called `id` reads of `inputs`. `None` if there is nothing to watch, or too much.
    pub(crate) fn watch(&self, id: &str, inputs: &[Uri]) -> Option<Watched<'_>> {
        let input = |url: &Uri| Input { url: url.clone(), read_bytes: AtomicU64::new(0), bytes: AtomicU64::new(0) };
        let mut known = self.known.lock();
        if inputs.is_empty() || known.len() >= READERS_MOST || known.contains_key(id) {
            return None;
        }
        let inputs = inputs.iter().map(input).collect();
        let reader = Arc::new(Reader { inputs, began_s: clock::now_s(), waited_us: AtomicU64::new(0) });
        known.insert(id.into(), Arc::clone(&reader));
        drop(known);
        Some(Watched { readers: self, id: id.into(), reader })
    }

    /// The dispatch that a request for data says it is for, and which input of it is asked for.
    pub(super) fn of(&self, headers: &HeaderMap, url: &Uri) -> Option<Portion> {
        let known = self.known.lock();
        if known.is_empty() {
            return None;
        }
        let reader = Arc::clone(known.get(name_in(headers)?)?);
        drop(known);
        let place = reader.inputs.iter().position(|input| input.url == *url)?;
        Some(Portion { reader, place, read_bytes: 0, waits_since_s: Some(clock::now_s()) })
    }
}

impl Watched<'_> {
    /// How the inputs are being read; `None` while the size of one is not known, neither from fetching it nor to `size`.
    pub(crate) fn reading(&self, size: impl Fn(&Uri) -> Option<u64>) -> Option<Reading> {
        let Reader { inputs, began_s, waited_us } = &*self.reader;
        let (mut taken_bytes, mut total_bytes) = (0_u64, 0_u64);
        for input in inputs {
            if input.bytes.load(Relaxed) == 0 {
                input.bytes.store(size(&input.url)?, Relaxed);
            }
            let bytes = input.bytes.load(Relaxed);
            total_bytes = total_bytes.saturating_add(bytes);
            taken_bytes = taken_bytes.saturating_add(input.read_bytes.load(Relaxed).min(bytes));
        }
        let elapsed_s = clock::now_s() - began_s;
        let held_s = (elapsed_s - waited_us.load(Relaxed) as f64 / 1e6).max(0.0);
        // The service is beside us. One input comes through one connection, with all that lies unread in it.
        let in_one = inputs.len() == 1;
        Some(Reading { taken_bytes, total_bytes, elapsed_s, held_s, link_bytes_per_s: Some(0.0), in_one })
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.readers.known.lock().remove(&self.id);
    }
}

/// One input on its way to a dispatch that is watched.
#[derive(Debug)]
pub(crate) struct Portion {
    reader: Arc<Reader>,
    place: usize,
    read_bytes: u64,
    /// Since when the service waits for more of it.
    waits_since_s: Option<f64>,
}

impl Portion {
    /// So many bytes of it there are.
    pub(super) fn is_of(&self, bytes: u64) {
        self.reader.inputs[self.place].bytes.store(bytes, Relaxed);
    }

    /// The service waits for more, and there is none yet.
    pub(super) fn waits(&mut self) {
        self.waits_since_s.get_or_insert_with(clock::now_s);
    }

    /// The service has taken so many more.
    pub(super) fn took(&mut self, bytes: u64) {
        self.waited();
        self.read_bytes += bytes;
        self.reader.inputs[self.place].read_bytes.fetch_max(self.read_bytes, Relaxed);
    }

    fn waited(&mut self) {
        if let Some(since_s) = self.waits_since_s.take() {
            self.reader.waited_us.fetch_add(((clock::now_s() - since_s) * 1e6) as u64, Relaxed);
        }
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.waited();
    }
}

/// Tells a service the name of the dispatch, as far as it may be passed on with what it fetches.
pub(crate) fn tell(headers: &mut HeaderMap, id: &str) {
    forget(headers);
    if let Ok(member) = HeaderValue::from_str(&format!("{DISPATCH}={id}")) {
        headers.append(BAGGAGE, member);
    }
}

/// Takes that name out of the baggage again: nobody but us has a use for it.
pub(super) fn forget(headers: &mut HeaderMap) {
    let ours = |member: &&str| member.split_once('=').is_some_and(|(name, _)| name.trim() == DISPATCH);
    let values: Vec<HeaderValue> = headers.get_all(BAGGAGE).iter().cloned().collect();
    if !values.iter().any(|value| value.to_str().is_ok_and(|text| text.split(',').any(|m| ours(&m)))) {
        return;
    }
    headers.remove(BAGGAGE);
    for value in values {
        let Ok(text) = value.to_str() else {
            headers.append(BAGGAGE, value);
            continue;
        };
        let rest: Vec<&str> = text.split(',').filter(|member| !ours(member)).collect();
        if let Some(rest) = HeaderValue::from_str(rest.join(",").trim()).ok().filter(|rest| !rest.is_empty()) {
            headers.append(BAGGAGE, rest);
        }
    }
}

/// The name of a dispatch that headers carry.
pub(super) fn name_in(headers: &HeaderMap) -> Option<&str> {
    if let Some(name) = headers.get(DISPATCH) {
        return name.to_str().ok();
    }
    let members = headers.get_all(BAGGAGE).iter().filter_map(|value| value.to_str().ok());
    let named = members.flat_map(|text| text.split(',')).filter_map(|member| member.split_once('='));
    // A value may have properties after it.
    let value = |(name, value): (&str, _)| (name.trim() == DISPATCH).then_some(value);
    named.filter_map(value).map(|value: &str| value.split(';').next().unwrap_or(value).trim()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(baggage: &[&str]) -> HeaderMap {
        let value = |text: &&str| HeaderValue::from_str(text).expect("a header value");
        baggage.iter().map(|text| (http::HeaderName::from_static(BAGGAGE), value(text))).collect()
    }

    fn url(path: &str) -> Uri {
        format!("http://data.example:80{path}").parse().expect("a URL")
    }

    #[test]
    fn a_name_travels_in_the_baggage_beside_what_is_there() {
        let check = |before: &[&str], after: &[&str]| {
            let mut headers = headers(before);
            tell(&mut headers, "1f-2-s1");
            assert_eq!(headers.get_all(BAGGAGE).iter().collect::<Vec<_>>(), after, "{before:?}");
            assert_eq!(name_in(&headers), Some("1f-2-s1"), "{before:?}");
            forget(&mut headers);
            assert_eq!(name_in(&headers), None, "{before:?}");
        };
        check(&[], &["adumbra-dispatch=1f-2-s1"]);
        check(&["tenant=a;x=1, user=b"], &["tenant=a;x=1, user=b", "adumbra-dispatch=1f-2-s1"]);
        // What somebody else claims is dropped.
        check(&["adumbra-dispatch=forged"], &["adumbra-dispatch=1f-2-s1"]);
        check(&["a=1,adumbra-dispatch = forged;x", "b=2"], &["a=1", "b=2", "adumbra-dispatch=1f-2-s1"]);
        assert_eq!(name_in(&headers(&["a=1, adumbra-dispatch = x1 ; p=2"])), Some("x1"));
        assert_eq!(name_in(&headers(&["adumbra-dispatcher=x"])), None);
    }

    #[test]
    fn reading_is_counted_for_who_it_is_said_to_be_for() {
        let readers = Readers::default();
        let watched = readers.watch("x", &[url("/a"), url("/b")]).expect("there is room");
        assert!(readers.watch("x", &[url("/a")]).is_none(), "the name is taken");
        let mut named = HeaderMap::new();
        tell(&mut named, "x");
        assert!(readers.of(&HeaderMap::new(), &url("/a")).is_none());
        assert!(readers.of(&named, &url("/c")).is_none(), "it was not declared");
        let mut portion = readers.of(&named, &url("/a")).expect("it is declared");
        portion.took(30);
        portion.took(30);
        // The same again counts once, and no more than there is.
        readers.of(&named, &url("/a")).expect("it is declared").took(40);
        readers.of(&named, &url("/b")).expect("it is declared").took(500);
        let reading = watched.reading(|_| Some(100)).expect("all sizes are known");
        assert_eq!((reading.taken_bytes, reading.total_bytes, reading.in_one), (160, 200, false));
        drop(watched);
        assert!(readers.of(&named, &url("/a")).is_none());
    }

    #[test]
    fn without_every_size_nothing_is_said() {
        let readers = Readers::default();
        let watched = readers.watch("x", &[url("/a"), url("/b")]).expect("there is room");
        let mut named = HeaderMap::new();
        tell(&mut named, "x");
        readers.of(&named, &url("/a")).expect("it is declared").is_of(10);
        assert_eq!(watched.reading(|_| None), None);
        readers.of(&named, &url("/b")).expect("it is declared").is_of(10);
        assert_eq!(watched.reading(|_| None).map(|r| r.total_bytes), Some(20));
        assert!(readers.watch("none", &[]).is_none());
    }
}
