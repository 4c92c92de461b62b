//! The networks as this sidecar reaches them.

pub(crate) mod connect;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;

use crate::body::BodyError;

/// A network's answer, driven by whoever reads it.
#[derive(Debug)]
pub(crate) struct Answer {}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        unimplemented!()
    }
}

/// One network at run time.
#[derive(Debug)]
pub(crate) struct Network {}
