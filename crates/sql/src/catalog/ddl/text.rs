//! Changing names within SQL text that the catalog keeps: the text stays as its author wrote it, except for the names.

use crate::catalog::quote::quote_ident;
use crate::parse::ast::{Expr, Name, Query};

use super::walk;

/// One name's place in a text and what is to stand there.
struct Edit {
    at: usize,
    length: usize,
    replacement: String,
}

/// Replaces each reference to the column `from` in the text of an expression over its table.
pub(super) fn rename_column(text: &str, expr: &Expr, from: &str, to: &str) -> String {
    let mut edits = Vec::new();
    walk::column_names(expr, &mut |name: &Name| {
        if name.text == from {
            edits.push(edit(text, name, quote_ident(to)));
        }
    });
    apply(text, edits)
}

/// Replaces names of relations in the text of a query. `change` gets each name's parts and says what is to stand there.
pub(super) fn change_relations(
    text: &str,
    query: &Query,
    mut change: impl FnMut(&crate::parse::ast::ObjectName) -> Option<String>,
) -> String {
    let mut edits = Vec::new();
    walk::relations(query, &mut |name| {
        if let Some(replacement) = change(name) {
            let start = name.at() as usize;
            let last = edit(text, &name.name, String::new());
            edits.push(Edit { at: start, length: last.at + last.length - start, replacement });
        }
    });
    apply(text, edits)
}

fn edit(text: &str, name: &Name, replacement: String) -> Edit {
    let at = name.at as usize;
    let token = text.get(at..).unwrap_or_default();
    let length = match token.strip_prefix('"') {
        Some(quoted) => 1 + quoted_length(quoted),
        None => token.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$')).unwrap_or(token.len()),
    };
    Edit { at, length, replacement }
}

/// Up to and with the closing quote.
fn quoted_length(quoted: &str) -> usize {
    let bytes = quoted.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'"' {
            if bytes.get(at + 1) != Some(&b'"') {
                return at + 1;
            }
            at += 1;
        }
        at += 1;
    }
    bytes.len()
}

fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| edit.at);
    edits.dedup_by_key(|edit| edit.at);
    let mut out = String::with_capacity(text.len() + 16);
    let mut done = 0;
    for edit in edits {
        out.push_str(&text[done..edit.at]);
        out.push_str(&edit.replacement);
        done = edit.at + edit.length;
    }
    out.push_str(&text[done..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::ast::{Binary, ExprKind, OperatorName};

    #[test]
    fn only_the_names_change() {
        // "a B" + é.a > "é"
        let text = "\"a B\" + é.a > \"é\"";
        let column = |names: &[(&str, u32)]| {
            Expr::new(ExprKind::Column(names.iter().map(|(name, at)| Name::new(*name, *at)).collect()), names[0].1)
        };
        let binary = |left, right| {
            let operator = OperatorName::plain("+");
            Expr::new(ExprKind::Binary(Box::new(Binary { operator, left, right })), 0)
        };
        let expr = binary(binary(column(&[("a B", 0)]), column(&[("é", 8), ("a", 11)])), column(&[("é", 15)]));
        assert_eq!(rename_column(text, &expr, "a B", "c"), "c + é.a > \"é\"");
        assert_eq!(rename_column(text, &expr, "a", "select"), "\"a B\" + é.\"select\" > \"é\"");
        assert_eq!(rename_column(text, &expr, "é", "x"), "\"a B\" + é.a > x");
        assert_eq!(rename_column(text, &expr, "b", "x"), text);
    }
}
