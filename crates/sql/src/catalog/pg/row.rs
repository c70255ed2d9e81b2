//! Rows by their columns' names, and sets of rows with look-ups.

use std::sync::Arc;

use expr::{ArrayValue, Datum, Oid, Row, SqlType};
use hashbrown::HashMap;
use parking_lot::RwLock;

use super::relations::VirtualRelation;
use crate::catalog::snapshot::Map;

/// What a value of a catalog's column is made from.
pub(crate) trait ToDatum {
    fn to_datum(self) -> Datum;
}

macro_rules! to_datum {
    ($($ty:ty: |$value:ident| $datum:expr;)*) => {
        $(impl ToDatum for $ty {
            fn to_datum(self) -> Datum {
                let $value = self;
                $datum
            }
        })*
    };
}

to_datum! {
    Datum: |value| value;
    Oid: |value| Datum::Oid(value.0);
    bool: |value| Datum::Bool(value);
    i16: |value| Datum::Int2(value);
    i32: |value| Datum::Int4(value);
    i64: |value| Datum::Int8(value);
    f32: |value| Datum::Float4(value);
    &str: |value| Datum::text(value);
    String: |value| Datum::text(value);
    &String: |value| Datum::text(value.as_str());
    char: |value| Datum::text(if value == '\0' { String::new() } else { value.to_string() });
    Int2Vector: |value| vector(SqlType::INT2, value.0.into_iter().map(Datum::Int2).collect());
    OidVector: |value| vector(SqlType::OID, value.0.into_iter().map(|oid| Datum::Oid(oid.0)).collect());
    Vec<i16>: |value| array(SqlType::INT2, value.into_iter().map(Datum::Int2).collect());
    Vec<i64>: |value| array(SqlType::INT8, value.into_iter().map(Datum::Int8).collect());
    Vec<Oid>: |value| array(SqlType::OID, value.into_iter().map(|oid| Datum::Oid(oid.0)).collect());
    Vec<String>: |value| array(SqlType::TEXT, value.into_iter().map(Datum::text).collect());
    Vec<char>: |value| array(SqlType::CHAR, value.into_iter().map(|letter| Datum::text(letter.to_string())).collect());
}

impl<T: ToDatum> ToDatum for Option<T> {
    fn to_datum(self) -> Datum {
        self.map_or(Datum::Null, T::to_datum)
    }
}

/// `int2vector`: counted from 0.
pub(crate) struct Int2Vector(pub Vec<i16>);
/// `oidvector`: counted from 0.
pub(crate) struct OidVector(pub Vec<Oid>);

fn vector(element: SqlType, elements: Vec<Datum>) -> Datum {
    let dimensions = vec![(elements.len() as i32, 0)];
    Datum::Array(Arc::new(ArrayValue { element, dimensions, elements }))
}

pub(crate) fn array(element: SqlType, elements: Vec<Datum>) -> Datum {
    let dimensions = if elements.is_empty() { Vec::new() } else { vec![(elements.len() as i32, 1)] };
    Datum::Array(Arc::new(ArrayValue { element, dimensions, elements }))
}

/// The places of these columns in a relation's row.
pub(super) fn places(relation: &VirtualRelation, names: &[&str]) -> Vec<usize> {
    let table = &relation.table;
    let place = |name: &&str| {
        let name = name.strip_prefix("r#").unwrap_or(name);
        let place = table.columns.iter().position(|column| column.name == name);
        place.unwrap_or_else(|| panic!("{} has no column {name}", table.name))
    };
    names.iter().map(place).collect()
}

/// A row of a virtual relation: the named columns, NULL in all others.
macro_rules! row {
    ($relation:expr; $($name:ident: $value:expr),* $(,)?) => {{
        static PLACES: std::sync::OnceLock<(expr::Oid, Vec<usize>)> = std::sync::OnceLock::new();
        let relation: &$crate::catalog::pg::relations::VirtualRelation = $relation;
        let find = || $crate::catalog::pg::row::places(relation, &[$(stringify!($name)),*]);
        let (of, places) = PLACES.get_or_init(|| (relation.table.oid, find()));
        assert!(*of == relation.table.oid, "one place in the program makes rows of one relation");
        let values = [$($crate::catalog::pg::row::ToDatum::to_datum($value)),*];
        $crate::catalog::pg::row::fill(relation.table.columns.len(), places, values)
    }};
}

