//! `trace`: mirror-like spheres over a floor of light, ray-traced to a PPM image.
//!
//! The cost lies in how many spheres there are and how often light bounces between them, which the seed hides. The
//! tuned build walks the spheres one by one and rejects most before the square root; the wide one computes a block of
//! eight at once. Both do the same float operations for a sphere that is hit and take the first of equals, so the
//! images are equal.

use super::{Build, Step, Stopped};
use crate::demo::random::Random;

/// Spheres tested side by side by the wide build.
const LANES: usize = 8;

/// Rows are visited with this stride, phase by phase, so that progress is even.
const INTERLACE: usize = 8;

/// Nearer hits are the surface the ray starts from.
const NEAREST: f32 = 1e-3;

type Vector = [f32; 3];

#[derive(Clone, Copy, Debug)]
struct Sphere {
    centre: Vector,
    radius_squared: f32,
    colour: Vector,
    mirror: f32,
}

/// Eight spheres, field by field, for the wide build; the blanks at the end are never hit.
#[derive(Clone, Copy, Debug)]
struct Block {
    x: [f32; LANES],
    y: [f32; LANES],
    z: [f32; LANES],
    radius_squared: [f32; LANES],
}

/// Spheres, and how the camera looks at them.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    spheres: Vec<Sphere>,
    blocks: Vec<Block>,
    bounces: usize,
    samples: usize,
}

impl Scene {
    /// The scene a seed stands for: 64 to 480 spheres, two to seven bounces, four to eight samples a pixel.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, 0x7ace);
        let count = random.log_between(64.0, 480.0) as usize;
        let shine = random.between(0.15, 0.95);
        let bounces = 2 + random.below(6);
        let samples = 4 + random.below(5);
        let spheres: Vec<Sphere> = (0..count)
            .map(|_| {
                let radius = random.between(0.1, 0.5) as f32;
                Sphere {
                    centre: [
                        random.between(-3.0, 3.0) as f32,
                        random.between(-3.0, 3.0) as f32,
                        random.between(3.0, 9.0) as f32,
                    ],
                    radius_squared: radius * radius,
                    colour: [random.unit() as f32, random.unit() as f32, random.unit() as f32],
                    mirror: if random.unit() < shine { 0.8 } else { 0.0 },
                }
            })
            .collect();
        let blocks = spheres.chunks(LANES).map(Block::new).collect();
        Self { spheres, blocks, bounces, samples }
    }
}

impl Block {
    fn new(spheres: &[Sphere]) -> Self {
        let mut block =
            Self { x: [0.0; LANES], y: [0.0; LANES], z: [0.0; LANES], radius_squared: [f32::NEG_INFINITY; LANES] };
        for (lane, sphere) in spheres.iter().enumerate() {
            [block.x[lane], block.y[lane], block.z[lane]] = sphere.centre;
            block.radius_squared[lane] = sphere.radius_squared;
        }
        block
    }
}

/// The scene as a PPM file of `side` × `side` pixels.
pub(crate) fn trace(build: Build, scene: &Scene, side: usize, step: Step<'_>) -> Result<Vec<u8>, Stopped> {
    let mut image = format!("P6 {side} {side} 255\n").into_bytes();
    let head = image.len();
    image.resize(head + side * side * 3, 0);
    let rows = (0..INTERLACE).flat_map(|phase| (phase..side).step_by(INTERLACE));
    for (done, row) in rows.enumerate() {
        step(done as f64 / side as f64)?;
        for column in 0..side {
            let start = head + (row * side + column) * 3;
            image[start..start + 3].copy_from_slice(&pixel(build, scene, side, row, column));
        }
    }
    Ok(image)
}

fn pixel(build: Build, scene: &Scene, side: usize, row: usize, column: usize) -> [u8; 3] {
    let mut light = [0.0; 3];
    for sample in 0..scene.samples {
        let shift = (sample as f32 + 0.5) / scene.samples as f32;
        let x = (column as f32 + shift) / side as f32 - 0.5;
        let y = (row as f32 + shift) / side as f32 - 0.5;
        light = add(light, radiance(build, scene, normal([x, y, 0.6])));
    }
    light.map(|channel| (channel / scene.samples as f32 * 255.0).clamp(0.0, 255.0) as u8)
}

