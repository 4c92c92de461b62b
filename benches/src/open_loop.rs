//! Latency at a fixed rate, free of coordinated omission.
//!
//! A closed loop waits for a slow proxy before it asks again, and so never sees the queue that real clients would stand in.
//! Here request `i` is due at `i / rate`, whatever became of the others, and its latency counts from that moment: waiting
//! for a free connection is part of it. One thread with epoll and a timer of nanosecond resolution, since tokio's timer
//! rounds up to a millisecond, which is more than the latencies to be told apart.
//!
//! What is the generator's own fault is measured too: `lag_ns` is how late it looked at requests that were due.

use std::collections::VecDeque;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::epoll;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use self::connection::{Connection, Progress};

mod connection;

const TIMER: u64 = u64::MAX;
const HIGHEST_NS: u64 = 60_000_000_000;
/// How long stragglers are waited for after the last request was due.
pub const GRACE: Duration = Duration::from_secs(2);

/// What to send where, how fast and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// The listener under test.
    pub target: SocketAddr,
    /// The whole request, head and body.
    pub request: &'a [u8],
    /// The body that every answer must have, if that is to be checked.
    pub expected: Option<&'a [u8]>,
    /// Keep-alive connections, opened before the first request is due.
    pub connections: usize,
    /// Requests due per second, evenly spaced.
    pub rate_per_second: f64,
    /// For how long requests fall due.
    pub duration: Duration,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// From due to the answer's last byte, of answers with status 200.
    pub latency_ns: Histogram<u64>,
    /// From due to the moment the generator noticed.
    pub lag_ns: Histogram<u64>,
    /// Requests that fell due.
    pub due: u64,
    /// Answers with another status.
    pub bad_status: u64,
    /// Connections that broke or answered nonsense.
    pub socket_errors: u64,
    /// Answers whose body was not the expected one; their latency counts all the same.
    pub wrong_bodies: u64,
}

impl Outcome {
    /// Requests that had no good answer by the end of the grace time.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.due.saturating_sub(self.latency_ns.len())
    }
}

/// Runs `load` on the calling thread.
///
/// # Errors
/// When connections, timer or epoll cannot be had; what goes wrong later is counted instead.
pub fn run(load: &Load<'_>) -> io::Result<Outcome> {
    Generator::new(load)?.run()
}

struct Generator<'a> {
    load: Load<'a>,
    poll: OwnedFd,
    timer: OwnedFd,
    connections: Vec<Connection>,
    /// Used in turn, so that all of them stay warm.
    idle: VecDeque<usize>,
    start: Instant,
    /// Requests noticed as due, and those of them sent: the rest waits for a connection.
    noticed: u64,
    sent: u64,
    /// The request the timer is set for.
    armed: u64,
    outcome: Outcome,
}

impl<'a> Generator<'a> {
    fn new(load: &Load<'a>) -> io::Result<Self> {
        let histogram = || Histogram::new_with_bounds(1, HIGHEST_NS, 3).map_err(io::Error::other);
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        epoll::add(&poll, &timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN | epoll::EventFlags::ET)?;
        let open = |at| Connection::open(load.target, &poll, at);
        let connections = (0..load.connections).map(open).collect::<io::Result<Vec<_>>>()?;
        let total = (load.rate_per_second * load.duration.as_secs_f64()) as u64;
        Ok(Self {
            load: *load,
            idle: (0..connections.len()).collect(),
            connections,
            poll,
            timer,
            start: Instant::now(),
            noticed: 0,
            sent: 0,
            armed: u64::MAX,
            outcome: Outcome {
                latency_ns: histogram()?,
                lag_ns: histogram()?,
                due: total,
                bad_status: 0,
                socket_errors: 0,
                wrong_bodies: 0,
            },
        })
    }

