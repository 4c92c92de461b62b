//! What is written to disk about a stored answer, beside its body, and its name there.
//!
//! A form of its own, and read with suspicion: what does not add up is no answer. Times are in milliseconds since 1970; an
//! answer from the future says that a clock was set, so nobody knows how old it is, and it is not taken up.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::terms::Terms;

const VERSION: u8 = 1;

/// What is written of a head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// As of when it was written.
    pub(super) terms: Terms,
    pub(super) unix_ms: u64,
}

impl Meta {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Terms { lifetime, initial_age, stale_while_revalidate, stale_if_error, is_public, varies_by } = &self.terms;
        let mut out = vec![VERSION, u8::from(*is_public)];
        out.extend(self.status.as_u16().to_le_bytes());
        let millis = |duration: &Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let times = [lifetime, initial_age, stale_while_revalidate, stale_if_error].map(millis);
        times.iter().chain([&self.unix_ms]).for_each(|time| out.extend(time.to_le_bytes()));
        out.extend((varies_by.len() as u32).to_le_bytes());
        varies_by.iter().for_each(|(name, value)| pair(&mut out, name, value));
        out.extend((self.headers.len() as u32).to_le_bytes());
        self.headers.iter().for_each(|(name, value)| pair(&mut out, name, value.as_bytes()));
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let [VERSION, public @ (0 | 1)] = *rest.take(2)? else { return None };
        let status = StatusCode::from_u16(u16::from_le_bytes(rest.take(2)?.try_into().ok()?)).ok()?;
        let mut time = || Some(u64::from_le_bytes(rest.take(8)?.try_into().ok()?));
        let mut duration = || time().map(Duration::from_millis);
        let (lifetime, initial_age) = (duration()?, duration()?);
        let (stale_while_revalidate, stale_if_error) = (duration()?, duration()?);
        let unix_ms = time()?;
        let mut varies_by = Vec::new();
        for _ in 0..rest.count()? {
            let (name, value) = rest.pair()?;
            varies_by.push((name, value.to_vec()));
        }
        let mut headers = HeaderMap::new();
        for _ in 0..rest.count()? {
            let (name, value) = rest.pair()?;
            headers.append(name, HeaderValue::from_bytes(value).ok()?);
        }
        let is_public = public == 1;
        let terms = Terms { lifetime, initial_age, stale_while_revalidate, stale_if_error, is_public, varies_by };
        rest.0.is_empty().then_some(Self { status, headers, terms, unix_ms })
    }
}

/// What an answer is called on disk: the name it is looked for by, and what it varies by.
pub(super) fn disk_key(key: &[u8], terms: &Terms) -> Vec<u8> {
    let mut out = (key.len() as u32).to_le_bytes().to_vec();
    out.extend_from_slice(key);
    terms.varies_by.iter().for_each(|(name, value)| pair(&mut out, name, value));
    out
}

/// The name it is looked for by.
pub(super) fn key_of(disk_key: &[u8]) -> Option<&[u8]> {
    let (len, rest) = disk_key.split_first_chunk::<4>()?;
    rest.get(..u32::from_le_bytes(*len) as usize)
}

fn pair(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    for part in [name.as_str().as_bytes(), value] {
        out.extend((part.len() as u32).to_le_bytes());
        out.extend_from_slice(part);
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn count(&mut self) -> Option<usize> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?) as usize)
    }

    fn pair(&mut self) -> Option<(HeaderName, &'a [u8])> {
        let bytes = self.count()?;
        let name = HeaderName::from_bytes(self.take(bytes)?).ok()?;
        let bytes = self.count()?;
        Some((name, self.take(bytes)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn meta() -> Meta {
        let mut headers = HeaderMap::new();
        headers.append("etag", HeaderValue::from_static("\"a\""));
        headers.append("x-raw", HeaderValue::from_bytes(b"\xff\xfe").expect("a value"));
        headers.append("etag", HeaderValue::from_static("\"b\""));
        let seconds = Duration::from_secs;
        let terms = Terms {
            lifetime: seconds(60),
            initial_age: seconds(1),
            stale_while_revalidate: seconds(2),
            stale_if_error: seconds(3),
            is_public: true,
            varies_by: vec![(http::header::ACCEPT, b"text/html".to_vec())],
        };
        Meta { status: StatusCode::NOT_FOUND, headers, terms, unix_ms: 1_234_567 }
    }

    #[test]
    fn what_is_written_is_read() {
        let meta = meta();
        assert_eq!(Meta::decode(&meta.encode()).as_ref(), Some(&meta));
        assert_eq!(key_of(&disk_key(b"name", &meta.terms)), Some(&b"name"[..]));
    }

    proptest! {
        #[test]
        fn nothing_that_is_cut_or_long_is_read(cut in 1..40_usize, more in 1..9_usize) {
            let whole = meta().encode();
            prop_assert_eq!(Meta::decode(&whole[..whole.len() - cut]), None);
            let mut long = whole;
            long.extend(std::iter::repeat_n(0, more));
            prop_assert_eq!(Meta::decode(&long), None);
        }

        #[test]
        fn no_bytes_are_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _read_or_not = (Meta::decode(&bytes), key_of(&bytes));
        }
    }
}
