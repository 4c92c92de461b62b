//! What is asked of the side that serves a shadow, and what that side says it gave: caps, as they stand in a header.
//!
//! Reading is strict, each parameter once and no other: a shadow whose bounds are half understood would run with the wrong
//! ones.

use http::HeaderValue;
use policy::{Caps, Level};

use super::is_id;

/// What is asked of the side that serves a shadow.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShadowAsk {
    /// What the sender calls it.
    pub(crate) id: Box<str>,
    /// How much shadow the job's urgency buys there.
    pub(crate) level: Level,
    /// What that comes to; its window is how long the shadow may run before it is adopted.
    pub(crate) caps: Caps,
}

/// The longest window, milliseconds: a day. What is asked beyond that is no time.
const WINDOW_MOST_MS: u64 = 86_400_000;

impl ShadowAsk {
    pub(super) fn read(value: &HeaderValue) -> Option<Self> {
        let (mut id, mut level, mut caps) = (None, None, Partial::default());
        for parameter in value.to_str().ok()?.split(';') {
            match parameter.trim().split_once('=')? {
                ("id", v) if id.is_none() && is_id(v) => id = Some(v.into()),
                ("level", v) if level.is_none() => level = Some(Level::named(v)?),
                (name, v) => caps.read(name, v)?,
            }
        }
        Some(Self { id: id?, level: level?, caps: caps.whole()? })
    }

    /// The header it is read from.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        let Self { id, level, caps } = self;
        format!("id={id}; level={}; {}", level.as_str(), parameters(caps)).parse().ok()
    }
}

/// The header that says which caps a shadow was given.
pub(crate) fn granted(caps: &Caps) -> Option<HeaderValue> {
    parameters(caps).parse().ok()
}

fn parameters(caps: &Caps) -> String {
    let Caps { cpu_share, memory_bytes, bytes_per_s, window_s } = caps;
    let window_ms = (window_s * 1e3).round() as u64;
    format!("cpu={cpu_share}; memory={memory_bytes}; bytes_per_s={bytes_per_s}; window_ms={window_ms}")
}

/// Caps of which some are known.
#[derive(Debug, Default)]
struct Partial {
    cpu_share: Option<f64>,
    memory_bytes: Option<u64>,
    bytes_per_s: Option<f64>,
    window_ms: Option<u64>,
}

impl Partial {
    /// Takes one parameter in; `None` if it is not one of these, or not a figure that can be, or there already.
    fn read(&mut self, name: &str, value: &str) -> Option<()> {
        let figure = || value.parse().ok().filter(|figure: &f64| figure.is_finite() && *figure > 0.0);
        match name {
            "cpu" if self.cpu_share.is_none() => self.cpu_share = Some(figure()?),
            "memory" if self.memory_bytes.is_none() => {
                self.memory_bytes = Some(value.parse().ok().filter(|bytes| *bytes > 0)?);
            }
            "bytes_per_s" if self.bytes_per_s.is_none() => self.bytes_per_s = Some(figure()?),
            "window_ms" if self.window_ms.is_none() => {
                self.window_ms = Some(value.parse().ok().filter(|ms| *ms <= WINDOW_MOST_MS)?);
            }
            _ => return None,
        }
        Some(())
    }

    fn whole(self) -> Option<Caps> {
        Some(Caps {
            cpu_share: self.cpu_share?,
            memory_bytes: self.memory_bytes?,
            bytes_per_s: self.bytes_per_s?,
            window_s: self.window_ms? as f64 / 1e3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps { cpu_share: 0.25, memory_bytes: 1 << 29, bytes_per_s: 4e6, window_s: 0.25 };

    #[test]
    fn what_is_asked_of_a_shadow_is_read_strictly() {
        let check = |header: &str, expected: Option<ShadowAsk>| {
            let ask = ShadowAsk::read(&HeaderValue::from_str(header).expect("a header value"));
            assert_eq!(ask, expected, "{header}");
        };
        let whole = "id=a1-2; level=low; cpu=0.25; memory=536870912; bytes_per_s=4000000; window_ms=250";
        check(whole, Some(ShadowAsk { id: "a1-2".into(), level: Level::Low, caps: CAPS }));
        for part in whole.split("; ") {
            let (name, _) = part.split_once('=').expect("a parameter");
            check(&whole.replace(&format!("{part}; "), "").replace(&format!("; {part}"), ""), None);
            check(&format!("{whole}; {part}"), None);
            for value in ["", "a b", "+_", "1,5"] {
                check(&whole.replace(part, &format!("{name}={value}")), None);
            }
        }
        for value in ["0", "-1", "NaN", "inf"] {
            check(&whole.replace("cpu=0.25", &format!("cpu={value}")), None);
            check(&whole.replace("memory=536870912", &format!("memory={value}")), None);
            check(&whole.replace("bytes_per_s=4000000", &format!("bytes_per_s={value}")), None);
        }
        check(&whole.replace("window_ms=250", "window_ms=86400001"), None);
        check(&format!("{whole}; weight=9"), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for level in Level::ALL {
            let ask = ShadowAsk { id: "f00-1".into(), level, caps: CAPS };
            assert_eq!(ShadowAsk::read(&ask.header().expect("a header")), Some(ask));
        }
        let granted = granted(&CAPS).expect("a header");
        assert_eq!(granted, "cpu=0.25; memory=536870912; bytes_per_s=4000000; window_ms=250");
    }
}
