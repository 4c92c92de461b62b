//! What annotations may say, as types: text from a manifest becomes one of these or is refused, and nothing else of it goes on.
//!
//! Ports end in packet filter rules, names in volumes, and an image in what the cluster runs. So each is read strictly, by
//! the rule that Kubernetes has for it, and no text reaches a command line.

use std::fmt;
use std::num::NonZeroU16;

/// The most ports that can be intercepted.
pub const PORTS_MOST: usize = 16;
/// The longest name of an object.
const NAME_MOST: usize = 253;
/// The longest image reference: more than any registry takes.
const IMAGE_MOST: usize = 512;

/// Why a value is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Neither yes nor no.
    #[error("must be \"true\" or \"false\"")]
    Switch,
    /// Not a port.
    #[error("must be a port from 1 to 65535, in digits and nothing else")]
    Port,
    /// Not a list of ports.
    #[error(
        "must be \"all\", or ports from 1 to 65535, each once, with commas between them and nothing else, at most {PORTS_MOST}"
    )]
    Ports,
    /// Not a name.
    #[error("must be the name of an object: lower case letters, digits, `-` and `.`, at most {NAME_MOST} characters")]
    Name,
    /// Not an image.
    #[error("must be an image such as registry.example/adumbra:0.1.0, without blanks")]
    Image,
    /// Not a quantity.
    #[error("must be a quantity such as 100m, 0.5 or 64Mi")]
    Quantity,
}

/// A switch: `"true"` or `"false"`, as Kubernetes writes it in annotations.
pub fn switch(text: &str) -> Result<bool, ValueError> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ValueError::Switch),
    }
}

/// A TCP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Port(NonZeroU16);

impl Port {
    /// A port that is not zero.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// Reads one: digits, with no sign, blank or leading zero.
    ///
    /// # Errors
    /// [`ValueError::Port`].
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        // `u16::from_str` takes a plus sign and leading zeros.
        if !text.bytes().all(|byte| byte.is_ascii_digit()) || text.starts_with('0') {
            return Err(ValueError::Port);
        }
        text.parse().ok().and_then(Self::new).ok_or(ValueError::Port)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Every one.
    All,
    /// These: at least one, each once.
    These(Vec<Port>),
}

impl Ports {
    /// Reads `all`, or ports with commas between them.
    ///
    /// # Errors
    /// [`ValueError::Ports`].
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        if text == "all" {
            return Ok(Self::All);
        }
        let mut ports = Vec::new();
        for part in text.split(',') {
            let port = Port::parse(part).map_err(|_| ValueError::Ports)?;
            if ports.contains(&port) || ports.len() == PORTS_MOST {
                return Err(ValueError::Ports);
            }
            ports.push(port);
        }
        Ok(Self::These(ports))
    }

    /// Whether `port` is one of them.
    #[must_use]
    pub fn contains(&self, port: Port) -> bool {
        match self {
            Self::All => true,
            Self::These(ports) => ports.contains(&port),
        }
    }
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $is:path, $error:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Reads one.
            ///
            /// # Errors
            /// If the text is none.
            pub fn parse(text: &str) -> Result<Self, ValueError> {
                if $is(text) { Ok(Self(text.to_owned())) } else { Err(ValueError::$error) }
            }

            /// As it was written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text!(
    /// The name of a ConfigMap or Secret: a DNS subdomain (RFC 1123).
    Name,
    is_name,
    Name
);
text!(
    /// An image reference: a repository with a tag or a digest or neither.
    Image,
    is_image,
    Image
);
text!(
    /// An amount of CPU or memory, as Kubernetes writes it.
    Quantity,
    is_quantity,
    Quantity
);

fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && label.bytes().next().is_some_and(|byte| byte != b'-')
            && !label.ends_with('-')
    };
    text.len() <= NAME_MOST && text.split('.').all(is_label)
}

fn is_image(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/:@".contains(&byte);
    text.len() <= IMAGE_MOST
        && text.bytes().all(allowed)
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().next_back().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && !text.contains("//")
}

fn is_quantity(text: &str) -> bool {
    const SUFFIXES: [&str; 13] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "m", "k", "M", "G", "T", "P", "E"];
    let number = SUFFIXES.iter().find_map(|suffix| text.strip_suffix(suffix)).unwrap_or(text);
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| (1..=15).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && digits(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_digits_and_nothing_else() {
        assert_eq!(Port::parse("8080").map(Port::number), Ok(8080));
        assert_eq!(Port::parse("65535").map(Port::number), Ok(65535));
        for text in ["", "0", "65536", "+80", "080", " 80", "80 ", "80\n", "8080 -j ACCEPT", "٨٠", "1e3", "0x50", "-1"]
        {
            assert_eq!(Port::parse(text), Err(ValueError::Port), "{text:?}");
        }
    }

    #[test]
    fn ports_are_each_there_once() {
        let ports = [80, 443].into_iter().filter_map(Port::new).collect();
        assert_eq!(Ports::parse("80,443"), Ok(Ports::These(ports)));
        assert_eq!(Ports::parse("all"), Ok(Ports::All));
        for text in [
            "",
            ",",
            "ALL",
            "all,80",
            "80,",
            "80,80",
            "80, 443",
            "80;443",
            "80,443 -j ACCEPT",
            "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17",
        ] {
            assert_eq!(Ports::parse(text), Err(ValueError::Ports), "{text:?}");
        }
    }

    #[test]
    fn names_are_dns_subdomains() {
        for text in ["a", "render-config", "a.b-c.d", "0"] {
            assert!(Name::parse(text).is_ok(), "{text:?}");
        }
        for text in ["", "A", "-a", "a-", "a..b", "a_b", "a b", "a/../b", "$(id)", &"a".repeat(254)] {
            assert_eq!(Name::parse(text), Err(ValueError::Name), "{text:?}");
        }
    }

    #[test]
    fn images_have_no_blanks_and_no_text_beside_them() {
        for text in ["adumbra", "adumbra:0.1.0", "r.example:5000/a/b@sha256:0123abcd"] {
            assert!(Image::parse(text).is_ok(), "{text:?}");
        }
        for text in ["", " a", "a b", "a\nb", "-a", "a:", "http://a", "a;b", "a'b"] {
            assert_eq!(Image::parse(text), Err(ValueError::Image), "{text:?}");
        }
    }

    #[test]
    fn quantities_are_those_of_kubernetes() {
        for text in ["1", "0.5", "100m", "64Mi", "1.5Gi", "2E"] {
            assert!(Quantity::parse(text).is_ok(), "{text:?}");
        }
        for text in ["", "m", "-1", "+1", "1 Gi", "1GB", "1e", ".5", "1.", "1.2.3", "9999999999999999"] {
            assert_eq!(Quantity::parse(text), Err(ValueError::Quantity), "{text:?}");
        }
    }
}
