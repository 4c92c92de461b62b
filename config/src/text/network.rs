//! `[networks.NAME]`: where jobs can run.

use http::HeaderName;
use policy::units::{MAX_NETWORKS, NetworkId, NetworkSet};
use policy::view::Price;
use toml::de::DeValue;

use super::form::{
    BYTES_PER_SECOND, COUNT, ENDPOINT, FILE, IDENTITY, LONG, MONEY, MORE, NAME, PROTOCOL, RATE, REQUEST_PATH, SHARE,
    STRIPPED,
};
use super::guard;
use super::listen::Listeners;
use super::report::{Named, Placed, Report};
use super::table::Table;
use crate::errors::Fault;
use crate::nearest::nearest;
use crate::value::{Budget, Config, Endpoint, Health, Kind, Network, Protocol, Timeouts};

const _: () = assert!(MAX_NETWORKS == 8, "the reference says that there are up to 8 networks");

/// The networks of a file: their names and places, and what could be read of them.
pub(super) struct Networks<'p> {
    names: Vec<String>,
    places: Vec<Option<NetworkId>>,
    read: Vec<Option<Network>>,
    /// Those of the configuration before, whose places stay theirs.
    before: &'p [Network],
}

impl<'p> Networks<'p> {
    /// The networks; the one called `home` may be left to `adumbra run`, and has no endpoint then.
    pub(super) fn read(
        root: &mut Table<'_>,
        listeners: &Listeners,
        home: Option<&str>,
        previous: Option<&'p Config>,
    ) -> Self {
        let about = "A place where jobs can run, all its replicas together, under a name of your choice; up to 8.";
        let tables = root.named_tables("networks", about);
        let before = previous.map_or(&[][..], |previous| &previous.networks[..]);
        let mut networks = Self { names: Vec::new(), places: Vec::new(), read: Vec::new(), before };
        if tables.is_empty() && !root.has("networks") {
            let example = "a table `[networks.private]` with `upstreams = [\"http://127.0.0.1:3000\"]`".to_owned();
            root.fault("networks", Fault::Missing { key: "networks", example });
        }
        if let Some(surplus) = tables.get(MAX_NETWORKS) {
            let fault = Fault::TooMany { what: "networks", found: tables.len(), most: MAX_NETWORKS };
            root.report().fault(&surplus.place, fault);
        }
        let (mut next, too_many) = (before.len(), tables.len() > MAX_NETWORKS);
        let mut without_place = Vec::new();
        let left_to_run = previous.map(Config::is_for_run);
        for Named { name, place, value: mut table } in tables {
            if let Err(fault) = NAME.read(&DeValue::String(name.into())) {
                root.report().fault(&place, fault);
            }
            let known = before.iter().position(|network| network.name == name);
            let at = known.unwrap_or(next);
            next += usize::from(known.is_none());
            networks.names.push(name.to_owned());
            networks.places.push(NetworkId::new(at));
            let read = network(name, &mut table, listeners, home == Some(name));
            if home == Some(name) {
                let left = read.as_ref().map(|network| network.endpoints.is_empty());
                table.fixed("upstreams", "", left.zip(left_to_run).is_some_and(|(now, before)| now != before));
            }
            networks.read.push(read);
            if NetworkId::new(at).is_none() && !too_many {
                without_place.push(place);
            }
        }
        without_place.iter().for_each(|place| networks.no_place(root.report(), place));
        networks
    }

    /// Reports that there is no place for a new network.
    fn no_place(&self, report: &Report, place: &Placed<()>) {
        let removed = self.before.iter().filter(|network| !self.names.contains(&network.name));
        report.fault(place, Fault::NoPlace { retired: removed.map(|network| network.name.clone()).collect() });
    }

    /// The network called `name`; that there is none is reported at `place`.
    pub(super) fn find(&self, name: &str, report: &Report, place: &Placed<()>) -> Option<NetworkId> {
        if let Some(at) = self.names.iter().position(|known| known == name) {
            return self.places[at];
        }
        let nearest = nearest(name, self.names.iter().map(String::as_str)).map(str::to_owned);
        report.fault(place, Fault::UnknownNetwork { name: name.to_owned(), nearest, known: self.names.clone() });
        None
    }

    /// All of them.
    pub(super) fn all(&self) -> NetworkSet {
        self.places.iter().copied().flatten().collect()
    }

