//! `render`: a tile of the Mandelbrot set as a grey PGM image.
//!
//! The cost lies in where the tile is. Outside the set a pixel escapes soon and lanes shine; inside it never escapes,
//! the wide build counts to the limit, and the tuned one sees the orbit repeat itself to the last bit and stops. The
//! scene's seed hides which of the two a tile is. Rows are rendered interlaced, as a previewing renderer does, so the
//! fraction of rows done says something about the time that is left.
//!
//! Both builds do the same float operations in the same order for each pixel, so their counts are equal, not just
//! close.

use super::{Build, Step, Stopped};
use crate::demo::random::Random;

/// Pixels computed side by side by the wide build: two vectors of two on the baseline target, enough to hide latency.
const LANES: usize = 4;

/// Iterations the wide build does before it looks whether a lane is left; a scene's limit is a multiple of it.
const STRIP: u32 = 8;

/// Rows are visited with this stride, phase by phase.
const INTERLACE: usize = 8;

/// A tile and how deep to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scene {
    left: f64,
    top: f64,
    span: f64,
    limit: u32,
}

impl Scene {
    /// The scene a seed stands for.
    ///
    /// Most of the plane is trivially cheap, so candidates are drawn until a coarse sampling finds one with enough
    /// detail; the last one stands when none does.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 0x5e7e);
        let wanted = random.log_between(100.0, 800.0);
        let mut scene = Self::candidate(&mut random);
        for _ in 0..60 {
            let (tuned, wide) = scene.effort();
            let within = |effort: f64| (0.6 * wanted..1.6 * wanted).contains(&effort);
            if within(tuned) && (0.5 * wanted..4.5 * wanted).contains(&wide) {
                break;
            }
            scene = Self::candidate(&mut random);
        }
        scene
    }

    fn candidate(random: &mut Random) -> Self {
        let span = random.log_between(0.002, 1.2);
        let (x, y) = (random.between(-1.9, 0.45), random.between(-1.1, 1.1));
        let limit = random.log_between(150.0, 750.0) as u32 * STRIP;
        Self { left: x - span / 2.0, top: y - span / 2.0, span, limit }
    }

    /// Mean iterations a pixel, coarsely sampled: those the tuned build does, and those the wide build does.
    fn effort(&self) -> (f64, f64) {
        const SIDE: usize = 10;
        let (mut tuned, mut wide) = (0_u64, 0_u64);
        for row in 0..SIDE {
            for column in 0..SIDE {
                let (count, done) = escape(self.x(column, SIDE), self.y(row, SIDE), self.limit);
                tuned += u64::from(done);
                wide += u64::from(count);
            }
        }
        let pixels = (SIDE * SIDE) as f64;
        (tuned as f64 / pixels, wide as f64 / pixels)
    }

    fn x(&self, column: usize, side: usize) -> f64 {
        self.left + self.span * (column as f64 + 0.5) / side as f64
    }

    fn y(&self, row: usize, side: usize) -> f64 {
        self.top + self.span * (row as f64 + 0.5) / side as f64
    }
}

/// The tile as a PGM file of `side` × `side` pixels, each the mean of 2 × 2 samples.
pub(crate) fn render(build: Build, scene: &Scene, side: usize, step: Step<'_>) -> Result<Vec<u8>, Stopped> {
    let mut image = format!("P5 {side} {side} 255\n").into_bytes();
    let head = image.len();
    image.resize(head + side * side, 0);
    let mut samples = [vec![0_u8; side * 2], vec![0_u8; side * 2]];
    let rows = (0..INTERLACE).flat_map(|phase| (phase..side).step_by(INTERLACE));
    for (done, row) in rows.enumerate() {
        step(done as f64 / side as f64)?;
        for (half, line) in samples.iter_mut().enumerate() {
            match build {
                Build::Tuned => line_tuned(scene, row * 2 + half, line),
                Build::Wide => line_wide(scene, row * 2 + half, line),
            }
        }
        let start = head + row * side;
        for (column, pixel) in image[start..start + side].iter_mut().enumerate() {
            let sum: u32 =
                samples.iter().flat_map(|line| &line[column * 2..column * 2 + 2]).map(|&s| u32::from(s)).sum();
            *pixel = (sum / 4) as u8;
        }
    }
    Ok(image)
}

