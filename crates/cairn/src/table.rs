//! Tables on a terminal, in psql's aligned format.

use unicode_width::UnicodeWidthStr;

/// Prints rows under a header as psql does; numbers to the right.
pub fn render(header: &[String], rows: &[Vec<Option<String>>]) -> String {
    let cell = |value: &Option<String>| value.clone().unwrap_or_default();
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(column, name)| {
            let widest = rows.iter().map(|row| row[column].as_deref().map_or(0, text_width)).max();
            widest.unwrap_or(0).max(text_width(name))
        })
        .collect();
    let right: Vec<bool> = (0..header.len())
        .map(|column| {
            let mut values = rows.iter().filter_map(|row| row[column].as_deref()).peekable();
            values.peek().is_some() && values.all(looks_like_a_number)
        })
        .collect();
    let mut out = String::new();
    let titles: Vec<String> =
        header.iter().zip(&widths).map(|(name, width)| format!(" {} ", centred(name, *width))).collect();
    push_line(&mut out, &titles.join("|"));
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    push_line(&mut out, &rules.join("+"));
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .enumerate()
            .map(|(column, value)| format!(" {} ", padded(&cell(value), widths[column], right[column])))
            .collect();
        push_line(&mut out, &cells.join("|"));
    }
    out.push_str(&match rows.len() {
        1 => "(1 row)\n".to_owned(),
        count => format!("({count} rows)\n"),
    });
    out
}

fn push_line(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

fn text_width(text: &str) -> usize {
    text.lines().map(UnicodeWidthStr::width).max().unwrap_or(0)
}

fn padded(text: &str, width: usize, right: bool) -> String {
    let padding = " ".repeat(width.saturating_sub(text_width(text)));
    if right { format!("{padding}{text}") } else { format!("{text}{padding}") }
}

fn centred(text: &str, width: usize) -> String {
    let padding = width.saturating_sub(text_width(text));
    format!("{}{text}{}", " ".repeat(padding / 2), " ".repeat(padding - padding / 2))
}

fn looks_like_a_number(text: &str) -> bool {
    text.parse::<f64>().is_ok() && !text.starts_with(char::is_alphabetic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_right_and_text_left() {
        let header = ["id".to_owned(), "name".to_owned()];
        let rows = [vec![Some("1".into()), Some("ann".into())], vec![Some("20".into()), None]];
        let expected = " id | name\n----+------\n  1 | ann\n 20 |\n(2 rows)\n";
        assert_eq!(render(&header, &rows), expected);
    }
}
