//! The TOML side of a configuration: one function for each table, and what they share.
//!
//! A section asks a [`table::Table`] for its keys, each with its form, its default and what it means, and puts the values
//! of `value` together. It never stops early; what is wrong is reported as it goes.

mod bounds;
pub(crate) mod form;
mod guard;
mod identity;
mod lane;
mod listen;
mod network;
mod report;
mod route;
mod shadow;
mod syntax;
mod table;

use toml::de::DeTable;

use self::form::{LONG, NAME, WORKERS};
use self::network::Networks;
use self::report::Report;
use self::table::Table;
use crate::MAX_TEXT;
use crate::errors::{Fault, Located};
use crate::reference::KeyRow;
use crate::value::Config;

/// The configuration that `text` describes, or all that is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Config, Vec<Located>> {
    if text.len() > MAX_TEXT {
        return Err(vec![Located { span: 0..0, path: String::new(), fault: Fault::TooLong, related: None }]);
    }
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut syntax = syntax::faults(text, errors);
    if syntax.iter().any(|found| matches!(found.fault, Fault::Syntax { .. })) {
        return Err(syntax);
    }
    let report = Report::default();
    let config = file(report.root(Some(root.get_ref())));
    let mut found = report.into_found();
    found.append(&mut syntax);
    if !found.is_empty() {
        return Err(found);
    }
    Ok(config.expect("a part is missing only where a fault was reported"))
}

/// The keys that a file can have, in the order they are read.
pub(crate) fn keys() -> Vec<KeyRow> {
    let report = Report::describing();
    let _nothing = file(report.root(None));
    report.into_rows()
}

fn file(mut root: Table<'_>) -> Option<Config> {
    let home = root.required("home", &NAME, "The network this sidecar stands on.");
    let workers = root.or(
        "workers",
        &WORKERS,
        "0",
        "Worker threads; each runs its share of the connections on its own. 0: as many as there are cores.",
    );
    let drain = root.or("drain", &LONG, "'30s'", "How long a shutdown waits for jobs in flight.");
    let listen = listen::listen(&mut root);
    let identity = identity::identity(&mut root);
    let networks = Networks::read(&mut root, &listen, home.as_deref());
    identity::check_somebody_may_send(&root, identity.as_ref(), &listen, &networks);
    let home = home.and_then(|name| networks.find(&name, root.report(), &root.place("home")));
    let pricing = bounds::pricing(&mut root);
    let shadow = shadow::shadow(&mut root);
    let guard = guard::guard(&mut root);
    let state = guard::state(&mut root);
    let lane = lane::lane(&mut root, &listen);
    let run = lane::run(&mut root);
    let routes = route::routes(&mut root, &networks);
    let limits = bounds::limits(&mut root);
    let spool = bounds::spool(&mut root);
    let data = bounds::data(&mut root);
    let oracle = bounds::oracle(&mut root);
    let log = bounds::log(&mut root);
    Some(Config {
        listen: listen.finish()?,
        identity,
        home: home?,
        networks: networks.finish()?,
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
        oracle,
        log,
        workers: workers as usize,
        drain,
    })
}
