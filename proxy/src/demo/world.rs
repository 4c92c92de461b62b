//! The world of the demo, in numbers, and its processes.
//!
//! Two networks of one service. *Private*: two slots of the tuned build, one disk-like device channel that is quick to
//! seek and slow to read, cheap. *Public*: eight slots of the wide build, four store-like channels that are slow to
//! seek and quick to read, dearer, and behind a link of 20 ms and 4 MiB/s each way. The numbers are a plausible burst
//! set-up, not a fit to any provider, and were fixed before adumbra ran on them. All of it shares this machine's cores,
//! so the public slots are not more CPU than there is.

use std::net::SocketAddr;
use std::path::Path;

use super::children::{ChildError, Running};

/// The private network's name.
pub(crate) const PRIVATE: &str = "private";
/// The public network's name.
pub(crate) const PUBLIC: &str = "public";

/// Slots of the private network.
pub(crate) const PRIVATE_SLOTS: usize = 2;
/// Slots of the public network.
pub(crate) const PUBLIC_SLOTS: usize = 8;
/// What a second in a private slot costs.
pub(crate) const PRIVATE_PRICE: f64 = 0.3;
/// What a second in a public slot costs.
pub(crate) const PUBLIC_PRICE: f64 = 1.0;
/// What a GiB that crosses the link costs, either way.
pub(crate) const GIB_PRICE: f64 = 0.5;
/// What a second of a job's time is worth, by its urgency.
pub(crate) const TIME_VALUES: [f64; 8] = [3.2, 1.6, 1.2, 0.8, 0.6, 0.4, 0.2, 0.1];
/// The link's delay, one way.
pub(crate) const DELAY_MS: f64 = 20.0;
/// The link's bytes a second, each way.
pub(crate) const LINK_RATE: f64 = 4_194_304.0;

/// A network's device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceSpeed {
    channels: usize,
    seek_ms: f64,
    rate: f64,
}

/// The private device: a disk.
pub(crate) const PRIVATE_DEVICE: DeviceSpeed = DeviceSpeed { channels: 1, seek_ms: 6.0, rate: 60e6 };
/// The public device: a store across a network of its own.
pub(crate) const PUBLIC_DEVICE: DeviceSpeed = DeviceSpeed { channels: 4, seek_ms: 14.0, rate: 250e6 };

impl DeviceSpeed {
    /// Seconds of service for `operations` of `bytes`, without waiting.
    pub(crate) fn seconds(&self, operations: u32, bytes: u32) -> f64 {
        f64::from(operations) * (self.seek_ms / 1_000.0 + f64::from(bytes) / self.rate)
    }
}

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct World {
    private_service: Running,
    public_service: Running,
    private_sidecar: Running,
    public_sidecar: Running,
    relay: Running,
    devices: [Running; 2],
}

/// Where the driver finds things.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// The private sidecar's job listener.
    pub(crate) jobs: SocketAddr,
    /// The private sidecar's admin listener.
    pub(crate) admin: SocketAddr,
    /// The job services, private and public.
    pub(crate) services: [SocketAddr; 2],
    /// The link's byte count.
    pub(crate) moved: SocketAddr,
}

impl World {
    /// Starts everything, with files in `directory`. `pace` multiplies the devices' times.
    pub(crate) async fn start(directory: &Path, pace: f64, opaque: bool) -> Result<Self, ChildError> {
        let private_device = device("private-device", directory, PRIVATE_DEVICE, pace).await?;
        let public_device = device("public-device", directory, PUBLIC_DEVICE, pace).await?;
        let private_service = service(PRIVATE, "private-service", directory, &private_device, opaque).await?;
        let public_service = service(PUBLIC, "public-service", directory, &public_device, opaque).await?;

        let config = public_config(listens(&public_service));
        let public_sidecar = sidecar("public-sidecar", directory, &config).await?;
        let relay = relay(directory, public_sidecar.address("peers")).await?;
        let config = private_config(listens(&private_service), relay.address("relay"));
        let private_sidecar = sidecar("private-sidecar", directory, &config).await?;
        let devices = [private_device, public_device];
        Ok(Self { private_service, public_service, private_sidecar, public_sidecar, relay, devices })
    }

    /// Where the driver finds things.
    pub(crate) fn places(&self) -> Places {
        Places {
            jobs: self.private_sidecar.address("jobs"),
            admin: self.private_sidecar.address("admin"),
            services: [listens(&self.private_service), listens(&self.public_service)],
            moved: self.relay.address("moved"),
        }
    }

    /// The name of a child that has ended, if one has.
    pub(crate) fn ended(&mut self) -> Option<&'static str> {
        let [first, second] = &mut self.devices;
        [
            &mut self.private_service,
            &mut self.public_service,
            &mut self.private_sidecar,
            &mut self.public_sidecar,
            &mut self.relay,
            first,
            second,
        ]
        .into_iter()
        .find_map(Running::has_ended)
    }

    /// Stops everything, those in front first.
    pub(crate) async fn stop(self) {
        let [first, second] = self.devices;
        let order = [
            self.private_sidecar,
            self.relay,
            self.public_sidecar,
            self.private_service,
            self.public_service,
            first,
            second,
        ];
        for child in order {
            child.stop().await;
        }
    }
}

