//! What the benches share, and the load bench itself.
//!
//! A bench here is an argument: it names its machine and commit, starts what it compares side by side, says how much of a
//! difference is noise, and prints the target beside the figure. In reading order: [`load`] is the whole run, [`peers`] what
//! is compared, [`rounds`] how it is measured, [`figures`], [`budget`] and [`report`] what is made of it. [`replay`] runs jobs of a [`trace`]
//! in virtual time, [`oracle`] only predicts them and learns from them. The rest are tools.

pub mod cache;
pub mod load;
pub mod shadow_tax;
pub mod warm;

pub mod arguments;
pub mod backend;
pub mod peers;
pub mod site;

pub mod open_loop;
pub mod rounds;
pub mod wrk;

pub mod budget;
pub mod figures;
pub mod report;
pub mod statistics;

pub mod oracle;
pub mod regret;
pub mod replay;
pub mod trace;

pub mod accounting;
pub mod answer;
pub mod child;
pub mod dice;
pub mod machine;
pub mod pin;
