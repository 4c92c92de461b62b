//! One job under way: what was known when it was planned, and how its requests are made.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use config::value::Poll;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use parking_lot::Mutex;
use policy::spend::Bill;
use policy::watchdog::Seat;
use policy::{Job, MAX_NETWORKS, Model, NetworkId, NetworkSet, Plan, View};

use super::asynchronous::About;
use super::hindsight::Hindsight;
use super::needs::Needs;
use crate::body::Body;
use crate::data::{self, Attendance};
use crate::generation::{Generation, Shared};
use crate::intercept;
use crate::journal::Seen;
use crate::peer;
use crate::spend::Tab;
use crate::spool::Spool;
use crate::upstream::{Answer, Flight, Lane, Network, Outgoing, Purpose, SendError, Upload};

/// One job under way.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) shared: Arc<Shared>,
    pub(super) generation: Arc<Generation>,
    pub(super) worker: usize,
    pub(super) id: u64,
    pub(super) route: Option<usize>,
    pub(super) job: Job,
    pub(super) view: View,
    pub(super) model: Option<Arc<Model>>,
    pub(super) plan: Plan,
    /// Its place in the comparison with the fixed rule.
    pub(super) seat: Seat,
    /// What it costs.
    pub(super) tab: Arc<Tab>,
    /// How long it ran where it was seen to its end.
    pub(super) hindsight: Hindsight,
    /// When it was planned.
    pub(super) planned_s: f64,
    pub(super) upload: Arc<Upload>,
    /// The inputs that the request declares.
    pub(super) inputs: Vec<Uri>,
    /// Those, and what it is expected to read besides.
    pub(super) needs: Needs,
    /// Its place among those whose fetches are watched.
    pub(super) attendance: Option<Attendance>,
    pub(super) left: Left,
    /// The asynchronous job that it is about.
    pub(super) about: Option<Box<About>>,
    /// Whether its answer may be stored in the response cache.
    pub(super) storing: bool,
    /// What its decision was made from last, if there is a journal.
    pub(super) seen: Mutex<Option<Box<Seen>>>,
    /// What was asked for, and of whom.
    pub(super) uri: Uri,
    pub(super) host: Option<HeaderValue>,
}

/// What a job leaves behind if its client goes now: kept here, for then nobody is there to hand it over.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Bits of the networks on which shadows were started.
    shadows: AtomicU8,
    /// Dispatches that are told to stop, and may not.
    possibly_running: AtomicU8,
}

impl Left {
    pub(super) fn set(&self, shadows: NetworkSet, possibly_running: u8) {
        let bits = shadows.iter().fold(0, |bits, network| bits | 1 << network.index());
        self.shadows.store(bits, Ordering::Relaxed);
        self.possibly_running.store(possibly_running, Ordering::Relaxed);
    }

    pub(super) fn shadows(&self) -> NetworkSet {
        let bits = self.shadows.load(Ordering::Relaxed);
        (0..MAX_NETWORKS).filter(|place| bits >> place & 1 == 1).filter_map(NetworkId::new).collect()
    }

    pub(super) fn possibly_running(&self) -> u8 {
        self.possibly_running.load(Ordering::Relaxed)
    }
}

const _: () = assert!(MAX_NETWORKS <= 8, "a byte has a bit for each network");

impl Course {
    /// A network of the job's generation.
    pub(super) fn network(&self, id: NetworkId) -> &Arc<Network> {
        &self.generation.networks[id.index()]
    }

    /// Its client meant this service of home's, as far as it was intercepted: at home, it goes nowhere else first.
    pub(super) fn is_bound_for(&self, to: Option<SocketAddr>) {
        // What it is about runs where it runs, whatever address it was asked for at.
        let to = to.filter(|_| self.about.is_none());
        if let Some(endpoint) = to.and_then(|to| intercept::at_home(&self.generation.config, to)) {
            self.upload.prefer(self.view.home, endpoint);
        }
    }

    /// The job's name as the sidecars that run it are told.
    pub(super) fn dispatch_id(&self, suffix: &str) -> String {
        format!("{:016x}-{:x}-{suffix}", self.shared.instance, self.id)
    }

    /// Enters a dispatch to a network in its ledger, and on the bill.
    pub(super) fn depart(&self, to: NetworkId) -> Flight {
        let flight = self.network(to).depart(self.predicted_s(to));
        self.charged(to, flight, f64::INFINITY, 1.0)
    }

    /// The same for a shadow, at its share of full speed and for `window_s` seconds at the most.
    pub(super) fn depart_shadow(&self, to: NetworkId, window_s: f64) -> Flight {
        let flight = self.network(to).depart_shadow(self.predicted_s(to));
        let speed = self.plan.caps.speed(self.plan.predictions[to].as_ref());
        self.charged(to, flight, window_s, speed)
    }

    /// What is taken in for others is charged to them, by themselves.
    fn charged(&self, to: NetworkId, flight: Flight, within_s: f64, speed: f64) -> Flight {
        if to == self.view.home
            && let Some(attendance) = &self.attendance
        {
            attendance.begins_here();
        }
        if self.job.last_hop {
            return flight;
        }
        let run_s = flight.runs_s(self.predicted_s(to)).min(within_s) * speed;
        let prediction = self.plan.predictions[to].as_ref();
        let Bill { per_s, per_byte, expected } = policy::cost::bill(&self.job, &self.view, to, prediction, run_s);
        let purses = &self.shared.purses;
        if purses.left(to, self.network(to).config.spend).is_some_and(|left| left <= 0.0) {
            self.shared.metrics.spent_over_cap(to);
        }
        flight.charged(purses.charge(to, Bill { per_s: per_s * speed, per_byte, expected }, &self.tab))
    }

