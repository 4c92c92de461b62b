//! `[[routes]]`: what kinds of jobs there are and what may be done with them.

use http::HeaderName;
use policy::job::EXTRACTED;
use policy::units::{NetworkSet, Urgency};
use toml::de::DeValue;

use super::form::{
    CLASS_BY, FLAG, HEADER_VALUE, INPUT, LEVEL, LONG, METHOD, MODE, NAME, PATH_PATTERN, POLL_PATH, SHARE, SIGN,
    shortened,
};
use super::network::Networks;
use super::report::{Named, Placed, Report};
use super::table::Table;
use crate::errors::Fault;
use crate::value::{Asynchronous, Config, Extract, Input, Match, Poll, Route};

const _: () = assert!(EXTRACTED == 4, "the reference says that there are up to 4 extracts");

/// The routes, if all of them could be read.
pub(super) fn routes(root: &mut Table<'_>, networks: &Networks<'_>, previous: Option<&Config>) -> Option<Vec<Route>> {
    let about = "A kind of request, and what may be done with it. The first route that matches takes a request; one that \
                 no route matches goes home as it is, unless it is about a job that was answered 202: it follows that.";
    let mut read: Vec<Read> = Vec::new();
    let mut complete = true;
    for mut table in root.tables("routes", about) {
        let faults = root.report().count();
        let route = route(&mut table, networks);
        let place = table.place("name");
        let before = previous.into_iter().flat_map(|previous| &previous.routes);
        let known = before.into_iter().find(|known| route.as_ref().is_some_and(|route| route.name == known.name));
        let moved =
            known.zip(route.as_ref()).is_some_and(|(known, route)| moves_extracts(&known.extract, &route.extract));
        table.fixed("extract", "", moved);
        // Only now is it known that no key was left over.
        drop(table);
        let Some(route) = route else {
            complete = false;
            continue;
        };
        let route = Read { route: place.with(route), sound: root.report().count() == faults };
        route.check_apart(&read, root.report());
        read.push(route);
    }
    complete.then(|| read.into_iter().map(|read| read.route.value).collect())
}

/// Whether a place that had one number has another now: what was learned of the one would be taken for the other's.
fn moves_extracts(before: &[Extract], now: &[Extract]) -> bool {
    before.iter().zip(now).any(|(before, now)| before != now)
}

/// A route that has been read, and whether nothing was wrong with it: else what it matches is not what was meant.
struct Read {
    route: Placed<Route>,
    sound: bool,
}

impl Read {
    /// Reports that one of the `earlier` routes has this one's name, or takes all of its requests.
    fn check_apart(&self, earlier: &[Self], report: &Report) {
        let Route { name, matches, .. } = &self.route.value;
        let covers = |other: &&Self| self.sound && other.sound && other.route.value.matches.covers(matches);
        if let Some(other) = earlier.iter().find(|other| other.route.value.name == *name) {
            report.fault_with(&self.route, Fault::Repeated { given: name.clone() }, &other.route, "first here");
        } else if let Some(other) = earlier.iter().find(covers) {
            let fault = Fault::Unreachable { earlier: other.route.value.name.clone() };
            report.fault_with(&self.route, fault, &other.route, "this one");
        }
    }
}

