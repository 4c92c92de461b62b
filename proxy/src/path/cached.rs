//! Requests that the response cache may have a part in. What it answers is no job; what it cannot answer goes
//! [`onward`] as it would without a cache, and what comes back may be stored.

use http::{Request, Response};

use super::course::Head;
use super::{Arrival, From, onward};
use crate::body::Body;
use crate::cache::{Asked, Changing, Fetch, Found, Looked, Received, Said, Scheme, Staleness, Turn, said};
use crate::metrics::Bypass;
use crate::peer::Mark;
use crate::problem::Problem;

/// How often a request looks again, because another one's fetch came to nothing, before it goes by itself.
const TURNS: usize = 4;

/// Answers a request of a stranger's.
pub(super) async fn answer(arrival: &Arrival, request: Request<Body>) -> Response<Body> {
    let cache = &arrival.shared.cache;
    if !request.method().is_safe() {
        return changing(arrival, request).await;
    }
    let asked = match asked(arrival, &request) {
        None => return onward(arrival, request, Mark::None).await,
        Some(Err(why)) => return past(arrival, request, why).await,
        Some(Ok(asked)) => asked,
    };
    for _ in 0..TURNS {
        let found = match cache.look(&asked, request.headers()) {
            Looked::Fresh(found) => match cache.answer(&asked, request.headers(), &found, Staleness::Fresh).await {
                Some(answer) => return answer,
                None => continue,
            },
            Looked::Stale(found) => {
                revalidate(arrival, &asked, &request, &found);
                match cache.answer(&asked, request.headers(), &found, Staleness::Stale).await {
                    Some(answer) => return answer,
                    None => continue,
                }
            }
            Looked::Outdated(found) => Some(found),
            Looked::Nothing => None,
        };
        if asked.is_only_for_what_is_stored() {
            return not_cached(arrival);
        }
        if let Some(why) = asked.cannot_be_fetched_for() {
            return past(arrival, request, why).await;
        }
        match cache.turn_of(&asked, request.headers(), found).await {
            Turn::Fetches(fetch) => return fetched(arrival, request, fetch).await,
            Turn::Shares(shared) => return cache.answer_shared(&asked, request.headers(), shared),
            Turn::Alone(why) => return past(arrival, request, why).await,
            Turn::Again => {}
        }
    }
    past(arrival, request, Bypass::Waited).await
}

/// What the request asks of the cache; `None` if its route is not cached.
fn asked(arrival: &Arrival, request: &Request<Body>) -> Option<Result<Asked, Bypass>> {
    let shared = &arrival.shared;
    let From::Stranger(forwarded) = &arrival.from else { return None };
    let generation = shared.generation.load();
    let (_, route) = generation.config.route(request.method(), request.uri().path(), request.headers())?;
    if !route.cache {
        return None;
    }
    // How a job is that was accepted before is watched on its way.
    let target = request.uri().path_and_query()?;
    if shared.located.find(target.as_str()).is_some() {
        return Some(Err(Bypass::Asynchronous));
    }
    let scheme = if forwarded.is_encrypted() { Scheme::Https } else { Scheme::Http };
    Some(shared.cache.ask(scheme, &route.name, request))
}

/// A request past the cache.
async fn past(arrival: &Arrival, request: Request<Body>, why: Bypass) -> Response<Body> {
    arrival.shared.metrics.cache.bypassed(why);
    said(onward(arrival, request, Mark::None).await, Said::Bypassed(why))
}

/// A request that may change what is stored, whatever its route.
async fn changing(arrival: &Arrival, request: Request<Body>) -> Response<Body> {
    let changing = Changing::of(&request);
    let response = onward(arrival, request, Mark::None).await;
    arrival.shared.cache.changed(&changing, response.status(), response.headers());
    response
}

/// Fetches what is not stored, or not fresh.
async fn fetched(arrival: &Arrival, mut request: Request<Body>, mut fetch: Fetch) -> Response<Body> {
    let head = Head::of(&request);
    loop {
        fetch.prepare(&mut request);
        let response = onward(arrival, request, Mark::None).await;
        match arrival.shared.cache.receive(fetch, response).await {
            Received::Answer(answer) => return answer,
            // At most once: it has nothing to validate any more.
            Received::Again(whole) => {
                fetch = whole;
                request = head.request(Body::Empty);
            }
        }
    }
}

/// Has what is stale validated while it is given out.
fn revalidate(arrival: &Arrival, asked: &Asked, request: &Request<Body>, found: &Found) {
    let Some((fetch, room)) = arrival.shared.cache.revalidation(asked, request.headers(), found) else { return };
    let request = Head::of(request).get();
    let (arrival, owner) = (arrival.clone(), arrival.owner.clone());
    owner.run_on(async move {
        let _room = room;
        drop(Box::pin(fetched(&arrival, request, fetch)).await);
    });
}

fn not_cached(arrival: &Arrival) -> Response<Body> {
    let detail = "the request says `only-if-cached`, and there is nothing fresh for it";
    said(super::refuse(&arrival.shared, Problem::NotCached, detail), Said::NotCached)
}
