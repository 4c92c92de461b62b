//! The whole sidecar, seen from outside: a file for each behaviour, and the name of each test is a fact.

mod admin;
mod contest;
mod disconnect;
mod failover;
mod hygiene;
mod identity;
mod learning;
mod limits;
mod ownership;
mod shadows;
mod strangers;
mod streaming;
mod tidy;
mod upgrades;
mod upstream;
mod warm;
