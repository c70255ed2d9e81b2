//! Reading the tables of `data/`: lines of tab-separated fields, as `data/extract` wrote them.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::Oid;

pub(crate) type StaticMap<K, V> = HashMap<K, V, FixedState>;

/// The lines of a table.
pub(crate) struct Rows(std::str::Lines<'static>);

impl Rows {
    pub(crate) fn of(text: &'static str) -> Rows {
        Rows(text.lines())
    }
}

impl Iterator for Rows {
    type Item = Fields;

    fn next(&mut self) -> Option<Fields> {
        Some(Fields(self.0.next()?.split('\t')))
    }
}

/// The fields of a line, to be taken in their order. The tables are part of the program: what is wrong
/// in them is a defect of the build.
pub(crate) struct Fields(std::str::Split<'static, char>);

impl Fields {
    pub(crate) fn text(&mut self) -> &'static str {
        self.0.next().expect("each line of a data table has all fields")
    }

    pub(crate) fn number<T: std::str::FromStr>(&mut self) -> T {
        let text = self.text();
        text.parse().unwrap_or_else(|_| panic!("a number is expected in a data table, not {text:?}"))
    }

    pub(crate) fn oid(&mut self) -> Oid {
        Oid(self.number())
    }

    pub(crate) fn oids(&mut self) -> Box<[Oid]> {
        let list = self.text().split_ascii_whitespace();
        list.map(|oid| Oid(oid.parse().expect("OIDs are numbers in a data table"))).collect()
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.text() == "1"
    }

    pub(crate) fn letter(&mut self) -> char {
        self.text().chars().next().expect("a letter is expected in a data table")
    }
}
