//! From a request to a [`Job`]: which route, which class, how urgent, what may be done with it.
//!
//! Only facts are collected here. What follows from them is the policy's.

use config::value::{ClassBy, Mode, Route};
use http::{HeaderMap, Method, Request, header};
use http_body::Body as _;
use policy::job::{EXTRACTED, mode};
use policy::{ClassId, Job, NetworkSet, ShadowMode, Urgency};

use crate::body::Body;
use crate::clock;
use crate::generation::Generation;
use crate::oracle::names::UNROUTED;
use crate::path::Located;
use crate::peer::Mark;

/// A job and the route it came by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Classified {
    pub(super) job: Job,
    pub(super) route: Option<usize>,
}

/// Looks at a request. `class_of` says which class a route's name for it is. `id` seeds the job's draw, so that the same id
/// always draws the same.
pub(super) fn classify(
    generation: &Generation,
    located: &Located,
    class_of: impl FnOnce(&str, &str) -> ClassId,
    request: &Request<Body>,
    mark: &Mark,
    upgrading: bool,
    id: u64,
) -> Classified {
    let config = &generation.config;
    let (method, path, headers) = (request.method(), request.uri().path(), request.headers());
    let draw = draw(id);
    let body_bytes = request.body().size_hint().exact();
    let spoolable = !upgrading && !is_two_way(headers) && body_bytes.is_none_or(|b| b <= config.spool.body_bytes);
    let routed = config.route(method, path, headers);
    let class = match routed {
        Some((_, route)) => class_of(&route.name, class_name(route, request).unwrap_or("")),
        None => class_of(UNROUTED, ""),
    };
    let unrouted = Job {
        class,
        urgency: urgency(headers).unwrap_or_default(),
        mode: ShadowMode::Off,
        residency: NetworkSet::only(config.home),
        repeatable: method.is_safe(),
        spoolable,
        hold: false,
        last_hop: mark.is_last_hop(),
        located: None,
        leaves_twin: false,
        body_bytes,
        input_bytes: None,
        hour: clock::hour_utc(),
        extracted: [f32::NAN; EXTRACTED],
        draw,
    };
    let Some((place, route)) = routed else {
        return Classified { job: unrouted, route: None };
    };
    let job = Job {
        urgency: unrouted.urgency.clamp_between(route.urgency_most, route.urgency_least),
        mode: mode(asked(route.shadow), route.rollout, config.shadow.enabled, draw),
        residency: route.residency,
        repeatable: is_repeatable(route, method, headers),
        hold: route.hold,
        leaves_twin: route.asynchronous.delete.is_none() && located.is_marked(&route.name),
        extracted: extracted(route, request),
        ..unrouted
    };
    Classified { job, route: Some(place) }
}

fn asked(mode: Mode) -> ShadowMode {
    match mode {
        Mode::Off => ShadowMode::Off,
        Mode::Observe => ShadowMode::Observe,
        Mode::On => ShadowMode::On,
    }
}

fn is_repeatable(route: &Route, method: &Method, headers: &HeaderMap) -> bool {
    method.is_safe() || route.repeatable || (route.shared_idempotency && headers.contains_key("idempotency-key"))
}

/// A stream that both sides write to at once is never copied: its body may never end before its answer does.
fn is_two_way(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"))
}

/// The `u` parameter of `Priority` (RFC 9218 §4.1); what is malformed is as if it were not there.
fn urgency(headers: &HeaderMap) -> Option<Urgency> {
    let priority = headers.get("priority")?.to_str().ok()?;
    let u = priority.split(',').find_map(|member| member.trim().strip_prefix("u="))?;
    u.parse().ok().and_then(Urgency::new)
}

fn class_name<'r>(route: &Route, request: &'r Request<Body>) -> Option<&'r str> {
    value(route.class_by.as_ref()?, request)
}

fn extracted(route: &Route, request: &Request<Body>) -> [f32; EXTRACTED] {
    let mut numbers = [f32::NAN; EXTRACTED];
    for (number, extract) in numbers.iter_mut().zip(&route.extract) {
        let parsed = value(&extract.from, request).and_then(|v| v.parse::<f32>().ok());
        *number = parsed.filter(|n| n.is_finite()).unwrap_or(f32::NAN);
    }
    numbers
}

pub(super) fn value<'r>(from: &ClassBy, request: &'r Request<Body>) -> Option<&'r str> {
    match from {
        ClassBy::Header(name) => request.headers().get(name)?.to_str().ok(),
        ClassBy::Query(name) => request.uri().query()?.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (key == name).then_some(value)
        }),
        ClassBy::Segment(number) => request.uri().path().split('/').skip(1).nth(*number),
    }
}

/// A uniform draw from 0..1 (SplitMix64, Steele, Lea and Flood 2014: consecutive ids give independent draws).
fn draw(id: u64) -> f64 {
    let mut z = id.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_urgency(priority: &str, expected: Option<u8>) {
        let headers = HeaderMap::from_iter([("priority".parse().expect("a name"), priority.parse().expect("a value"))]);
        assert_eq!(urgency(&headers).map(Urgency::level), expected, "{priority}");
    }

    #[test]
    fn urgency_is_read_as_rfc_9218_writes_it() {
        check_urgency("u=0", Some(0));
        check_urgency("i, u=5", Some(5));
        check_urgency("u=2,i", Some(2));
        check_urgency("u=8", None);
        check_urgency("u=-1", None);
        check_urgency("i", None);
        check_urgency("urgent", None);
    }

    #[test]
    fn values_come_from_where_the_route_says() {
        let request = Request::get("/render/fractal/9?kind=deep&size=32&empty")
            .header("x-kind", "scene")
            .body(Body::Empty)
            .expect("a request");
        let check = |from: ClassBy, expected: Option<&str>| assert_eq!(value(&from, &request), expected, "{from:?}");
        check(ClassBy::Segment(0), Some("render"));
        check(ClassBy::Segment(2), Some("9"));
        check(ClassBy::Segment(3), None);
        check(ClassBy::Query("size".into()), Some("32"));
        check(ClassBy::Query("empty".into()), Some(""));
        check(ClassBy::Query("none".into()), None);
        check(ClassBy::Header("x-kind".parse().expect("a name")), Some("scene"));
    }

    #[test]
    fn draws_are_spread() {
        let mean = (0..10_000).map(draw).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
