//! One request head, judged line by line.
//!
//! A line is judged when its line end is there, a control at once: so garbage that has no line end (a TLS greeting, say) is
//! refused without waiting for more of it.

use std::ops::Range;

use super::{
    Bounds, CLASSES, Fault, Framing, PATH, QUERY, first_control, is_token, malformed, may_have_control, too_large,
};
use crate::hygiene::authority;
use crate::problem::Problem;

/// Empty lines before a head that are let go by (RFC 9112 §2.2 wants one).
const EMPTY_LINES_MOST: u8 = 2;

/// The longest target that `http::Uri` takes.
const TARGET_MOST: usize = u16::MAX as usize - 1;

/// The most digits of a `Content-Length`; all such numbers fit.
const LENGTH_DIGITS_MOST: usize = 19;

/// What has been read of a head so far. Ranges are places in the head's bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Head {
    /// Where the line that is being read begins.
    line: usize,
    /// How far that line is known to have no end and no control.
    searched: usize,
    empty_lines: u8,
    fields: usize,
    minor_version: u8,
    /// The authority of an absolute target, and whether its scheme is `https`.
    authority: Option<(Range<usize>, bool)>,
    host: Option<Range<usize>>,
    length: Option<u64>,
    chunked: bool,
}

/// How far a head got.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// It is whole and sound.
    Whole { bytes: usize, framing: Framing },
    /// An empty line before it.
    Skip(usize),
    /// There is more to come.
    Partial,
    /// It is refused.
    Bad(Fault),
}

impl Head {
    /// Whether no byte of it has come.
    pub(super) fn is_untouched(&self) -> bool {
        self.line == 0 && self.searched == 0
    }

    /// Reads on; `bytes` begin where the head does.
    pub(super) fn read(&mut self, bytes: &[u8], bounds: &Bounds) -> Read {
        loop {
            let end = match self.line_end(bytes, bounds.head_bytes) {
                Ok(Some(end)) => end,
                Ok(None) => return Read::Partial,
                Err(fault) => return Read::Bad(fault),
            };
            let line = self.line..end;
            let next = end + 2;
            let judged = match (line.start, line.is_empty()) {
                (0, true) => return self.skip(),
                (0, false) => self.request_line(&bytes[line]),
                (_, true) => return self.end(bytes, next),
                (_, false) => self.field(bytes, line, bounds.head_fields),
            };
            if let Err(fault) = judged {
                return Read::Bad(fault);
            }
            (self.line, self.searched) = (next, next);
        }
    }

    /// Where the current line's text ends, if its line end is there.
    fn line_end(&mut self, bytes: &[u8], bound: usize) -> Result<Option<usize>, Fault> {
        let within = bytes.len().min(bound);
        let unread = &bytes[self.searched.min(within)..within];
        let line_feed = memchr::memchr(b'\n', unread);
        if let Some([text @ .., b'\r']) = line_feed.map(|at| &unread[..at])
            && !may_have_control(text)
        {
            return Ok(Some(self.searched + text.len()));
        }
        let text = line_feed.map_or(unread, |at| &unread[..=at]);
        let Some(at) = first_control(text).map(|at| self.searched + at) else {
            self.searched = within;
            return if bytes.len() < bound { Ok(None) } else { Err(too_large(HEAD_TOO_LONG)) };
        };
        match (bytes[at], bytes.get(at + 1)) {
            (b'\r', Some(b'\n')) if at + 2 <= bound => Ok(Some(at)),
            (b'\r', Some(b'\n')) => Err(too_large(HEAD_TOO_LONG)),
            (b'\r', None) if bytes.len() >= bound => Err(too_large(HEAD_TOO_LONG)),
            (b'\r', None) => {
                self.searched = at;
                Ok(None)
            }
            (b'\r', Some(_)) if at + 2 > bound => Err(too_large(HEAD_TOO_LONG)),
            (b'\r', _) => Err(malformed("a line of the head has a carriage return that does not end it")),
            (b'\n', _) => Err(malformed("a line of the head ends in a bare line feed; lines end in CR LF")),
            _ => Err(malformed("a line of the head has a control character")),
        }
    }

    fn skip(&mut self) -> Read {
        self.empty_lines += 1;
        if self.empty_lines > EMPTY_LINES_MOST {
            return Read::Bad(malformed("there are too many empty lines before the request line"));
        }
        self.searched = 0;
        Read::Skip(2)
    }

    fn request_line(&mut self, line: &[u8]) -> Result<(), Fault> {
        const FORM: Fault = malformed("the request line is not `METHOD TARGET HTTP/1.1`, one space between each two");
        let space = memchr::memchr(b' ', line).ok_or(FORM)?;
        let (method, rest) = (&line[..space], &line[space + 1..]);
        if method.is_empty() || !method.iter().copied().all(is_token) {
            return Err(FORM);
        }
        let (target, version) = rest.split_last_chunk::<9>().ok_or(FORM)?;
        self.minor_version = match version {
            b" HTTP/1.1" => 1,
            b" HTTP/1.0" => 0,
            _ => return Err(FORM),
        };
        if method == b"CONNECT" {
            return Err(Fault { problem: Problem::ConnectRefused, detail: "CONNECT would open a tunnel past adumbra" });
        }
        self.target(method, target, space + 1)
    }

