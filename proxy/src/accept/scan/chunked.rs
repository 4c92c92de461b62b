//! A chunked body, byte by byte: strict about its framing, blind to its data.
//!
//! Sizes have at most 16 digits; extensions and trailers are bounded over the whole body, for they cost us and carry
//! nothing. A size is followed by `;` or the line end, never by a space.

use super::{Bounds, Fault, first_control, is_token, malformed};

/// Bytes of extensions over one body (what hyper allows).
const EXTENSION_BYTES_MOST: usize = 16 * 1024 - 1;

/// Digits of one chunk's size.
const SIZE_DIGITS_MOST: u8 = 16;

/// Reads one chunked body.
#[derive(Clone, Debug)]
pub(super) struct Chunked {
    state: State,
    extension_bytes_left: usize,
    trailer_bytes_left: usize,
    trailers_left: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeLf { size: u64 },
    Data { left: u64 },
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    End,
}

impl Chunked {
    pub(super) const fn new(bounds: Bounds) -> Self {
        Self {
            state: State::Size { digits: 0, size: 0 },
            extension_bytes_left: EXTENSION_BYTES_MOST,
            trailer_bytes_left: bounds.head_bytes,
            trailers_left: bounds.head_fields,
        }
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.state == State::End
    }

    /// How many bytes are sound, and what is wrong with the next one if anything is. Stops at the body's end.
    pub(super) fn read(&mut self, bytes: &[u8]) -> (usize, Option<Fault>) {
        let mut at = 0;
        while at < bytes.len() && self.state != State::End {
            if let Some(run) = self.run(&bytes[at..]) {
                at += run;
                continue;
            }
            match self.byte(bytes[at]) {
                Ok(state) => self.state = state,
                Err(fault) => return (at, Some(fault)),
            }
            at += 1;
        }
        (at, None)
    }

    /// How many of these bytes are data or a trailer's value, which nobody looks into; `None` for framing.
    fn run(&mut self, bytes: &[u8]) -> Option<usize> {
        match self.state {
            State::Data { left } => {
                let run = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
                let left = left - run as u64;
                self.state = if left == 0 { State::DataCr } else { State::Data { left } };
                Some(run)
            }
            State::TrailerValue => {
                let run = first_control(bytes).unwrap_or(bytes.len()).min(self.trailer_bytes_left);
                self.trailer_bytes_left -= run;
                (run > 0).then_some(run)
            }
            _ => None,
        }
    }

    fn byte(&mut self, byte: u8) -> Result<State, Fault> {
        const LINE_END: Fault = malformed("a line of the chunked body does not end in CR LF");
        match (self.state, byte) {
            (State::Size { digits: 1.., size }, b'\r') => Ok(State::SizeLf { size }),
            (State::Size { digits: 1.., size }, b';') => self.extension(size),
            (State::Size { digits, size }, _) => size_digit(digits, size, byte),
            (State::Extension { size }, b'\r') => Ok(State::SizeLf { size }),
            (State::Extension { size }, b'\t' | b' '..=b'~' | 0x80..) => self.extension(size),
            (State::Extension { .. }, _) => Err(malformed("a chunk's extension has a control character")),
            (State::SizeLf { size: 0 }, b'\n') => Ok(State::TrailerStart),
            (State::SizeLf { size }, b'\n') => Ok(State::Data { left: size }),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataCr, _) => Err(malformed("a chunk is longer than its size says")),
            (State::DataLf, b'\n') => Ok(State::Size { digits: 0, size: 0 }),
            (State::TrailerStart, b'\r') => Ok(State::EndLf),
            (State::TrailerStart, _) => self.trailer_start(byte),
            (State::TrailerName, b':') => self.trailer_byte(State::TrailerValue),
            (State::TrailerName, _) if is_token(byte) => self.trailer_byte(State::TrailerName),
            (State::TrailerName, _) => Err(malformed("a trailer is not `name: value` on one line")),
            (State::TrailerValue, b'\r') => self.trailer_byte(State::TrailerLf),
            (State::TrailerValue, _) if self.trailer_bytes_left == 0 => Err(TRAILERS),
            (State::TrailerValue, _) => Err(malformed("a trailer has a control character")),
            (State::TrailerLf, b'\n') => self.trailer_byte(State::TrailerStart),
            (State::EndLf, b'\n') => Ok(State::End),
            (State::SizeLf { .. } | State::DataLf | State::TrailerLf | State::EndLf, _) => Err(LINE_END),
            (State::Data { .. } | State::End, _) => Ok(self.state),
        }
    }

    fn extension(&mut self, size: u64) -> Result<State, Fault> {
        let Some(left) = self.extension_bytes_left.checked_sub(1) else {
            return Err(malformed("the body's chunk extensions are longer than 16 KiB"));
        };
        self.extension_bytes_left = left;
        Ok(State::Extension { size })
    }

    fn trailer_start(&mut self, byte: u8) -> Result<State, Fault> {
        if !is_token(byte) {
            return Err(malformed("a trailer is not `name: value` on one line"));
        }
        self.trailers_left = self.trailers_left.checked_sub(1).ok_or(TRAILERS)?;
        self.trailer_byte(State::TrailerName)
    }

    fn trailer_byte(&mut self, next: State) -> Result<State, Fault> {
        self.trailer_bytes_left = self.trailer_bytes_left.checked_sub(1).ok_or(TRAILERS)?;
        Ok(next)
    }
}

const TRAILERS: Fault = malformed("the trailers are larger than `limits.head_bytes` or more than `limits.head_fields`");

fn size_digit(digits: u8, size: u64, byte: u8) -> Result<State, Fault> {
    let digit = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'f' => byte - b'a' + 10,
        b'A'..=b'F' => byte - b'A' + 10,
        _ => return Err(malformed("a chunk's size is not hexadecimal digits up to `;` or the line end")),
    };
    if digits == SIZE_DIGITS_MOST {
        return Err(malformed("a chunk's size has more than 16 digits"));
    }
    Ok(State::Size { digits: digits + 1, size: size << 4 | u64::from(digit) })
}
