//! Where one HTTP/1 message ends and the next begins, read as a strict parser would.