fn route(table: &mut Table<'_>, networks: &Networks<'_>) -> Option<Route> {
    let name = table.required("name", &NAME.like("\"render\""), "Its name in the log and the metrics.");
    let matches = matches(table.table("match", "Which requests it takes: all that is said must hold. Empty: any."));
    let class_by = table.maybe(
        "class_by",
        &CLASS_BY,
        "What tells its classes apart: `header:NAME`, `query:NAME` or the path's segment `segment:N`, from 0.",
    );
    let shadow = table.or(
        "shadow",
        &MODE,
        "'off'",
        "How far adumbra may go. `off`: home first, spill when home is full. `observe`: shadow and predict, never \
         act. `on`: act too.",
    );
    let rollout =
        table.or("rollout", &SHARE, "'100%'", "The share of jobs that `shadow` holds for; the rest is `off`.");
    let repeatable = table.or(
        "repeatable",
        &FLAG,
        "false",
        "Whether running a job twice is harmless, whatever its method. GET, HEAD, OPTIONS and TRACE are taken to be \
         so.",
    );
    let shared_idempotency = table.or(
        "shared_idempotency",
        &FLAG,
        "false",
        "Whether the networks share the store behind `Idempotency-Key`, so that a job with a key may be repeated.",
    );
    let hold = table.or("hold", &FLAG, "false", "Whether the real job waits for the decision instead of leading.");
    let finish = table.or("finish", &FLAG, "false", "Whether a job runs on when its client goes away.");
    let residency = residency(table, networks);
    let (urgency_most, urgency_least) = urgency(table.table("urgency", "How urgent a client can make a job by \
        `Priority: u=N` (RFC 9218): 0 is the most urgent, 7 the least, and 3 is what a request that does not say means."));
    let extract = extract(table);
    let about = "Whether what a job needs is fetched ahead: what `Link: <…>; rel=preload` on its request names, what `inputs` \
                 finds in it, and, with `data.learn`, what jobs of its kind have fetched before.";
    let warm = table.or("warm", &FLAG, "false", about);
    let inputs = inputs(table, warm);
    let about = "Whether answers to GET are stored and given again, as they say they may be: docs/cache.md.";
    let cache = table.or("cache", &FLAG, "false", about);
    let about = "A counter of the service's that says how far a job is, asked for while a job that is shadowed runs.";
    let progress = poll(table.table("progress", about));
    let asynchronous = asynchronous(table.table(
        "asynchronous",
        "What to make of jobs that are answered `202` with a `Location`. Later requests to it go to the network that runs \
         the job, whatever this says. With `done`, `failed` or `delete`, a job counts as in flight there, too, until it is over or \
         nobody has asked about it for half a minute and for twice what it was predicted to take.",
    ));
    Some(Route {
        name: name?,
        matches,
        class_by,
        shadow,
        rollout,
        repeatable,
        shared_idempotency,
        hold,
        finish,
        residency,
        urgency_most,
        urgency_least,
        extract,
        warm,
        inputs,
        cache,
        progress,
        asynchronous,
    })
}

fn inputs(table: &mut Table<'_>, warm: bool) -> Vec<Input> {
    let about = "Where a request names its inputs; a list in a JSON body names several. With `form:` or `json:` a body of up \
                 to 64 KiB is read before the job is sent, of a request that says its length and that it is a form or JSON.";
    let inputs: Vec<Input> =
        table.list("inputs", &INPUT, about).unwrap_or_default().into_iter().map(|input| input.value).collect();
    if !inputs.is_empty() && !warm && !table.is_bad("warm") {
        table.fault("inputs", Fault::InputsUnused);
    }
    inputs
}

fn poll(mut table: Table<'_>) -> Option<Poll> {
    let about = "Where to ask. Without it, nobody is. `{id}` is what the request that brought the job says in `adumbra-dispatch`; the answer is \
                 the share that is done, from 0 to 1: a number, or JSON with one in `progress`.";
    let path = table.maybe("poll", &POLL_PATH, about);
    let every = table.or("every", &LONG, "'100ms'", "How often to ask.");
    let (before, after) = path?;
    Some(Poll { before, after, every })
}

fn asynchronous(mut table: Table<'_>) -> Asynchronous {
    Asynchronous {
        done: table.maybe(
            "done",
            &SIGN,
            "What an answer to GET there says when the job is done. Without it: any status below 400 but 202.",
        ),
        failed: table.maybe(
            "failed",
            &SIGN.like("\"json:/state=failed\""),
            "What it says when the job has failed. Without it: the status is 404 or 410.",
        ),
        delete: table.maybe(
            "delete",
            &METHOD.like("\"DELETE\""),
            "How an execution that lost is deleted, at its own location on its own network. Without it, jobs of a route \
             that has answered `202` once are not shadowed.",
        ),
        keep: table.or("keep", &LONG, "'1h'", "How long a location is remembered."),
    }
}

