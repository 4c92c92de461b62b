//! What ends in a rule of the kernel's: ports, networks by their addresses, users and marks. A rule is made of what is read
//! here and never of what was written.

use std::num::NonZeroU32;

use toml::de::DeValue;

use super::{Bad, Form, text};
use crate::value::{Fail, Ports, Prefix};

/// The most ports of one list: a rule compares a packet with each.
const MAX_PORTS: usize = 64;

/// One port.
pub(crate) const PORT: Form<u16> = Form {
    name: "a port",
    unit: "",
    write: "a whole number from 1 to 65535, without quotes",
    example: "22",
    reader: port,
};

/// Every port, or some.
pub(crate) const PORTS: Form<Ports> = Form {
    name: "`all` or a list of ports",
    unit: "",
    write: "`all` in quotes, or a list of ports in brackets",
    example: "[80, 8080]",
    reader: |value| {
        if let Some(text) = value.as_str() {
            return if text == "all" { Ok(Ports::All) } else { Err(Bad::Why("a word here can only be `all`")) };
        }
        let list = value.as_array().ok_or(Bad::Type)?;
        let read = list.iter().map(|value| port(value.get_ref()));
        let mut ports =
            read.collect::<Result<Vec<_>, _>>().map_err(|_| Bad::Why("a port is a whole number from 1 to 65535"))?;
        ports.sort_unstable();
        ports.dedup();
        match ports.len() {
            0 => Err(Bad::Why("it names no port")),
            1..=MAX_PORTS => Ok(Ports::These(ports)),
            _ => Err(Bad::Why("it names more than 64 ports; `all` with exceptions does it, too")),
        }
    },
};

/// A network by its addresses.
pub(crate) const PREFIX: Form<Prefix> = Form {
    name: "a network",
    unit: "",
    write: "an IP address, `/` and a number of bits, in quotes",
    example: "\"10.0.0.0/8\"",
    reader: |value| {
        let (address, bits) = text(value)?.split_once('/').ok_or(Bad::Why("the number of bits is missing"))?;
        let address = address.parse().map_err(|_| Bad::Why("what stands before the `/` is not an IP address"))?;
        let is_plain = (1..=3).contains(&bits.len()) && bits.bytes().all(|b| b.is_ascii_digit());
        let bits = bits
            .parse()
            .ok()
            .filter(|_| is_plain)
            .ok_or(Bad::Why("what stands behind the `/` is no number of bits"))?;
        Prefix::new(address, bits).ok_or(Bad::Why("it has bits behind those that name the network, or too many"))
    },
};

/// A user, by number: names are looked up by whoever writes the file.
pub(crate) const USER: Form<u32> = Form {
    name: "a user's number",
    unit: "",
    write: "a whole number from 0 to 4294967294, without quotes",
    example: "1337",
    // The last one means nobody.
    reader: |value| number(value)?.filter(|user| *user < u32::MAX).ok_or(Bad::Why("no user has it")),
};

/// A mark of packets.
pub(crate) const MARK: Form<NonZeroU32> = Form {
    name: "a mark",
    unit: "",
    write: "a whole number from 1 to 4294967295, without quotes",
    example: "1337",
    reader: |value| number(value)?.and_then(NonZeroU32::new).ok_or(Bad::Why("it marks nothing")),
};

/// What rules do when the sidecar is gone.
pub(crate) const FAIL: Form<Fail> = Form {
    name: "a way to fail",
    unit: "",
    write: "`open` or `closed` in quotes",
    example: "\"closed\"",
    reader: |value| match text(value)? {
        "open" => Ok(Fail::Open),
        "closed" => Ok(Fail::Closed),
        _ => Err(Bad::Why("there are only two")),
    },
};

fn port(value: &DeValue<'_>) -> Result<u16, Bad> {
    let port = number(value)?.and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
    port.ok_or(Bad::Why("it is not from 1 to 65535"))
}

/// A whole number, if it is one that 32 bits hold.
fn number(value: &DeValue<'_>) -> Result<Option<u32>, Bad> {
    let number = value.as_integer().ok_or(Bad::Type)?;
    Ok(u32::from_str_radix(number.as_str(), number.radix()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T>(form: &Form<T>, toml: &str) -> Option<T> {
        let value = DeValue::parse(toml).expect("TOML");
        form.read(value.get_ref()).ok()
    }

    #[test]
    fn only_numbers_that_a_rule_can_have_are_read() {
        assert_eq!(read(&PORT, "8080"), Some(8080));
        for bad in ["0", "65536", "-1", "\"8080\"", "\"8080 -j ACCEPT\"", "80.5", "true", "[80]"] {
            assert_eq!(read(&PORT, bad), None, "{bad}");
        }
        assert_eq!(read(&PORTS, "[443, 80, 443]"), Some(Ports::These(vec![80, 443])));
        assert_eq!(read(&PORTS, "\"all\""), Some(Ports::All));
        for bad in ["[]", "\"80\"", "\"all; drop\"", "[80, \"81\"]", "[0]", "80"] {
            assert_eq!(read(&PORTS, bad), None, "{bad}");
        }
        let many: Vec<String> = (1..=65).map(|port| port.to_string()).collect();
        assert_eq!(read(&PORTS, &format!("[{}]", many.join(","))), None);
    }

    #[test]
    fn networks_users_and_marks_are_read_strictly() {
        assert_eq!(read(&PREFIX, "\"10.0.0.0/8\"").map(|p| p.to_string()).as_deref(), Some("10.0.0.0/8"));
        for bad in
            ["10.0.0.0", "10.0.0.1/8", "10.0.0.0/+8", "10.0.0.0/8 ", "10.0.0.0/8; flush ruleset", "x/8", "::/129", "/8"]
        {
            assert_eq!(read(&PREFIX, &format!("\"{bad}\"")), None, "{bad}");
        }
        assert_eq!(read(&USER, "0"), Some(0));
        assert_eq!(read(&USER, "4294967295"), None);
        assert_eq!(read(&USER, "\"root\""), None);
        assert_eq!(read(&MARK, "0x539").map(NonZeroU32::get), Some(1337));
        assert_eq!(read(&MARK, "0"), None);
    }
}
