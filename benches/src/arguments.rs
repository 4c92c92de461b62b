//! The command line of the load bench.

use std::path::{Path, PathBuf};

use clap::Parser;

use crate::peers::{Arm, Kind, all, optional};

/// Loads adumbra and the proxies people use in turn, and compares what a request costs each.
#[derive(Clone, Debug, Parser)]
#[command(name = "load")]
pub struct Arguments {
    /// Write the figures to this file as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Seconds of load on one arm in one round, in each of the two loops
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub seconds: u32,
    /// Rounds; six are the fewest whose range is a 95 % interval of the median
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Keep-alive connections of the load
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub connections: u32,
    /// Requests per second of the open loop [default: half of HAProxy's, 70 % of the slowest arm's at most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub rate: Option<u32>,
    /// Run bare_hyper and pingora too; the latter is built first, for which cmake is installed
    #[arg(long)]
    pub with_pingora: bool,
    /// Run these arms only
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Add an arm: adumbra with this configuration (see benches/src/peers/adumbra.toml for its placeholders)
    #[arg(long, value_name = "NAME=FILE", value_parser = named_file)]
    pub arm_config: Vec<(String, PathBuf)>,
    /// Install nothing; use what is there
    #[arg(long)]
    pub no_setup: bool,
    /// What cargo adds
    #[arg(long, hide = true)]
    pub bench: bool,
}

impl Arguments {
    /// Where `--json` goes.
    #[must_use]
    pub fn json_file(&self) -> Option<PathBuf> {
        self.json.as_deref().map(as_typed)
    }

    /// The arms asked for.
    ///
    /// # Errors
    /// When a name is unknown or comes twice; the message says which there are.
    pub fn arms(&self) -> Result<Vec<Arm>, String> {
        let mut arms = all();
        arms.extend(optional());
        for (name, file) in &self.arm_config {
            if arms.iter().any(|arm| arm.name == *name) {
                return Err(format!("--arm-config: there is an arm called {name} already; give it another name"));
            }
            arms.push(Arm { name: name.clone(), kind: Kind::Adumbra(Some(as_typed(file))) });
        }
        let known: Vec<&str> = arms.iter().map(|arm| arm.name.as_str()).collect();
        if let Some(name) = self.only.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(format!("--only: there is no arm called {name}; there are {}", known.join(", ")));
        }
        let optional = optional();
        arms.retain(|arm| {
            let by_default = if optional.contains(arm) { self.with_pingora } else { self.only.is_empty() };
            by_default || self.only.contains(&arm.name)
        });
        Ok(arms)
    }
}

/// cargo runs a bench in its crate's folder; a relative file is meant from where cargo was called, which the shell left in
/// `PWD`.
#[must_use]
pub fn as_typed(file: &Path) -> PathBuf {
    std::env::var_os("PWD").map_or_else(|| file.to_owned(), |folder| Path::new(&folder).join(file))
}

fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    let Some((name, file)) = text.split_once('=') else { return Err("expected NAME=FILE".to_owned()) };
    let plain = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if plain { Ok((name.to_owned(), file.into())) } else { Err("a NAME is of letters, digits and _".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Result<&[&str], &str>) {
        let arguments = Arguments::try_parse_from(line.split_whitespace()).expect("it parses");
        let names = arguments.arms().map(|arms| arms.into_iter().map(|arm| arm.name).collect::<Vec<_>>());
        match expected {
            Ok(expected) => assert_eq!(names.expect("known arms"), expected, "{line}"),
            Err(part) => assert!(names.expect_err("an error").contains(part), "{line}"),
        }
    }

    #[test]
    fn arms_are_chosen_by_name() {
        check("load --only haproxy,nginx --bench", Ok(&["haproxy", "nginx"]));
        check("load --arm-config two=a.toml --only two", Ok(&["two"]));
        let usual =
            ["direct", "tcp_relay", "haproxy", "adumbra", "nginx", "envoy", "haproxy2", "adumbra2", "haproxy_log"];
        check("load", Ok(&usual));
        check("load --only pingora,haproxy", Ok(&["haproxy", "pingora"]));
        check("load --only haproxy --with-pingora", Ok(&["haproxy", "bare_hyper", "pingora"]));
        check("load --only caddy", Err("there is no arm called caddy"));
        check("load --arm-config nginx=a.toml", Err("called nginx already"));
    }
}
