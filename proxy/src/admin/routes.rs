//! What the admin port answers to: each path with its method, and whether a token is needed. `docs/openapi.json` describes
//! the same, which a test compares.
//!
//! Whoever adds something adds a line here and an arm where it is answered: in `page` what shows, in `write` what changes.

use http::Method;

/// Who may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody who can reach the port: nothing is changed.
    Open,
    /// Whoever shows a token of `listen.admin_token`.
    Token,
}

/// One thing that can be asked for.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: Method,
    /// A last step in braces stands for any one step.
    pub(super) path: &'static str,
    pub(super) access: Access,
}

/// Why a request is for nothing that there is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// There is nothing of that name.
    Path,
    /// There is, but not by this method. These are the ones.
    Method(String),
}

/// All of them. What can be asked for with GET can be with HEAD.
pub(super) static ROUTES: [Route; 17] = [
    shows("/"),
    shows("/healthz"),
    shows("/readyz"),
    shows("/metrics"),
    shows("/status"),
    shows("/config"),
    shows("/model"),
    shows("/model/versions"),
    Route { method: Method::PUT, path: "/model/version", access: Access::Token },
    shows("/decisions"),
    shows("/decisions/{id}"),
    shows("/explain"),
    Route { method: Method::POST, path: "/explain", access: Access::Open },
    shows("/page/{file}"),
    shows("/log-level"),
    Route { method: Method::PUT, path: "/log-level", access: Access::Token },
    Route { method: Method::POST, path: "/cache/purge", access: Access::Token },
];

const fn shows(path: &'static str) -> Route {
    Route { method: Method::GET, path, access: Access::Open }
}

/// The route that a request is for.
pub(super) fn find(method: &Method, path: &str) -> Result<&'static Route, Unknown> {
    let of_path = || ROUTES.iter().filter(|route| fits(route.path, path));
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    if let Some(route) = of_path().find(|route| route.method == *wanted) {
        return Ok(route);
    }
    let mut methods: Vec<&str> = of_path().map(|route| route.method.as_str()).collect();
    if methods.is_empty() {
        return Err(Unknown::Path);
    }
    if methods.contains(&"GET") {
        methods.insert(1, "HEAD");
    }
    Err(Unknown::Method(methods.join(", ")))
}

fn fits(pattern: &str, path: &str) -> bool {
    match pattern.split_once('{') {
        Some((before, _)) => path.strip_prefix(before).is_some_and(|step| !step.contains('/')),
        None => pattern == path,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn a_path_is_found_by_its_method_or_says_which_it_takes() {
        let check = |method: Method, path: &str, expected: Result<&str, Unknown>| {
            assert_eq!(find(&method, path).map(|route| route.path), expected, "{method} {path}");
        };
        check(Method::GET, "/decisions/abc", Ok("/decisions/{id}"));
        check(Method::HEAD, "/status", Ok("/status"));
        check(Method::PUT, "/log-level", Ok("/log-level"));
        check(Method::GET, "/decisions/a/b", Err(Unknown::Path));
        check(Method::GET, "/status/", Err(Unknown::Path));
        check(Method::OPTIONS, "/status", Err(Unknown::Method("GET, HEAD".to_owned())));
        check(Method::DELETE, "/log-level", Err(Unknown::Method("GET, HEAD, PUT".to_owned())));
        check(Method::PUT, "/explain", Err(Unknown::Method("GET, HEAD, POST".to_owned())));
    }

    #[test]
    fn whatever_changes_something_needs_a_token() {
        for route in ROUTES.iter().filter(|route| route.access == Access::Open) {
            let shows = route.method == Method::GET || (route.method == Method::POST && route.path == "/explain");
            assert!(shows, "{} {} changes something, so it needs a token", route.method, route.path);
        }
    }

    #[test]
    fn the_description_in_docs_is_of_these_routes() {
        let text = include_str!("../../../docs/openapi.json");
        let document: Value = serde_json::from_str(text).expect("it is JSON");
        let mut described = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().expect("it has paths") {
            for (method, operation) in methods.as_object().expect("a path has methods") {
                let token = operation["security"].as_array().is_some_and(|security| !security.is_empty());
                described.insert((method.to_uppercase(), path.clone(), token));
            }
        }
        let served = ROUTES
            .iter()
            .map(|route| (route.method.as_str().to_owned(), route.path.to_owned(), route.access == Access::Token));
        assert_eq!(described, served.collect::<BTreeSet<_>>());
    }
}