    /// What the configuration says, if all of it could be read: all networks at their places, and those that are there only
    /// because they were before.
    pub(super) fn finish(self) -> Option<(Vec<Network>, NetworkSet)> {
        let mut all = self.before.to_vec();
        let mut retired: NetworkSet = (0..all.len()).filter_map(NetworkId::new).collect();
        for (place, network) in self.places.into_iter().zip(self.read) {
            let (place, network) = (place?, network?);
            retired = retired.without(place);
            match all.get_mut(place.index()) {
                Some(before) => *before = network,
                // New ones are met in the order of their places.
                None => all.push(network),
            }
        }
        Some((all, retired))
    }
}

fn network(name: &str, table: &mut Table<'_>, listeners: &Listeners, is_home: bool) -> Option<Network> {
    let stands = endpoints(table, listeners, is_home);
    let resolve_every = table.or("resolve_every", &LONG, "'30s'", "How often names are resolved again.");
    let protocol = table.or(
        "protocol",
        &PROTOCOL,
        "'auto'",
        "`auto`: HTTP/2 for gRPC and where TLS negotiates it, else HTTP/1.1. `http1`, `http2`: only that one, HTTP/2 \
         by prior knowledge in the clear.",
    );
    let capacity = table.or("capacity", &COUNT, "0", "Jobs it can run at once, all sidecars together. 0: not known.");
    let link_bytes_per_s = table.or(
        "link_bytes_per_second",
        &BYTES_PER_SECOND,
        "'0'",
        "What the link to it carries, where that is known better than by measuring. 0: measured.",
    );
    let ca = table.maybe(
        "ca",
        &FILE.like("\"roots.pem\""),
        "Roots, PEM, for its `https` endpoints instead of the public ones.",
    );
    let strip_headers =
        stripped(table, "Headers that every request is sent there without, such as credentials that are not for it.");
    let identity = table.maybe(
        "identity",
        &IDENTITY,
        "Who its sidecars must be, where they are `https`. Without it: this sidecar's own service on a network of this \
         name.",
    );
    if let Some((kind, endpoints)) = &stands {
        check_sidecar(table, *kind, endpoints, protocol, listeners);
    }
    let price = price(table.table("price", "What it charges, in one currency for all networks."));
    let timeouts = timeouts(table.table("timeouts", "Bounds on waiting for it."));
    let health = health(table.table("health", "How its health is watched."));
    let budget = budget(table.table("shadows", "Budgets of shadow work on it."));
    let spend = guard::spend(table.table("spend", "Caps on what this sidecar spends on it, by the prices above."));
    let (kind, endpoints) = stands?;
    Some(Network {
        name: name.to_owned(),
        kind,
        endpoints,
        resolve_every,
        protocol,
        capacity,
        price,
        link_bytes_per_s,
        timeouts,
        health,
        budget,
        spend,
        ca,
        strip_headers,
        identity,
    })
}

/// Headers that are taken off on the way to a network.
fn stripped(table: &mut Table<'_>, about: &'static str) -> Vec<HeaderName> {
    let listed = table.list("strip_headers", &STRIPPED, about).unwrap_or_default();
    listed.into_iter().map(|name| name.value).collect()
}

/// What goes together where sidecars are reached by TLS, and where they are not.
fn check_sidecar(table: &Table<'_>, kind: Kind, endpoints: &[Endpoint], protocol: Protocol, listeners: &Listeners) {
    let by_tls = kind == Kind::Sidecar && endpoints.iter().any(|endpoint| endpoint.tls);
    if by_tls && !listeners.is_mutual() {
        table.fault("sidecars", Fault::NoIdentity);
    }
    if by_tls && protocol == Protocol::Http1 {
        table.fault("protocol", Fault::SidecarProtocol);
    }
    if kind == Kind::Sidecar && table.has("ca") {
        table.fault("ca", Fault::SidecarRoots);
    }
    if !by_tls && table.has("identity") {
        table.fault("identity", Fault::IdentityUnseen);
    }
}

