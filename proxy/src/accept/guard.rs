//! Stands between a client socket and hyper, and lets only whole, strict request heads through.
