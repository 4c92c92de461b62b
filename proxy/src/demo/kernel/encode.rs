//! `encode`: a picture, sent in the request, compressed without loss by a small dictionary coder.
//!
//! The coder searches a window for the longest earlier match at every position, then takes the cheapest way through
//! them. The cost lies in how much the picture repeats itself, which its size does not give away. The tuned build skips
//! a candidate that cannot beat the best so far, by one byte; the wide one measures every candidate, eight bytes at a
//! time. Both keep the first of the longest.
//!
//! The format: a byte `0`, a length byte and that many literals; or a byte `1`, a length and a distance, two bytes
//! each, big end first. It is made to be verified, not to compete.

use super::{Build, Step, Stopped};
use crate::demo::random::Random;

/// The shortest match worth its five bytes.
const SHORTEST: usize = 6;
/// Bytes of a match's token.
const MATCH_COST: usize = 5;
/// The longest match one token holds.
const LONGEST: usize = 512;
/// How far back a match may lie.
const WINDOW: usize = 60_000;
/// Candidates tried for one position.
const PATIENCE: usize = 3_000;
/// Distinct values of the hash of four bytes.
const BUCKETS: usize = 1 << 14;
/// Input bytes between two steps.
const STRIDE: usize = 512;
/// The end of a chain of candidates.
const NONE: u32 = u32::MAX;

/// The picture a seed stands for, `length` bytes of grey: a texture that repeats more or less often, under more or less
/// noise.
pub(crate) fn picture(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(seed, 0xe4c0);
    let width = 256;
    let period = random.log_between(2.0, 24.0) as usize;
    let noise = random.log_between(0.03, 0.15);
    let shades = 3 + random.below(14);
    let texture: Vec<u8> = (0..period * 16).map(|_| (random.below(shades) * 16) as u8).collect();
    (0..length)
        .map(|at| {
            let (row, column) = (at / width, at % width);
            let grain = if random.unit() < noise { random.below(256) as u8 } else { 0 };
            texture[(row % 16 * period + column) % texture.len()].wrapping_add(grain)
        })
        .collect()
}

/// The compressed picture: the longest match at every position, then the cheapest way through them.
pub(crate) fn encode(build: Build, input: &[u8], step: Step<'_>) -> Result<Vec<u8>, Stopped> {
    let mut coder = Coder { build, input, heads: vec![NONE; BUCKETS], earlier: vec![NONE; input.len()] };
    let mut matches = Vec::with_capacity(input.len());
    for at in 0..input.len() {
        if at % STRIDE == 0 {
            step(at as f64 / input.len() as f64)?;
        }
        matches.push(coder.longest(at));
        coder.enter(at);
    }
    Ok(write(input, &matches))
}

/// The tokens of the cheapest way from the first byte to the last, found from the end.
fn write(input: &[u8], matches: &[(usize, usize)]) -> Vec<u8> {
    let mut cost = vec![0; input.len() + 1];
    for at in (0..input.len()).rev() {
        let literal = cost[at + 1] + 1;
        let (length, _) = matches[at];
        cost[at] = if length < SHORTEST { literal } else { literal.min(cost[at + length] + MATCH_COST) };
    }
    let mut output = Vec::with_capacity(cost[0] + cost[0] / 64);
    let (mut at, mut literals) = (0, 0);
    while at < input.len() {
        let (length, distance) = matches[at];
        if length < SHORTEST || cost[at] == cost[at + 1] + 1 {
            at += 1;
            continue;
        }
        put_literals(&mut output, &input[literals..at]);
        output.push(1);
        output.extend_from_slice(&(length as u16).to_be_bytes());
        output.extend_from_slice(&(distance as u16).to_be_bytes());
        at += length;
        literals = at;
    }
    put_literals(&mut output, &input[literals..]);
    output
}

fn put_literals(output: &mut Vec<u8>, literals: &[u8]) {
    for chunk in literals.chunks(255) {
        output.extend_from_slice(&[0, chunk.len() as u8]);
        output.extend_from_slice(chunk);
    }
}

