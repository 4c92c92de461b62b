//! What a gRPC call came to. Its HTTP status does not say: that is 200 whatever happens, and the truth is in `grpc-status`, in
//! the trailers or, where there is nothing else, in the head.

use http::{HeaderMap, header};

/// What `grpc-status` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// It succeeded.
    Ok,
    /// The service said no, as by a 4xx.
    Declined,
    /// The service failed, as by a 500.
    Failed,
    /// The service is not there, as by a 503: what every proxy says in its place.
    Unavailable,
}

impl Call {
    /// What a head or trailers say of a call; `None` if they say nothing.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let status = headers.get("grpc-status")?;
        Some(match status.to_str().ok().and_then(|status| status.parse::<u8>().ok()) {
            Some(0) => Self::Ok,
            Some(14) => Self::Unavailable,
            // Unknown, deadline exceeded, internal, data loss; and what is no status at all.
            Some(2 | 4 | 13 | 15) | None => Self::Failed,
            Some(_) => Self::Declined,
        })
    }
}

/// Whether an answer is one of gRPC.
pub(crate) fn is_answer(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_whose_fault_it_is() {
        let check = |status: &str, expected: Call| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-status", status.parse().expect("a value"));
            assert_eq!(Call::read(&headers), Some(expected), "{status}");
        };
        check("0", Call::Ok);
        check("3", Call::Declined);
        check("5", Call::Declined);
        check("13", Call::Failed);
        check("14", Call::Unavailable);
        check("none", Call::Failed);
        assert_eq!(Call::read(&HeaderMap::new()), None);
    }
}