/// Light that comes back along one ray from the camera.
fn radiance(build: Build, scene: &Scene, mut direction: Vector) -> Vector {
    let (mut origin, mut weight, mut light) = ([0.0; 3], 1.0, [0.0; 3]);
    for _ in 0..=scene.bounces {
        let Some((distance, index)) = nearest(build, scene, origin, direction) else {
            let sky = 0.5 + 0.5 * direction[1];
            return add(light, scale([0.6 * sky, 0.7 * sky, sky], weight));
        };
        let sphere = &scene.spheres[index];
        let point = add(origin, scale(direction, distance));
        let surface = normal(add(point, scale(sphere.centre, -1.0)));
        let lamp = normal([0.5, -1.0, -0.6]);
        let facing = dot(surface, lamp).max(0.0);
        let lit = facing > 0.0 && nearest(build, scene, point, lamp).is_none();
        let brightness = 0.1 + if lit { facing } else { 0.0 };
        light = add(light, scale(sphere.colour, weight * (1.0 - sphere.mirror) * brightness));
        weight *= sphere.mirror;
        if weight == 0.0 {
            break;
        }
        direction = add(direction, scale(surface, -2.0 * dot(direction, surface)));
        origin = point;
    }
    light
}

fn nearest(build: Build, scene: &Scene, origin: Vector, direction: Vector) -> Option<(f32, usize)> {
    match build {
        Build::Tuned => nearest_tuned(&scene.spheres, origin, direction),
        Build::Wide => nearest_wide(&scene.blocks, origin, direction),
    }
}

fn nearest_tuned(spheres: &[Sphere], origin: Vector, direction: Vector) -> Option<(f32, usize)> {
    let mut best: Option<(f32, usize)> = None;
    for (index, sphere) in spheres.iter().enumerate() {
        let [x, y, z] = [origin[0] - sphere.centre[0], origin[1] - sphere.centre[1], origin[2] - sphere.centre[2]];
        let along = x * direction[0] + y * direction[1] + z * direction[2];
        if along > 0.0 {
            continue;
        }
        let discriminant = along * along - (x * x + y * y + z * z - sphere.radius_squared);
        if discriminant < 0.0 {
            continue;
        }
        let distance = -along - discriminant.sqrt();
        if distance > NEAREST && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, index));
        }
    }
    best
}

fn nearest_wide(blocks: &[Block], origin: Vector, direction: Vector) -> Option<(f32, usize)> {
    let mut least = [f32::INFINITY; LANES];
    let mut found = [0_u32; LANES];
    for (number, block) in (0_u32..).zip(blocks) {
        for lane in 0..LANES {
            let [x, y, z] = [origin[0] - block.x[lane], origin[1] - block.y[lane], origin[2] - block.z[lane]];
            let along = x * direction[0] + y * direction[1] + z * direction[2];
            let discriminant = along * along - (x * x + y * y + z * z - block.radius_squared[lane]);
            // The root of a miss is NaN, which neither comparison lets through.
            let distance = -along - discriminant.sqrt();
            let closer = (distance > NEAREST) & (distance < least[lane]);
            least[lane] = if closer { distance } else { least[lane] };
            found[lane] = if closer { number } else { found[lane] };
        }
    }
    (0..LANES)
        .filter(|&lane| least[lane] < f32::INFINITY)
        .map(|lane| (least[lane], found[lane] as usize * LANES + lane))
        .min_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
}

fn dot(a: Vector, b: Vector) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn add(a: Vector, b: Vector) -> Vector {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}

fn scale(a: Vector, factor: f32) -> Vector {
    a.map(|component| component * factor)
}

fn normal(a: Vector) -> Vector {
    scale(a, 1.0 / dot(a, a).sqrt())
}

#[cfg(test)]
mod tests {
    use super::{Build, Scene, trace};

    #[test]
    fn both_builds_draw_the_same_bytes() {
        for seed in 0..12 {
            let scene = Scene::new(seed);
            let draw = |build| trace(build, &scene, 24, &mut |_| Ok(())).expect("nothing stops it");
            assert_eq!(draw(Build::Tuned), draw(Build::Wide), "seed {seed}");
        }
    }
}
