//! How things are put for people.

/// Text for a terminal: what would move the cursor or change colours is shown as what it is. Names of classes come from
/// requests, and a terminal does what it is told.
pub(super) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A time.
pub(super) fn seconds(s: f64) -> String {
    if s < 0.0995 { format!("{:.1} ms", s * 1e3) } else { format!("{s:.2} s") }
}

/// A number of bytes.
pub(super) fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 4] = ["B", "KiB", "MiB", "GiB"];
    let mut value = bytes;
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value:.0} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// An amount of money or of what it is worth: four digits that mean something.
pub(super) fn money(amount: f64) -> String {
    let magnitude = amount.abs();
    let digits = if magnitude == 0.0 {
        0
    } else if magnitude < 1.0 {
        6
    } else if magnitude < 100.0 {
        3
    } else {
        1
    };
    format!("{amount:.digits$}")
}

/// Words with commas between them, or `none`.
pub(super) fn list<T: AsRef<str>>(words: &[T]) -> String {
    if words.is_empty() {
        return "none".to_owned();
    }
    words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}

/// Rows of cells as columns, two spaces apart; the first row is the heading.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let padding = width.saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(padding))
        });
        text += &format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_but_text() {
        assert_eq!(printable("scène\n\u{1b}[2Jx\r\u{202e}"), "scène\n\\u{1b}[2Jx\\u{d}\\u{202e}");
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!([0.0004, 0.05, 0.12, 75.0].map(seconds), ["0.4 ms", "50.0 ms", "0.12 s", "75.00 s"]);
        assert_eq!([0.0, 1023.0, 1024.0, 3e9].map(bytes), ["0 B", "1023 B", "1.0 KiB", "2.8 GiB"]);
        assert_eq!([0.0, 0.0012, 2.5, 1234.0].map(money), ["0", "0.001200", "2.500", "1234.0"]);
    }

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let rows = [vec!["a".to_owned(), "bb".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(table(&rows), "  a     bb\n  long\n");
    }
}