/// The dictionary: positions by the hash of their next four bytes, latest first.
struct Coder<'a> {
    build: Build,
    input: &'a [u8],
    heads: Vec<u32>,
    earlier: Vec<u32>,
}

impl Coder<'_> {
    fn bucket(&self, at: usize) -> Option<usize> {
        let next = self.input.get(at..at + 4)?;
        let word = u32::from_le_bytes([next[0], next[1], next[2], next[3]]);
        Some((word.wrapping_mul(0x9E37_79B1) >> 18) as usize)
    }

    fn enter(&mut self, at: usize) {
        if let Some(bucket) = self.bucket(at) {
            self.earlier[at] = self.heads[bucket];
            self.heads[bucket] = at as u32;
        }
    }

    /// Length and distance of the longest match for what begins at `at`; of equals, the latest.
    fn longest(&self, at: usize) -> (usize, usize) {
        let (mut length, mut distance) = (0, 0);
        let Some(bucket) = self.bucket(at) else { return (0, 0) };
        let most = LONGEST.min(self.input.len() - at);
        let mut candidate = self.heads[bucket];
        for _ in 0..PATIENCE {
            if candidate == NONE || at - candidate as usize > WINDOW || length == most {
                break;
            }
            let from = candidate as usize;
            let found = match self.build {
                Build::Tuned if self.input[from + length] != self.input[at + length] => 0,
                Build::Tuned => self.common_bytes(from, at, most),
                Build::Wide => self.common_words(from, at, most),
            };
            if found > length {
                (length, distance) = (found, at - from);
            }
            candidate = self.earlier[from];
        }
        (length, distance)
    }

    /// How many bytes are the same from `from` and from `at`, `most` at the most.
    fn common_words(&self, from: usize, at: usize, most: usize) -> usize {
        let (old, new) = (&self.input[from..from + most], &self.input[at..at + most]);
        let (old_words, _) = old.as_chunks::<8>();
        let (new_words, _) = new.as_chunks::<8>();
        for (index, (a, b)) in old_words.iter().zip(new_words).enumerate() {
            let differing = u64::from_le_bytes(*a) ^ u64::from_le_bytes(*b);
            if differing != 0 {
                return index * 8 + (differing.trailing_zeros() / 8) as usize;
            }
        }
        let start = old_words.len() * 8;
        start + old[start..].iter().zip(&new[start..]).take_while(|(a, b)| a == b).count()
    }

    fn common_bytes(&self, from: usize, at: usize, most: usize) -> usize {
        let (old, new) = (&self.input[from..from + most], &self.input[at..at + most]);
        old.iter().zip(new).take_while(|(a, b)| a == b).count()
    }
}

#[cfg(test)]
mod tests {
    use super::{Build, encode, picture};

    fn decode(mut coded: &[u8]) -> Vec<u8> {
        let mut output = Vec::new();
        while let [kind, rest @ ..] = coded {
            if *kind == 0 {
                let end = 1 + usize::from(rest[0]);
                output.extend_from_slice(&rest[1..end]);
                coded = &rest[end..];
            } else {
                let length = usize::from(u16::from_be_bytes([rest[0], rest[1]]));
                let distance = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
                (0..length).for_each(|_| output.push(output[output.len() - distance]));
                coded = &rest[4..];
            }
        }
        output
    }

    #[test]
    fn both_builds_write_the_same_bytes_and_they_decode() {
        for seed in 0..12 {
            let input = picture(seed, 6_000);
            let code = |build| encode(build, &input, &mut |_| Ok(())).expect("nothing stops it");
            let coded = code(Build::Tuned);
            assert_eq!(coded, code(Build::Wide), "seed {seed}");
            assert!(decode(&coded) == input, "seed {seed}");
            assert!(coded.len() < input.len(), "seed {seed}: {}", coded.len());
        }
    }

    #[test]
    fn nothing_encodes_to_nothing() {
        assert_eq!(encode(Build::Wide, &[], &mut |_| Ok(())), Ok(Vec::new()));
    }
}
