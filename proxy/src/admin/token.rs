//! Who may change something: whoever shows a token that stands in a file.
//!
//! The file is read whenever a token is shown, so that a new one counts, and one that was taken out does not, as soon as the
//! file says so. Several lines make it possible to hand out a new token before the old one is taken back. No cookie is ever
//! looked at: a page of another site can make a browser send cookies, but not this header without asking first, and the
//! admin port never says yes to such a question (there is no CORS).

use std::io::{self, Read};
use std::path::Path;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

/// The shortest token there may be: shorter ones can be guessed.
const SHORTEST: usize = 16;
/// The longest file that is read.
const FILE_MOST: u64 = 4096;
/// The most tokens that may be known at once.
const TOKENS_MOST: usize = 16;

/// Why a file with tokens is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    /// It cannot be read.
    #[error("the file cannot be read")]
    Unreadable(#[from] io::Error),
    /// There is no token in it.
    #[error("the file holds no token; `openssl rand -hex 32` makes one")]
    Empty,
    /// It is longer than any file with tokens.
    #[error("the file is longer than {FILE_MOST} bytes or has more than {TOKENS_MOST} tokens; one a line is enough")]
    TooLong,
    /// A token could be guessed.
    #[error("a token has fewer than {SHORTEST} characters; `openssl rand -hex 32` makes a good one")]
    Short,
    /// A token cannot be sent in a header.
    #[error("a token has characters other than visible ASCII; `openssl rand -hex 32` makes a good one")]
    Unsendable,
}

/// The tokens that count now. Only their hashes are kept, which are of one length.
pub(crate) struct Tokens(Vec<[u8; 32]>);

impl Tokens {
    /// Reads them.
    ///
    /// # Errors
    /// They cannot be read, or are none.
    pub(crate) fn read(path: &Path) -> Result<Self, TokenError> {
        let mut text = String::new();
        std::fs::File::open(path)?.take(FILE_MOST + 1).read_to_string(&mut text)?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, TokenError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut hashes = Vec::new();
        for token in lines {
            if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(TokenError::Unsendable);
            }
            if token.len() < SHORTEST {
                return Err(TokenError::Short);
            }
            hashes.push(Sha256::digest(token).into());
        }
        match hashes.len() {
            _ if text.len() as u64 > FILE_MOST => Err(TokenError::TooLong),
            0 => Err(TokenError::Empty),
            1..=TOKENS_MOST => Ok(Self(hashes)),
            _ => Err(TokenError::TooLong),
        }
    }

    /// Whether these headers show one of them, in a time that does not say how much of it was right.
    pub(super) fn are_shown(&self, headers: &HeaderMap) -> bool {
        let mut shown = headers.get_all(AUTHORIZATION).iter();
        let (Some(only), None) = (shown.next(), shown.next()) else { return false };
        let Some((scheme, token)) = only.to_str().ok().and_then(|said| said.split_once(' ')) else { return false };
        if !scheme.eq_ignore_ascii_case("bearer") {
            return false;
        }
        let hash: [u8; 32] = Sha256::digest(token.trim()).into();
        let any = self.0.iter().fold(Choice::from(0), |any, known| any | known.ct_eq(&hash));
        any.into()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn shown(headers: &[&'static str]) -> bool {
        let tokens = Tokens::parse("# of two people\nfirst-token-of-mine\n\n  second-token-of-mine \n").expect("fine");
        let headers = headers.iter().map(|said| (AUTHORIZATION, HeaderValue::from_static(said))).collect();
        tokens.are_shown(&headers)
    }

    #[test]
    fn only_a_whole_token_counts_and_only_in_its_header() {
        assert!(shown(&["Bearer first-token-of-mine"]));
        assert!(shown(&["bearer second-token-of-mine"]));
        for wrong in ["Bearer first-token-of-min", "Bearer first-token-of-mine2", "Basic first-token-of-mine", "Bearer"]
        {
            assert!(!shown(&[wrong]), "{wrong}");
        }
        assert!(!shown(&["Bearer ", "first-token-of-mine"]));
        assert!(!shown(&["Bearer # of two people"]), "a comment is no token");
        assert!(!shown(&["Bearer first-token-of-mine", "Bearer first-token-of-mine"]), "one is enough");
        assert!(!shown(&[]));
    }

    #[test]
    fn a_file_that_would_keep_nobody_out_is_refused() {
        let check = |text: &str, expected: fn(&TokenError) -> bool| {
            assert!(Tokens::parse(text).is_err_and(|error| expected(&error)), "{text}");
        };
        check("", |error| matches!(error, TokenError::Empty));
        check("\n# nothing\n", |error| matches!(error, TokenError::Empty));
        check("too-short", |error| matches!(error, TokenError::Short));
        check("sixteen characters long", |error| matches!(error, TokenError::Unsendable));
        check(&"long-enough-to-be-one\n".repeat(17), |error| matches!(error, TokenError::TooLong));
        check(&"x".repeat(5000), |error| matches!(error, TokenError::TooLong));
    }
}
