//! The whole sidecar, seen from outside: a file for each behaviour, and the name of each test is a fact.

mod admin;
mod asynchronous;
mod cannot_hurt;
mod contest;
mod disconnect;
mod failover;
mod fenced;
mod ffmpeg;
mod hygiene;
mod identity;
mod lane;
mod learning;
mod limits;
mod ownership;
mod progress;
mod reload;
mod schema;
mod shadows;
mod strangers;
mod streaming;
mod tidy;
mod upgrades;
mod upstream;
mod warm;
