//! A job of the demo: what the request says, and what its seed hides.
//!
//! A request tells the kind and the size. How long the work takes lies in the seed: the scene or the picture it stands
//! for, and how much its assets ask of the device. The sidecar is not told to look at the seed, so it knows what a
//! proxy would know about real requests.

use super::kernel::{Build, Step, Stopped, encode, render, trace};
use super::random::Random;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A tile of the Mandelbrot set.
    Render,
    /// A picture of spheres.
    Trace,
    /// A picture from the request's body, compressed.
    Encode,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 3] = [Self::Render, Self::Trace, Self::Encode];

    /// Its name, which is its path and its class too.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Render => "render",
            Self::Trace => "trace",
            Self::Encode => "encode",
        }
    }

    /// Sizes on offer: the side in pixels, or the body in bytes.
    fn sizes(self) -> [usize; 3] {
        match self {
            Self::Render => [192, 256, 320],
            Self::Trace => [160, 192, 224],
            Self::Encode => [96 << 10, 128 << 10, 192 << 10],
        }
    }

    /// The largest size the service takes; a larger one is refused.
    fn largest(self) -> usize {
        self.sizes()[2]
    }
}

/// One job. Two with the same fields have the same answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) kind: Kind,
    pub(crate) size: usize,
    pub(crate) seed: u64,
}

/// What a job asks of its network's device: `operations` waits, evenly spread over its work, of `bytes` each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Assets {
    pub(crate) operations: u32,
    pub(crate) bytes: u32,
}

impl Job {
    /// A job drawn at random: 4 in 10 render, 3 trace, 3 encode.
    pub(crate) fn draw(random: &mut Random) -> Self {
        let kind = match random.below(10) {
            0..4 => Kind::Render,
            4..7 => Kind::Trace,
            _ => Kind::Encode,
        };
        let size = kind.sizes()[random.below(3)];
        Self { kind, size, seed: random.next() >> 32 }
    }

    /// The request's path and query.
    pub(crate) fn target(&self) -> String {
        format!("/{}?size={}&seed={}", self.kind.name(), self.size, self.seed)
    }

    /// The job a path and a query ask for; `None` when they ask for none.
    pub(crate) fn parse(path: &str, query: &str) -> Option<Self> {
        let kind = Kind::ALL.into_iter().find(|kind| path.strip_prefix('/') == Some(kind.name()))?;
        let (mut size, mut seed) = (None, None);
        for pair in query.split('&') {
            match pair.split_once('=')? {
                ("size", value) => size = value.parse().ok(),
                ("seed", value) => seed = value.parse().ok(),
                _ => {}
            }
        }
        let job = Self { kind, size: size?, seed: seed? };
        (job.size >= 16 && job.size <= kind.largest()).then_some(job)
    }

    /// The request's body: the picture to compress, or nothing.
    pub(crate) fn body(&self) -> Vec<u8> {
        match self.kind {
            Kind::Encode => encode::picture(self.seed, self.size),
            Kind::Render | Kind::Trace => Vec::new(),
        }
    }

    /// What it asks of the device: a tracer loads a few large models, an encoder looks up many small things, a renderer is
    /// between them. How much, within that, the seed hides.
    pub(crate) fn assets(&self) -> Assets {
        let mut random = Random::new(self.seed, 0xa55e);
        let (operations, bytes) = match self.kind {
            Kind::Render => ((3.0, 9.0), (0.3e6, 1.8e6)),
            Kind::Trace => ((2.0, 6.0), (1.2e6, 5.0e6)),
            Kind::Encode => ((8.0, 20.0), (0.05e6, 0.3e6)),
        };
        let operations = random.log_between(operations.0, operations.1) as u32;
        Assets { operations, bytes: random.log_between(bytes.0, bytes.1) as u32 }
    }

    /// Does the work. `body` is what [`Job::body`] gives, or whatever a stranger sent instead.
    pub(crate) fn run(&self, build: Build, body: &[u8], step: Step<'_>) -> Result<Vec<u8>, Stopped> {
        match self.kind {
            Kind::Render => render::render(build, &render::Scene::new(self.seed), self.size, step),
            Kind::Trace => trace::trace(build, &trace::Scene::new(self.seed), self.size, step),
            Kind::Encode => encode::encode(build, body, step),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Job, Kind};
    use crate::demo::random::Random;

    #[test]
    fn a_request_says_its_job() {
        let mut random = Random::new(3, 3);
        for _ in 0..50 {
            let job = Job::draw(&mut random);
            let target = job.target();
            let (path, query) = target.split_once('?').expect("a target has a query");
            assert_eq!(Job::parse(path, query), Some(job));
        }
    }

    #[test]
    fn what_is_no_job_is_refused() {
        let check = |path, query| assert_eq!(Job::parse(path, query), None, "{path}?{query}");
        check("/", "size=192&seed=1");
        check("/render", "");
        check("/render", "size=192");
        check("/render", "size=9&seed=1");
        check("/render", "size=100000&seed=1");
        check("/render", "size=-1&seed=1");
    }

    #[test]
    fn a_body_has_the_size_the_request_says() {
        let job = Job { kind: Kind::Encode, size: 98_304, seed: 5 };
        assert_eq!(job.body().len(), 98_304);
        assert!(Job { kind: Kind::Render, ..job }.body().is_empty());
    }
}