fn listens(service: &Running) -> SocketAddr {
    service.address("service")
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

async fn device(name: &'static str, directory: &Path, speed: DeviceSpeed, pace: f64) -> Result<Running, ChildError> {
    let channels = speed.channels.to_string();
    let (seek, rate) = ((speed.seek_ms * pace).to_string(), (speed.rate / pace).to_string());
    let words = words(["demo-device", "--channels", &channels, "--seek-ms", &seek, "--rate", &rate]);
    Running::start(name, directory, &words, &["device"]).await
}

async fn service(
    network: &str,
    name: &'static str,
    directory: &Path,
    device: &Running,
    opaque: bool,
) -> Result<Running, ChildError> {
    let (slots, build) = if network == PRIVATE { (PRIVATE_SLOTS, "tuned") } else { (PUBLIC_SLOTS, "wide") };
    let (slots, device) = (slots.to_string(), device.address("device").to_string());
    let mut words =
        words(["demo-service", "--network", network, "--slots", &slots, "--build", build, "--device", &device]);
    words.extend(opaque.then(|| "--opaque".to_owned()));
    Running::start(name, directory, &words, &["service"]).await
}

async fn relay(directory: &Path, to: SocketAddr) -> Result<Running, ChildError> {
    let (to, delay, rate) = (to.to_string(), DELAY_MS.to_string(), LINK_RATE.to_string());
    let words = words(["demo-relay", "--to", &to, "--delay-ms", &delay, "--rate", &rate]);
    Running::start("relay", directory, &words, &["relay", "moved"]).await
}

async fn sidecar(name: &'static str, directory: &Path, config: &str) -> Result<Running, ChildError> {
    let file = directory.join(format!("{name}.toml"));
    std::fs::write(&file, config).map_err(|source| ChildError::Start { name, source })?;
    let words = words(["serve", "--config", &file.to_string_lossy()]);
    Running::start(name, directory, &words, &["jobs", "peers", "admin"]).await
}

/// What both sidecars say: where to listen (anywhere) and what time is worth.
fn preamble(home: &str) -> String {
    format!(
        r#"home = "{home}"
workers = 1
drain = "1s"

[listen]
jobs = "127.0.0.1:0"
peers = "127.0.0.1:0"
egress = "127.0.0.1:0"
admin = "127.0.0.1:0"

[pricing]
time_value_per_second = {TIME_VALUES:?}
"#
    )
}

fn network(name: &str, reached: &str, capacity: usize, slot_second: f64, gib_moved: f64) -> String {
    format!(
        r#"
[networks.{name}]
{reached}
capacity = {capacity}
price = {{ slot_second = {slot_second:?}, gib_moved = {gib_moved:?} }}
timeouts = {{ connect = "2s", head = "60s", idle = "60s", total = "2m" }}
health = {{ path = "/healthz", every = "2s", timeout = "1s", failures = 5, open_for = "2s" }}
"#
    )
}

/// The public sidecar takes what its peer sends and gives it to its own service.
fn public_config(service: SocketAddr) -> String {
    let own = network(PUBLIC, &format!("upstreams = [\"http://{service}\"]"), PUBLIC_SLOTS, PUBLIC_PRICE, 0.0);
    let route = route("jobs", "", "off", &[PUBLIC]);
    preamble(PUBLIC) + &own + &route
}

/// The private sidecar has one route for each arm, told apart by a header.
fn private_config(service: SocketAddr, relay: SocketAddr) -> String {
    let own = network(PRIVATE, &format!("upstreams = [\"http://{service}\"]"), PRIVATE_SLOTS, PRIVATE_PRICE, 0.0);
    let other = network(PUBLIC, &format!("sidecars = [\"http://{relay}\"]"), PUBLIC_SLOTS, PUBLIC_PRICE, GIB_PRICE);
    // The demo sends the same jobs by the fixed rules, all the time: blocks of them would only blur the picture.
    let oracle = "\n[oracle]\nrefit_every = \"2s\"\n[guard]\nshare = 0\n";
    let routes: String = super::arm::Arm::ALL
        .into_iter()
        .map(|arm| {
            let only = format!(", headers = {{ \"{}\" = \"{}\" }}", super::arm::HEADER, arm.name());
            route(arm.name(), &only, arm.shadow(), arm.residency())
        })
        .collect();
    preamble(PRIVATE) + &own + &other + oracle + &routes
}

fn route(name: &str, only: &str, shadow: &str, residency: &[&str]) -> String {
    format!(
        r#"
[[routes]]
name = "{name}"
match = {{ path = "/*"{only} }}
class_by = "header:x-kind"
shadow = "{shadow}"
repeatable = true
urgency = {{ most = 0, least = 7 }}
residency = {residency:?}
extract = {{ x_size = "query:size" }}
"#
    )
}
