//! Names that PostgreSQL makes up: `t_a_seq`, `t_pkey`, `t_a_b_key`, `t_a_fkey1`.

use expr::Oid;

use crate::catalog::{Catalog, TableDescriptor};

/// Bytes of an identifier.
const NAME_MAX: usize = 63;

/// `first_second_label`, shortened where it is too long: the longer of the first two loses characters until both
/// fit, so that the label is always there.
pub(super) fn make(first: &str, second: Option<&str>, label: &str) -> String {
    let label_len = if label.is_empty() { 0 } else { label.len() + 1 };
    let available = NAME_MAX - label_len - usize::from(second.is_some());
    let (mut a, mut b) = (first.len(), second.map_or(0, str::len));
    while a + b > available {
        if a > b { a -= 1 } else { b -= 1 }
    }
    let mut name = clip(first, a).to_owned();
    if let Some(second) = second {
        name.push('_');
        name.push_str(clip(second, b));
    }
    if !label.is_empty() {
        name.push('_');
        name.push_str(label);
    }
    name
}

/// At most `bytes` of the text, without cutting a character.
pub(super) fn clip(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Like [`make`], with the first number behind the label that makes a name nobody has (PostgreSQL's
/// ChooseRelationName and ChooseConstraintName).
pub(super) fn choose(first: &str, second: Option<&str>, label: &str, taken: impl Fn(&str) -> bool) -> String {
    let mut name = make(first, second, label);
    let mut pass = 0;
    while taken(&name) {
        pass += 1;
        name = make(first, second, &format!("{label}{pass}"));
    }
    name
}

/// The columns' names strung together, as they stand in names of indexes and foreign keys.
pub(super) fn join_columns<'a>(columns: impl IntoIterator<Item = &'a str>) -> String {
    let mut joined = String::new();
    for column in columns {
        if !joined.is_empty() {
            joined.push('_');
        }
        joined.push_str(column);
        if joined.len() >= NAME_MAX {
            break;
        }
    }
    clip(&joined, NAME_MAX).to_owned()
}

/// A name for a relation or index that the schema does not have; constraint names of its tables are avoided too, as an
/// index and its constraint have one name.
pub(super) fn choose_relation(
    catalog: &Catalog,
    schema: Oid,
    first: &str,
    second: Option<&str>,
    label: &str,
    also_taken: impl Fn(&str) -> bool,
) -> String {
    choose(first, second, label, |name| catalog.name_in(schema, name).is_some() || also_taken(name))
}

pub(super) fn has_constraint(table: &TableDescriptor, name: &str) -> bool {
    table.indexes.iter().any(|index| index.constraint.is_some() && index.name == name)
        || table.checks.iter().any(|check| check.name == name)
        || table.foreign_keys.iter().any(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_keep_their_label() {
        assert_eq!(make("t", Some("a"), "seq"), "t_a_seq");
        assert_eq!(make("t", None, "pkey"), "t_pkey");
        let long = "x".repeat(60);
        // As PostgreSQL 15 names the sequence of a serial column in such a table.
        assert_eq!(make(&long, Some("id"), "seq"), format!("{}_id_seq", "x".repeat(56)));
        assert_eq!(make(&long, Some(&long), "key"), format!("{}_{}_key", "x".repeat(29), "x".repeat(29)));
        assert_eq!(make(&"é".repeat(40), None, "pkey").len(), 63, "29 letters of two bytes and the label");
    }

    #[test]
    fn a_number_makes_a_name_free() {
        let taken = ["t_a_key", "t_a_key1"];
        assert_eq!(choose("t", Some("a"), "key", |name| taken.contains(&name)), "t_a_key2");
    }
}