    /// What the model says the job takes on a network.
    pub(super) fn predicted_s(&self, network: NetworkId) -> Option<f64> {
        self.plan.predictions[network].map(|p| p.mean_s)
    }

    /// The counter that its route names.
    pub(super) fn poll(&self) -> Option<&Poll> {
        self.generation.config.routes[self.route?].progress.as_ref()
    }

    /// Whether a dispatch there takes long enough for questions about it; if nobody knows, it may.
    pub(super) fn is_worth_asking_about(&self, network: NetworkId) -> bool {
        self.predicted_s(network).is_none_or(|s| s >= self.view.shadowing.worthwhile_s)
    }

    /// What the link to a network carries: 0 where there is none, `None` where nobody knows.
    pub(super) fn link_bytes_per_s(&self, network: NetworkId) -> Option<f64> {
        let known = Some(self.view.state[network].link_bytes_per_s).filter(|rate| *rate > 0.0);
        if network == self.view.home { Some(0.0) } else { known }
    }

    /// Whether the job runs on when its client goes away.
    pub(super) fn runs_on(&self) -> bool {
        self.route.is_some_and(|place| self.generation.config.routes[place].finish)
    }

    /// How an execution of it that lost is deleted, if there is a way.
    pub(super) fn delete_by(&self) -> Option<&Method> {
        self.generation.config.routes[self.route?].asynchronous.delete.as_ref()
    }

    /// Seconds until what the job needs has arrived at a network.
    pub(super) fn arriving_s(&self, network: NetworkId) -> f64 {
        policy::cost::arriving_s(&self.job, &self.view, network)
    }

    /// A sidecar says on its answer what the job has fetched there.
    pub(super) fn hears(&self, from: NetworkId, headers: &HeaderMap) {
        if let Some(attendance) = self.attendance.as_ref().filter(|_| self.network(from).is_sidecar()) {
            attendance.hears(headers);
        }
    }

    /// The same, said by this one.
    pub(super) fn says(&self, headers: &mut HeaderMap) {
        if let Some(told) = self.attendance.as_ref().and_then(Attendance::tells) {
            headers.insert(data::INPUTS, told);
        }
    }

    /// How long a dispatch ran that has held a slot for `held_s`: the time in which its data was on its way, and in which the
    /// network waited for its body, is not the job's.
    pub(super) fn ran_s(&self, network: NetworkId, upload: &Upload, held_s: f64) -> f64 {
        // A fetch may have been shared, or there meanwhile: it must not make a job look infinitely fast.
        let fetching_s = policy::cost::fetching_s(&self.job, &self.view.state[network]);
        let arriving_s = self.arriving_s(network) - fetching_s + fetching_s.min(held_s / 2.0);
        (held_s - arriving_s - upload.waited_s()).max(0.0)
    }

    /// Sends the real job. A sidecar is told that this is its last hop.
    pub(super) async fn send(
        &self,
        to: NetworkId,
        purpose: Purpose,
        mut request: Request<Body>,
    ) -> Result<Response<Answer>, SendError> {
        let network = self.network(to);
        if network.is_sidecar() {
            let id = self.dispatch_id("t");
            request
                .headers_mut()
                .insert(peer::TRANSFER, HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("t")));
        }
        // A service that passes it on says whose its fetches are.
        if network.is_home() && self.attendance.is_some() && !request.headers().contains_key(peer::DISPATCH) {
            let id = self.dispatch_id("t");
            data::tell(request.headers_mut(), &id);
            request
                .headers_mut()
                .insert(peer::DISPATCH, HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("t")));
        }
        let request = request.map(|body| match body {
            // It came back unsent, and is watched already.
            Body::Outgoing(_) => body,
            body => Outgoing::wrap(body, &self.upload),
        });
        network.send(self.worker, Lane::Live, purpose, request, &self.upload).await
    }
}

/// A request's head, kept so that the job can be sent again.
#[derive(Clone, Debug)]
pub(super) struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Head {
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        Self { method: request.method().clone(), uri: request.uri().clone(), headers: request.headers().clone() }
    }

    /// The same, but for a body, and by GET.
    pub(super) fn get(&self) -> Request<Body> {
        let mut request = self.request(Body::Empty);
        *request.method_mut() = Method::GET;
        request
    }

    pub(super) fn request(&self, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// What is left to send a job again with.
#[derive(Debug)]
pub(super) struct Spare {
    /// `None` if there is nowhere else to send it.
    pub(super) head: Option<Arc<Head>>,
    /// Its body; a spool that is not whole is as good as none.
    pub(super) body: Option<Spool>,
}

impl Spare {
    /// The job once more, if its body is at hand. Whether it may be sent is the policy's word.
    pub(super) fn request(&self) -> Option<Request<Body>> {
        let head = self.head.as_ref()?;
        let body = match &self.body {
            None => Body::Empty,
            Some(spool) => match spool.settled()? {
                Ok(0) => Body::Empty,
                Ok(_) => Body::Spooled(Box::new(spool.reader())),
                Err(_) => return None,
            },
        };
        Some(head.request(body))
    }
}
