//! One arm: two sidecars, a service, an origin and the link between the two sides.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::far::{Service, origin};
use super::jobs::Job;
use super::link::{Link, Way};
use super::{Arguments, LINK_BYTES_PER_S, ROUND_TRIP_MS};
use crate::child::Running;
use crate::peers::{StartError, adumbra};
use crate::site::{Site, free_address};

const NEAR: &str = include_str!("near.toml");
const FAR: &str = include_str!("far.toml");
/// How long anything is waited for.
const WITHIN: Duration = Duration::from_secs(30);

/// What is fetched ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: what all else is compared with.
    Cold,
    /// What the job declares.
    Declared,
    /// What was learned.
    Learned,
}

impl Kind {
    /// All of them, the reference first.
    pub const ALL: [Self; 3] = [Self::Cold, Self::Declared, Self::Learned];

    /// The name in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::Declared => "declared",
            Self::Learned => "learned",
        }
    }
}

/// What the jobs showed.
#[derive(Clone, Debug, Default)]
pub struct Visit {
    /// From a job's arrival to the end of its answer, in the order of the jobs; `None` for one that failed.
    pub took_s: Vec<Option<f64>>,
}

/// What an arm's far sidecar has moved.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moved {
    /// Bytes fetched ahead.
    pub warmed_bytes: f64,
    /// Of them, those that the service then read.
    pub useful_bytes: f64,
    /// Inputs that were there whole, or on their way.
    pub hits: f64,
    /// All inputs that were read.
    pub reads: f64,
}

/// A running arm.
#[derive(Debug)]
pub struct Arm {
    /// What it fetches ahead.
    pub kind: Kind,
    jobs: SocketAddr,
    far_admin: SocketAddr,
    origin: SocketAddr,
    _sidecars: [Running; 2],
}

impl Arm {
    /// Starts all of it and waits until the two sidecars know each other.
    ///
    /// # Errors
    /// When something cannot be started.
    pub async fn start(site: &Site, kind: Kind, arguments: &Arguments) -> Result<Self, StartError> {
        let link = Link::new(LINK_BYTES_PER_S * arguments.scale, Duration::from_secs_f64(ROUND_TRIP_MS / 1e3));
        let origin = link.to(origin().await?, Way::Back).await?;
        let (service, at) = Service::start(arguments.slots, origin).await?;
        let (peers, egress) = (free_address()?, free_address()?);
        service.egress.get_or_init(|| egress);
        let warm = (kind != Kind::Cold).to_string();
        let fill = |template: &str| {
            template
                .replace("{warm}", &warm)
                .replace("{origin}", &origin.to_string())
                .replace("{service}", &at.to_string())
                .replace("{home}", &at.to_string())
                .replace("{peers}", &peers.to_string())
                .replace("{egress}", &egress.to_string())
                .replace("{memory}", &format!("{}MiB", 64.0_f64.max(4096.0 * arguments.scale) as u64))
        };
        let (far, [_, far_admin]) = adumbra::serve(site, &site.folder(&format!("{}-far", kind.name()))?, &fill(FAR))?;
        let over = link.to(peers, Way::There).await?;
        let near = fill(NEAR).replace("{far}", &over.to_string());
        let (near, [jobs, admin]) = adumbra::serve(site, &site.folder(&format!("{}-near", kind.name()))?, &near)?;
        let arm = Self { kind, jobs, far_admin, origin, _sidecars: [far, near] };
        await_peer(admin).await?;
        Ok(arm)
    }

    /// Sends these jobs at their times, and waits for all of them.
    ///
    /// # Errors
    /// When a task of the bench itself fails.
    pub async fn visit(&self, jobs: &[Job]) -> io::Result<Visit> {
        let (mut running, mut at) = (JoinSet::new(), Instant::now());
        for (place, job) in jobs.iter().copied().enumerate() {
            at += Duration::from_secs_f64(job.after_s.max(0.0));
            sleep_until(at).await;
            let (to, request) = (self.jobs, self.request(job));
            running.spawn(async move {
                let began = Instant::now();
                let answered = ask(to, &request).await.is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"));
                (place, answered.then(|| began.elapsed().as_secs_f64()))
            });
        }
        let mut visit = Visit { took_s: vec![None; jobs.len()] };
        while let Some(done) = running.join_next().await {
            let (place, took_s) = done.map_err(io::Error::other)?;
            visit.took_s[place] = took_s;
        }
        Ok(visit)
    }

    fn request(&self, job: Job) -> String {
        let Job { class, key, bytes, runs_s, .. } = job;
        let link = match self.kind {
            Kind::Declared => format!("link: <http://{}/inputs/{key}-{bytes}>; rel=preload\r\n", self.origin),
            Kind::Cold | Kind::Learned => String::new(),
        };
        let ms = (runs_s * 1e3).round();
        format!(
            "GET /run?input={key}-{bytes}&class={class}&ms={ms} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n{link}\r\n"
        )
    }

    /// What its far sidecar has counted so far.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn moved(&self) -> io::Result<Moved> {
        let metrics = get(self.far_admin, "/metrics").await?;
        let figure = |series: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            line.and_then(|value| value.trim().parse::<f64>().ok()).unwrap_or(0.0)
        };
        let looked_up = |result: &str| figure(&format!("adumbra_data_lookups_total{{result=\"{result}\"}}"));
        Ok(Moved {
            warmed_bytes: figure("adumbra_data_warmed_bytes_total"),
            useful_bytes: figure("adumbra_data_useful_bytes_total"),
            hits: looked_up("hit") + looked_up("joined"),
            reads: ["hit", "joined", "miss", "bypass"].map(looked_up).iter().sum(),
        })
    }
}

/// Waits until the near sidecar has heard of the far one.
async fn await_peer(admin: SocketAddr) -> Result<(), StartError> {
    let until = Instant::now() + WITHIN;
    loop {
        let healthy = get(admin, "/metrics").await.is_ok_and(|metrics| {
            metrics.lines().any(|line| line.starts_with("adumbra_network_healthy{network=\"public\"} 1"))
        });
        if healthy {
            return Ok(());
        }
        if Instant::now() > until {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the sidecars do not find each other").into());
        }
        sleep(Duration::from_millis(20)).await;
    }
}

async fn get(at: SocketAddr, path: &str) -> io::Result<String> {
    ask(at, &format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")).await
}

async fn ask(at: SocketAddr, request: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