pub(crate) use row;

pub(super) fn fill<const N: usize>(width: usize, places: &[usize], values: [Datum; N]) -> Row {
    let mut row = vec![Datum::Null; width];
    for (place, value) in places.iter().zip(values) {
        row[*place] = value;
    }
    row
}

/// A value that rows are looked up by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Probe {
    Oid(u32),
    Int(i64),
    Bool(bool),
    Text(Arc<str>),
}

impl Probe {
    /// `None`: of a kind that is not looked up by.
    pub fn of(datum: &Datum) -> Option<Probe> {
        Some(match datum {
            Datum::Oid(oid) => Probe::Oid(*oid),
            Datum::Int2(value) => Probe::Int(i64::from(*value)),
            Datum::Int4(value) => Probe::Int(i64::from(*value)),
            Datum::Int8(value) => Probe::Int(*value),
            Datum::Bool(value) => Probe::Bool(*value),
            Datum::Text(text) => Probe::Text(text.clone()),
            _ => return None,
        })
    }
}

/// Rows that do not change while the node runs, hashed by whatever column they are asked for.
pub(super) struct Fixed {
    rows: Vec<Row>,
    by_column: RwLock<Map<usize, Arc<HashMap<Probe, Vec<u32>, foldhash::fast::FixedState>>>>,
}

impl Fixed {
    pub fn new(rows: Vec<Row>) -> Fixed {
        Fixed { rows, by_column: RwLock::default() }
    }

    /// Those with these values; the caller compares once more.
    pub fn rows(&self, equal: &[(usize, Datum)]) -> Vec<Row> {
        let Some((column, probe)) = equal.iter().find_map(|(column, datum)| Some((*column, Probe::of(datum)?))) else {
            return self.rows.clone();
        };
        let index = self.index(column);
        let found = index.get(&probe).map_or(&[][..], |found| &found[..]);
        found.iter().map(|at| self.rows[*at as usize].clone()).collect()
    }

    fn index(&self, column: usize) -> Arc<HashMap<Probe, Vec<u32>, foldhash::fast::FixedState>> {
        if let Some(index) = self.by_column.read().get(&column) {
            return index.clone();
        }
        let mut index: HashMap<Probe, Vec<u32>, foldhash::fast::FixedState> = HashMap::default();
        for (at, row) in self.rows.iter().enumerate() {
            if let Some(probe) = Probe::of(&row[column]) {
                index.entry(probe).or_default().push(at as u32);
            }
        }
        let index = Arc::new(index);
        self.by_column.write().insert(column, index.clone());
        index
    }
}

/// Equality conditions on the columns of a relation, by name.
pub(super) struct Equal<'a> {
    pub relation: &'static VirtualRelation,
    pub pairs: &'a [(usize, Datum)],
}

impl Equal<'_> {
    fn get(&self, name: &str) -> Option<&Datum> {
        let wanted = |(place, _): &&(usize, Datum)| self.relation.table.columns[*place].name == name;
        self.pairs.iter().find(wanted).map(|(_, datum)| datum)
    }

    pub fn oid(&self, name: &str) -> Option<Oid> {
        match self.get(name)? {
            Datum::Oid(oid) => Some(Oid(*oid)),
            _ => None,
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)? {
            Datum::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Does the row have these values? NULL equals nothing.
    pub fn holds(&self, row: &[Datum]) -> bool {
        self.pairs.iter().all(|(place, wanted)| match (Probe::of(&row[*place]), Probe::of(wanted)) {
            (Some(is), Some(wanted)) => is == wanted,
            // Not of a kind that is compared here: the plan's filter does it.
            (None, Some(_)) => !row[*place].is_null(),
            (_, None) => !wanted.is_null(),
        })
    }
}
