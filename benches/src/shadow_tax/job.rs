//! The job of the shadow tax bench: what its service computes, and what the load checks.

use bytes::Bytes;

/// Bytes of a job's body.
pub const REQUEST_BYTES: usize = 8 * 1024;
/// Bytes of its answer.
const ANSWER_BYTES: usize = 4 * 1024;

/// A body that says nothing and compresses to nothing.
#[must_use]
pub fn request_body() -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    (0..REQUEST_BYTES)
        .map(|_| {
            state = mixed(state);
            state.to_le_bytes()[0]
        })
        .collect()
}

/// The answer to a body, after so many rounds over it.
#[must_use]
pub fn answer(body: &[u8], rounds: u32) -> Bytes {
    let mut state = 0xCBF2_9CE4_8422_2325_u64;
    for _ in 0..rounds {
        state = body.iter().fold(state, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3));
    }
    let words = std::iter::successors(Some(mixed(state)), |word| Some(mixed(*word)));
    words.flat_map(u64::to_le_bytes).take(ANSWER_BYTES).collect()
}

/// One step of the xorshift generator with a 64-bit state (Marsaglia 2003, triple 13, 7, 17). 0 is no state.
fn mixed(state: u64) -> u64 {
    let mut state = state.max(1);
    state ^= state << 13;
    state ^= state >> 7;
    state ^ (state << 17)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_tells_bodies_and_rounds_apart() {
        let body = request_body();
        assert_eq!(answer(&body, 3), answer(&body, 3));
        assert_ne!(answer(&body, 3), answer(&body, 4));
        assert_ne!(answer(&body, 3), answer(&body[1..], 3));
        assert_eq!(answer(&body, 1).len(), ANSWER_BYTES);
    }
}