fn endpoints(table: &mut Table<'_>, listeners: &Listeners, is_home: bool) -> Option<(Kind, Vec<Endpoint>)> {
    let upstreams = table.list(
        "upstreams",
        &ENDPOINT,
        "Where the service, or any HTTP upstream, is reached. A network has either these or `sidecars`; home has neither \
         when `adumbra run` is to start the service.",
    );
    let sidecars =
        table.list("sidecars", &ENDPOINT.like("\"http://127.0.0.1:9081\""), "Where another adumbra listens for peers.");
    let given = (table.has("upstreams"), table.has("sidecars"));
    let (kind, key) = if given == (false, true) { (Kind::Sidecar, "sidecars") } else { (Kind::Upstream, "upstreams") };
    if given == (true, true) {
        let (place, other) = (table.place("sidecars"), table.place("upstreams"));
        table.report().fault_with(&place, Fault::BothKinds, &other, "and these");
    }
    for list in [&upstreams, &sidecars].into_iter().flatten() {
        for (at, endpoint) in list.iter().enumerate() {
            listeners.check_endpoint(endpoint, table.report());
            if let Some(earlier) = list[..at].iter().find(|earlier| earlier.value == endpoint.value) {
                let fault = Fault::Repeated { given: endpoint.value.to_string() };
                table.report().fault_with(endpoint, fault, earlier, "first here");
            }
        }
    }
    if given == (false, false) && is_home {
        return Some((Kind::Upstream, Vec::new()));
    }
    if given == (false, false) || table.is_empty_list(key) {
        table.fault(key, Fault::NoEndpoint);
    }
    let endpoints = if kind == Kind::Upstream { upstreams } else { sidecars };
    Some((kind, endpoints?.into_iter().map(|endpoint| endpoint.value).collect()))
}

fn price(mut table: Table<'_>) -> Price {
    Price {
        per_slot_s: table.or(
            "slot_second",
            &MONEY.per("currency per second"),
            "0.3",
            "For each second that a job holds a slot. Your own machines have a price too: with 0 they look free when full.",
        ),
        per_cpu_s: table.or("cpu_second", &MONEY.per("currency per CPU second"), "0.0", "For each CPU second."),
        per_gib_s: table.or(
            "gib_second",
            &MONEY.per("currency per GiB and second"),
            "0.0",
            "For each GiB of memory held for a second.",
        ),
        per_gib_moved: table.or(
            "gib_moved",
            &MONEY.per("currency per GiB"),
            "0.0",
            "For each GiB that crosses to it or from it (egress).",
        ),
        congestion: table.or(
            "congestion",
            &MONEY.per("values of time"),
            "0.6",
            "What the last free slot costs the next job, on top, as a multiple of what a second is worth.",
        ),
        congestion_from: table.or(
            "congestion_from",
            &SHARE,
            "0.8",
            "The share of the capacity in flight above which congestion begins to cost.",
        ),
    }
}

fn timeouts(mut table: Table<'_>) -> Timeouts {
    Timeouts {
        connect: table.or("connect", &LONG, "'2s'", "To a connection that may be used."),
        head: table.or("head", &LONG, "'5m'", "From the request's last byte to the final response head."),
        idle: table.or("idle", &LONG, "'1m'", "Between two bytes of an answer."),
        total: table.or("total", &LONG, "'1h'", "The whole dispatch; upgrades and event streams are exempt."),
    }
}

fn health(mut table: Table<'_>) -> Health {
    Health {
        path: table.maybe("path", &REQUEST_PATH, "What active checks ask for. Without it, only real jobs tell. Sidecars are asked whether their service is well, whatever stands here."),
        every: table.or("every", &LONG, "'2s'", "How often an active check is made."),
        timeout: table.or("timeout", &LONG, "'1s'", "How long one check may take."),
        failures: table.or("failures", &MORE, "5", "Failures in a row, of checks or of jobs, that open the breaker."),
        open_for: table.or("open_for", &LONG, "'5s'", "How long the breaker stays open before one job may try."),
    }
}

fn budget(mut table: Table<'_>) -> Budget {
    Budget {
        in_flight: table.or("in_flight", &COUNT, "2", "Shadows at once. 0: none run here."),
        per_second: table.or("per_second", &RATE, "10.0", "Shadows started in a second."),
        bytes_per_second: table.or(
            "bytes_per_second",
            &BYTES_PER_SECOND,
            "'8MiB'",
            "Bytes over all shadows, both ways together.",
        ),
        share: table.or(
            "share",
            &SHARE,
            "'50%'",
            "Shadows at once, as a share of its capacity, rounded up; where that is not known, only `in_flight` counts.",
        ),
        strip_headers: stripped(
            &mut table,
            "Headers that shadows are sent without, beside the network's own `strip_headers`.",
        ),
    }
}
