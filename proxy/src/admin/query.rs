//! A query string, as forms and `curl --data-urlencode` write it.

/// The pairs of a query, decoded. What is not text once it is decoded is replaced, not refused: it is only shown.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(key), decoded(value))
    })
}

/// The first value of `key`.
pub(super) fn first(query: &str, key: &str) -> Option<String> {
    pairs(query).find(|(found, _)| found == key).map(|(_, value)| value)
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_pair_by_pair() {
        let check = |query: &str, expected: &[(&str, &str)]| {
            let expected: Vec<_> = expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            assert_eq!(pairs(query).collect::<Vec<_>>(), expected, "{query}");
        };
        check("", &[]);
        check("n=5&&m", &[("n", "5"), ("m", "")]);
        check("url=%2Fa%3Fb%3D1%26c&x=a+b%20c", &[("url", "/a?b=1&c"), ("x", "a b c")]);
        check("x=%&y=%2&z=%zz&a=%C3%A9", &[("x", "%"), ("y", "%2"), ("z", "%zz"), ("a", "é")]);
        check("x=%ff", &[("x", "\u{fffd}")]);
    }
}
