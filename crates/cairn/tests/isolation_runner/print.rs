//! Results and notices as libpq's `PQprint` and notice processor write them.

use tokio_postgres::error::DbError;

/// A result with its columns aligned: numbers to the right, all else to the left.
pub struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(names: impl Iterator<Item = String>) -> Table {
        Table { names: names.collect(), rows: Vec::new() }
    }

    pub fn push(&mut self, row: impl Iterator<Item = String>) {
        self.rows.push(row.collect());
    }

    pub fn text(&self) -> String {
        let columns = 0..self.names.len();
        let lengths = |column: usize| self.rows.iter().map(move |row| row[column].len());
        let width = |column: usize| lengths(column).chain([self.names[column].len()]).max().unwrap_or(0);
        let widths: Vec<usize> = columns.clone().map(width).collect();
        let is_number: Vec<bool> = columns.map(|column| self.rows.iter().all(|row| is_number(&row[column]))).collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().enumerate().map(|(column, cell)| {
                let blanks = " ".repeat(widths[column] - cell.len());
                if is_number[column] { format!("{blanks}{cell}") } else { format!("{cell}{blanks}") }
            });
            padded.collect::<Vec<_>>().join("|") + "\n"
        };
        let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
        let mut out = line(&self.names);
        out.push_str(&(rule.join("+") + "\n"));
        for row in &self.rows {
            out.push_str(&line(row));
        }
        let plural = if self.rows.len() == 1 { "" } else { "s" };
        out + &format!("({} row{plural})\n\n", self.rows.len())
    }
}

/// PQprint's test of what is shown to the right; an empty field may be anything.
fn is_number(field: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_digit() || b".Ee -".contains(&byte);
    field.bytes().all(is_allowed)
        && !field.starts_with(['E', 'e'])
        && field.bytes().last().is_none_or(|last| last.is_ascii_digit())
}

/// As `PQresultErrorMessage` has it at the default verbosity.
pub fn notice(notice: &DbError) -> String {
    let mut out = format!("{}:  {}\n", notice.severity(), notice.message());
    for (what, text) in [("DETAIL", notice.detail()), ("HINT", notice.hint())] {
        if let Some(text) = text {
            out.push_str(&format!("{what}:  {text}\n"));
        }
    }
    out
}