fn matches(mut table: Table<'_>) -> Match {
    let path = table.maybe(
        "path",
        &PATH_PATTERN,
        "A path, or what it starts with if it ends in `*`. It is compared with the request's path byte for byte as \
         it came: nothing is decoded, no `..` resolved, the query left out.",
    );
    let methods = table.list("methods", &METHOD, "Methods. Without it, any.").unwrap_or_default();
    let mut headers: Vec<Placed<(HeaderName, Option<String>)>> = Vec::new();
    for Named { name, place, value } in table.named_values(
        "headers",
        &HEADER_VALUE,
        "Headers that must be there with this value; with `\"\"`, any value.",
    ) {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            let write = "write a header's name, such as `x-kind = \"scene\"`".to_owned();
            let given = format!("`{}`", shortened(name));
            let fault = Fault::Malformed { given, expected: "a header's name", why: "no header can have it", write };
            table.report().fault(&place, fault);
            continue;
        };
        if let Some(earlier) = headers.iter().find(|earlier| earlier.value.0 == header) {
            table.report().fault_with(&place, Fault::Repeated { given: header.to_string() }, earlier, "first here");
        }
        headers.push(place.with((header, value.value)));
    }
    Match {
        path: path.unwrap_or_default(),
        methods: methods.into_iter().map(|method| method.value).collect(),
        headers: headers.into_iter().map(|header| header.value).collect(),
    }
}

fn residency(table: &mut Table<'_>, networks: &Networks<'_>) -> NetworkSet {
    let about = "The networks that its jobs, their shadows and their inputs may leave a byte on. Without it, all.";
    let Some(names) = table.list("residency", &NAME, about) else { return networks.all() };
    if table.is_empty_list("residency") {
        table.fault("residency", Fault::NoNetwork);
    }
    let find = |name: &Placed<String>| {
        let place = Placed::new(name.path.clone(), name.span.clone());
        networks.find(&name.value, table.report(), &place)
    };
    names.iter().filter_map(find).collect()
}

fn urgency(mut table: Table<'_>) -> (Urgency, Urgency) {
    let most = table.or(
        "most",
        &LEVEL,
        "3",
        "The most urgent a job can be. Urgency buys shadows and money, so a client can ask for more than usual only \
         if this allows it.",
    );
    let least = table.or("least", &LEVEL, "7", "The least urgent a job can be.");
    table.ordered(("most", most), ("least", least), Fault::UrgencyReversed);
    (most, least)
}

fn extract(table: &mut Table<'_>) -> Vec<Extract> {
    let about =
        "A number the model may use, by a name that starts with `x_`; up to 4. What is not a number is missing.";
    let named = table.named_values("extract", &CLASS_BY, about);
    if let Some(surplus) = named.get(EXTRACTED) {
        let fault = Fault::TooMany { what: "extracts", found: named.len(), most: EXTRACTED };
        table.report().fault(&surplus.place, fault);
    }
    let mut extracts = Vec::new();
    for Named { name, place, value } in named {
        if name.strip_prefix("x_").is_none_or(str::is_empty) || NAME.read(&DeValue::String(name.into())).is_err() {
            let write = "write a plain name that starts with `x_`, such as `x_size = \"query:size\"`".to_owned();
            let why = "it is not `x_` and then letters, digits or `_`";
            let fault =
                Fault::Malformed { given: format!("`{}`", shortened(name)), expected: "an extract's name", why, write };
            table.report().fault(&place, fault);
        }
        extracts.push(Extract { name: name.to_owned(), from: value.value });
    }
    // The model knows them by their place, which must not change when lines do.
    extracts.sort_by(|one, other| one.name.cmp(&other.name));
    extracts
}
