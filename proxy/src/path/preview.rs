//! What would be planned for a request now. Nothing is spent, started or counted: `explain` may be asked as often as one
//! likes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::Request;
use policy::gate;

use super::classify::{Classified, classify};
use super::needs::{self, Looked, Needs};
use super::view;
use crate::admin::{Asked, Preview};
use crate::body::Body;
use crate::clock;
use crate::generation::{Generation, Shared};
use crate::hygiene;
use crate::peer::Mark;
use crate::upstream::Upload;

/// Classifies and plans as the path does. `None` for a request that the path would refuse.
pub(crate) fn preview(shared: &Arc<Shared>, generation: &Arc<Generation>, asked: &Asked) -> Option<Preview> {
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = asked.method.clone();
    *request.uri_mut() = asked.uri.clone();
    *request.headers_mut() = asked.headers.clone();
    request.headers_mut().entry(http::header::HOST).or_insert(http::HeaderValue::from_static("localhost"));
    hygiene::check(&mut request).ok()?;
    let id = shared.jobs.load(Ordering::Relaxed);
    let mut class = Box::default();
    let class_of = |route: &str, name: &str| {
        let (id, called) = shared.classes.would_be(route, name);
        class = called;
        id
    };
    let Classified { mut job, route } =
        classify(generation, &shared.located, class_of, &request, &Mark::None, false, id);
    let now_s = clock::now_s();
    let mut view = view(shared, generation, &job, now_s);
    let routed = route.map(|place| &generation.config.routes[place]);
    let kind = needs::kind(routed.filter(|_| shared.data.learns()), job.class, &request, &Looked::Not);
    let linked = needs::linked(request.headers());
    let mut needs = Needs::of(&shared.data, routed, &linked, kind.as_ref(), &request, &Looked::Not);
    needs.enter(shared, generation, &Upload::default(), &mut job, &mut view);
    let model = shared.oracle.model();
    let seat = shared.guard.would_seat(&job, &view, model.is_some(), now_s);
    let plan = policy::plan_as(seat.arm, &job, &view, model.as_deref(), now_s);
    let shut = gate::gates(&job, &view).shut;
    Some(Preview { route, class: class.into(), job, view, shut, plan, model })
}