fn line_tuned(scene: &Scene, row: usize, line: &mut [u8]) {
    let side = line.len();
    for (column, sample) in line.iter_mut().enumerate() {
        let (count, _) = escape(scene.x(column, side), scene.y(row, side), scene.limit);
        *sample = shade(count);
    }
}

fn line_wide(scene: &Scene, row: usize, line: &mut [u8]) {
    let side = line.len();
    for first in (0..side).step_by(LANES) {
        let counts =
            escape_lanes(std::array::from_fn(|lane| scene.x(first + lane, side)), scene.y(row, side), scene.limit);
        for (sample, count) in line[first..].iter_mut().zip(counts) {
            *sample = shade(count);
        }
    }
}

fn shade(count: u32) -> u8 {
    (count % 251) as u8
}

/// How many steps the orbit of `x + iy` stays near, and how many had to be taken to know.
///
/// An orbit that returns to the very bits of an earlier point repeats for ever, so stopping there is exact (Brent's
/// search: the remembered point moves on after 8, 16, 32, … steps).
fn escape(cx: f64, cy: f64, limit: u32) -> (u32, u32) {
    let (mut x, mut y) = (0.0, 0.0);
    let (mut seen_x, mut seen_y) = (0.0, 0.0);
    let (mut since, mut until) = (0_u32, 8_u32);
    for count in 0..limit {
        let (xx, yy) = (x * x, y * y);
        if xx + yy > 4.0 {
            return (count, count);
        }
        y = 2.0 * x * y + cy;
        x = xx - yy + cx;
        if x == seen_x && y == seen_y {
            return (limit, count);
        }
        since += 1;
        if since == until {
            (seen_x, seen_y) = (x, y);
            since = 0;
            until *= 2;
        }
    }
    (limit, limit)
}

/// [`escape`] for a block of pixels of one row, all lanes until the last has escaped.
///
/// An escaped lane runs on into infinity, which costs nothing and counts for nothing.
fn escape_lanes(cx: [f64; LANES], cy: f64, limit: u32) -> [u32; LANES] {
    let (mut x, mut y) = ([0.0; LANES], [0.0; LANES]);
    let mut near = [1.0_f64; LANES];
    let mut counts = [0.0_f64; LANES];
    for _ in 0..limit / STRIP {
        for _ in 0..STRIP {
            for lane in 0..LANES {
                let (xx, yy) = (x[lane] * x[lane], y[lane] * y[lane]);
                near[lane] = if xx + yy > 4.0 { 0.0 } else { near[lane] };
                counts[lane] += near[lane];
                y[lane] = 2.0 * x[lane] * y[lane] + cy;
                x[lane] = xx - yy + cx[lane];
            }
        }
        if near == [0.0; LANES] {
            break;
        }
    }
    counts.map(|count| count as u32)
}

#[cfg(test)]
mod tests {
    use super::{Build, Scene, Stopped, render};

    #[test]
    fn both_builds_draw_the_same_bytes() {
        for seed in 0..12 {
            let scene = Scene::new(seed);
            let draw = |build| render(build, &scene, 18, &mut |_| Ok(())).expect("nothing stops it");
            assert_eq!(draw(Build::Tuned), draw(Build::Wide), "seed {seed}");
        }
    }

    #[test]
    fn a_stopped_job_draws_no_further_row() {
        let mut rows = 0;
        let drawn = render(Build::Tuned, &Scene::new(1), 16, &mut |_| {
            rows += 1;
            if rows == 3 { Err(Stopped) } else { Ok(()) }
        });
        assert_eq!((drawn, rows), (Err(Stopped), 3));
    }
}
