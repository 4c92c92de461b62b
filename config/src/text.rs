//! The TOML side of a configuration: one function for each table, and what they share.
//!
//! A section asks a [`table::Table`] for its keys, each with its form, its default and what it means, and puts the values
//! of `value` together. It never stops early; what is wrong is reported as it goes.

mod bounds;
mod cache;
pub(crate) mod form;
mod guard;
mod identity;
mod intercept;
mod lane;
mod listen;
mod network;
mod report;
mod route;
mod shadow;
mod syntax;
mod table;

use std::ops::Range;
use std::path::PathBuf;

use toml::de::DeTable;

use self::form::{FILE, LONG, NAME, WORKERS};
use self::network::Networks;
use self::report::Report;
use self::table::Table;
use crate::MAX_TEXT;
use crate::errors::{Fault, Located};
use crate::reference::KeyRow;
use crate::value::Config;

/// What the reference says of a key that is fixed.
pub(crate) const RESTART: &str = "A change needs a restart.";

/// The configuration that `text` describes, or all that is wrong with it.
///
/// With a configuration before it, what only a restart can change must be as it is there.
pub(crate) fn parse(text: &str, previous: Option<&Config>) -> Result<Config, Vec<Located>> {
    if text.len() > MAX_TEXT {
        return Err(vec![Located { span: 0..0, path: String::new(), fault: Fault::TooLong, related: None }]);
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut syntax = syntax::faults(text, errors);
    if syntax.iter().any(|found| matches!(found.fault, Fault::Syntax { .. })) {
        return Err(syntax);
    }
    let report = Report::default();
    let config = file(report.root(Some(root.get_ref())), previous);
    let mut found = report.into_found();
    found.append(&mut syntax);
    if !found.is_empty() {
        return Err(found);
    }
    Ok(config.expect("a part is missing only where a fault was reported"))
}

/// What the text says of `state.directory`, whatever else is wrong with it.
pub(crate) fn state_directory(text: &str) -> Option<PathBuf> {
    if text.len() > MAX_TEXT {
        return None;
    }
    // A bracket that is open swallows what comes after it, so the table is tried by itself, too.
    let begins = text.lines().position(|line| line.trim() == "[state]");
    let table = |begins| {
        let lines = text.lines().skip(begins);
        lines.enumerate().take_while(|(at, line)| *at == 0 || !line.starts_with('[')).map(|(_, line)| line)
    };
    let alone = begins.map(|begins| table(begins).collect::<Vec<_>>().join("\n"));
    std::iter::once(text).chain(alone.as_deref()).find_map(directory_in)
}

fn directory_in(text: &str) -> Option<PathBuf> {
    let (root, _errors) = DeTable::parse_recoverable(text);
    let state = root.get_ref().get("state")?.get_ref().as_table()?;
    FILE.read(state.get("directory")?.get_ref()).ok()
}

/// The bytes of the text that the longest beginning of `path` that there is stands at.
pub(crate) fn span_of(text: &str, path: &[&str]) -> Range<usize> {
    let (root, _errors) = DeTable::parse_recoverable(text);
    let (mut table, mut span) = (Some(root.get_ref()), 0..0);
    for key in path {
        let Some((name, value)) = table.and_then(|table| table.get_key_value(*key)) else { break };
        span = if value.span().is_empty() || value.get_ref().is_table() { name.span() } else { value.span() };
        table = value.get_ref().as_table();
    }
    span
}

/// The keys that a file can have, in the order they are read.
pub(crate) fn keys() -> Vec<KeyRow> {
    let report = Report::describing();
    let _nothing = file(report.root(None), None);
    report.into_rows()
}

fn file(mut root: Table<'_>, previous: Option<&Config>) -> Option<Config> {
    let home = root.required("home", &NAME, "The network this sidecar stands on.");
    let workers = root.or(
        "workers",
        &WORKERS,
        "0",
        "Worker threads; each runs its share of the connections on its own. 0: as many as there are cores.",
    );
    root.fixed("workers", RESTART, previous.is_some_and(|previous| previous.workers != workers as usize));
    let drain = root.or("drain", &LONG, "'30s'", "How long a shutdown waits for jobs in flight.");
    let listen = listen::listen(&mut root, previous);
    let identity = identity::identity(&mut root);
    let networks = Networks::read(&mut root, &listen, home.as_deref(), previous);
    identity::check_somebody_may_send(&root, identity.as_ref(), &listen, &networks);
    let home = home.and_then(|name| networks.find(&name, root.report(), &root.place("home")));
    root.fixed("home", RESTART, home.zip(previous).is_some_and(|(home, previous)| previous.home != home));
    let pricing = bounds::pricing(&mut root);
    let shadow = shadow::shadow(&mut root);
    let guard = guard::guard(&mut root);
    let state = guard::state(&mut root, previous);
    let lane = lane::lane(&mut root, &listen, previous);
    let run = lane::run(&mut root, previous);
    let routes = route::routes(&mut root, &networks, previous);
    let limits = bounds::limits(&mut root);
    let spool = bounds::spool(&mut root);
    let data = bounds::data(&mut root, previous);
    let cache = cache::cache(&mut root, previous);
    let oracle = bounds::oracle(&mut root, previous);
    let log = bounds::log(&mut root);
    let journal = bounds::journal(&mut root);
    let (networks, retired) = networks.finish()?;
    Some(Config {
        listen: listen.finish()?,
        identity,
        home: home?,
        networks,
        retired,
        routes: routes?,
        pricing,
        shadow,
        guard,
        state,
        lane,
        run,
        limits,
        spool,
        data,
        cache,
        oracle,
        log,
        journal,
        workers: workers as usize,
        drain,
    })
}