    fn run(mut self) -> io::Result<Outcome> {
        let until = self.start + self.load.duration + GRACE;
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 128];
        loop {
            let now = Instant::now();
            self.notice(now);
            self.send()?;
            let all_done = self.noticed == self.outcome.due && self.idle.len() == self.connections.len();
            if all_done || now >= until {
                return Ok(self.outcome);
            }
            self.arm(now)?;
            let patience = Timespec { tv_sec: 1, tv_nsec: 0 };
            let ready = match epoll::wait(&self.poll, &mut events[..], Some(&patience)) {
                Ok((ready, _)) => ready,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for at in ready.iter().map(|event| event.data.u64()).filter(|data| *data != TIMER) {
                self.receive(usize::try_from(at).map_err(io::Error::other)?)?;
            }
        }
    }

    /// The moment request `index` is due.
    fn due(&self, index: u64) -> Instant {
        self.start + Duration::from_secs_f64(index as f64 / self.load.rate_per_second)
    }

    fn notice(&mut self, now: Instant) {
        while self.noticed < self.outcome.due && self.due(self.noticed) <= now {
            let lag = now - self.due(self.noticed);
            self.outcome.lag_ns.saturating_record(nanoseconds(lag));
            self.noticed += 1;
        }
    }

    fn send(&mut self) -> io::Result<()> {
        while self.sent < self.noticed {
            let Some(at) = self.idle.pop_front() else { return Ok(()) };
            let due = self.due(self.sent);
            self.sent += 1;
            if self.connections[at].send(self.load.request, due).is_err() {
                self.replace(at)?;
            }
        }
        Ok(())
    }

    /// Sets the timer for the next request, unless it is set for it already.
    fn arm(&mut self, now: Instant) -> io::Result<()> {
        if self.noticed == self.outcome.due || self.armed == self.noticed {
            return Ok(());
        }
        // Zero would disarm it.
        let wait = self.due(self.noticed).saturating_duration_since(now).max(Duration::from_nanos(1));
        let it_value = Timespec::try_from(wait).map_err(io::Error::other)?;
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once)?;
        self.armed = self.noticed;
        Ok(())
    }

    fn receive(&mut self, at: usize) -> io::Result<()> {
        match self.connections[at].receive() {
            Ok(Progress::Waiting) => {}
            Ok(Progress::Answered { status: 200, due }) => {
                self.outcome.latency_ns.saturating_record(nanoseconds(due.elapsed()));
                let right = self.load.expected.is_none_or(|body| body == self.connections[at].body());
                self.outcome.wrong_bodies += u64::from(!right);
                self.idle.push_back(at);
            }
            Ok(Progress::Answered { .. }) => {
                self.outcome.bad_status += 1;
                self.idle.push_back(at);
            }
            Err(_) => self.replace(at)?,
        }
        Ok(())
    }

    fn replace(&mut self, at: usize) -> io::Result<()> {
        self.outcome.socket_errors += 1;
        self.connections[at] = Connection::open(self.load.target, &self.poll, at)?;
        if !self.idle.contains(&at) {
            self.idle.push_back(at);
        }
        Ok(())
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(HIGHEST_NS)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, TcpListener};
    use std::thread;

    use super::*;

    /// Answers each request on one connection at a time, the first after a stall.
    fn stalling_server(stall: Duration) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut bytes = [0; 1024];
            let mut pause = stall;
            while stream.read(&mut bytes).is_ok_and(|count| count > 0) {
                thread::sleep(std::mem::take(&mut pause));
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").expect("the client reads");
            }
        });
        address
    }

    #[test]
    fn a_stall_is_seen_by_all_who_stood_behind_it() {
        let load = Load {
            target: stalling_server(Duration::from_millis(200)),
            request: b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            expected: Some(b"ok"),
            connections: 1,
            rate_per_second: 100.0,
            duration: Duration::from_millis(400),
        };
        let outcome = run(&load).expect("it runs");
        assert_eq!((outcome.due, outcome.missing(), outcome.socket_errors), (40, 0, 0));
        // A closed loop would have seen one slow answer of 40; here about 20 wait, the median among them.
        assert!(outcome.latency_ns.value_at_quantile(0.75) > 50_000_000);
    }
}