    /// Judges the target, which stands at `at`.
    fn target(&mut self, method: &[u8], target: &[u8], at: usize) -> Result<(), Fault> {
        if target.len() > TARGET_MOST {
            return Err(too_large("the target is longer than 65534 bytes"));
        }
        if target == b"*" && method == b"OPTIONS" {
            return Ok(());
        }
        let path = if target.starts_with(b"/") { 0 } else { self.absolute_form(target, at)? };
        let path = &target[path..];
        let query = memchr::memchr(b'?', path).unwrap_or(path.len());
        let is_sound =
            |text: &[u8], class| text.iter().fold(u8::MAX, |all, b| all & CLASSES[usize::from(*b)]) & class != 0;
        if !is_sound(&path[..query], PATH) || !is_sound(&path[query..], QUERY) {
            return Err(malformed("the target has a character that must be percent-encoded there"));
        }
        Ok(())
    }

    /// Notes the authority of an absolute target and says where its path begins.
    fn absolute_form(&mut self, target: &[u8], at: usize) -> Result<usize, Fault> {
        let has_scheme = |scheme: &[u8]| target.get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme));
        let (start, https) = if has_scheme(b"http://") {
            (7, false)
        } else if has_scheme(b"https://") {
            (8, true)
        } else {
            return Err(malformed("the target is neither a path nor an http URL"));
        };
        let end = memchr::memchr2(b'/', b'?', &target[start..]).map_or(target.len(), |end| start + end);
        if !authority::is_valid(&target[start..end]) {
            return Err(malformed("the target's authority is not a host with or without a port"));
        }
        self.authority = Some((at + start..at + end, https));
        Ok(end)
    }

    fn field(&mut self, bytes: &[u8], line: Range<usize>, most: usize) -> Result<(), Fault> {
        self.fields += 1;
        if self.fields > most {
            return Err(too_large("the head has more fields than `limits.head_fields`"));
        }
        let text = &bytes[line.clone()];
        let colon = text.iter().position(|b| !is_token(*b)).unwrap_or(text.len());
        if colon == 0 || text.get(colon) != Some(&b':') {
            return Err(malformed("a field is not `name: value` on one line, no space before the colon"));
        }
        let value = trim(bytes, line.start + colon + 1..line.end);
        match colon {
            4 if text[..4].eq_ignore_ascii_case(b"host") => self.host(bytes, value),
            14 if text[..14].eq_ignore_ascii_case(b"content-length") => self.content_length(&bytes[value]),
            17 if text[..17].eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(&bytes[value]),
            _ => Ok(()),
        }
    }

    fn host(&mut self, bytes: &[u8], value: Range<usize>) -> Result<(), Fault> {
        if !authority::is_valid(&bytes[value.clone()]) {
            return Err(malformed("`Host` is not a host with or without a port"));
        }
        match self.host.replace(value) {
            None => Ok(()),
            Some(_) => Err(malformed("there is more than one `Host`")),
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Fault> {
        if value.is_empty() || value.len() > LENGTH_DIGITS_MOST || !value.iter().all(u8::is_ascii_digit) {
            return Err(malformed("`Content-Length` is not a number of at most 19 digits"));
        }
        let length = value.iter().fold(0, |length, digit| length * 10 + u64::from(digit - b'0'));
        match self.length.replace(length) {
            None => Ok(()),
            Some(_) => Err(malformed("there is more than one `Content-Length`")),
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Fault> {
        if self.chunked {
            return Err(malformed("there is more than one `Transfer-Encoding`"));
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(malformed("`Transfer-Encoding` is not `chunked` and nothing else"));
        }
        self.chunked = true;
        Ok(())
    }

    /// The head is whole, and `next` is what follows it: do its parts fit together?
    fn end(&self, bytes: &[u8], next: usize) -> Read {
        match self.framing(bytes) {
            Ok(framing) => Read::Whole { bytes: next, framing },
            Err(fault) => Read::Bad(fault),
        }
    }

    fn framing(&self, bytes: &[u8]) -> Result<Framing, Fault> {
        if self.host.is_none() && self.minor_version == 1 {
            return Err(malformed("there is no `Host`"));
        }
        if let (Some(host), Some((authority, https))) = (&self.host, &self.authority)
            && !authority::same(&bytes[host.clone()], &bytes[authority.clone()], *https)
        {
            return Err(malformed("the target's authority and `Host` name different places"));
        }
        match (self.chunked, self.length) {
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
            (true, None) if self.minor_version == 1 => Ok(Framing::Chunked),
            (true, None) => Err(malformed("HTTP/1.0 has no `Transfer-Encoding`")),
            (true, Some(_)) => Err(malformed("there is both `Content-Length` and `Transfer-Encoding`")),
        }
    }
}

const HEAD_TOO_LONG: &str = "the head is longer than `limits.head_bytes`";

/// The range without the spaces and tabs at its ends.
fn trim(bytes: &[u8], range: Range<usize>) -> Range<usize> {
    let is_text = |b: &u8| !matches!(b, b' ' | b'\t');
    let value = &bytes[range.clone()];
    let Some(first) = value.iter().position(is_text) else { return range.end..range.end };
    let last = value.iter().rposition(is_text).unwrap_or(first);
    range.start + first..range.start + last + 1
}
