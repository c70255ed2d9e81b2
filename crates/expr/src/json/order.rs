//! The order of documents: PostgreSQL's `compareJsonbContainers`.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use super::Jsonb;

impl Jsonb {
    /// Null < string < number < boolean < array < object.
    fn rank(&self) -> u8 {
        match self {
            Jsonb::Null => 0,
            Jsonb::String(_) => 1,
            Jsonb::Number(_) => 2,
            Jsonb::Bool(_) => 3,
            Jsonb::Array(_) => 4,
            Jsonb::Object(_) => 5,
        }
    }

    fn is_scalar(&self) -> bool {
        self.rank() < 4
    }
}

/// Shorter containers first, then element by element.
fn within(a: &Jsonb, b: &Jsonb) -> Ordering {
    match (a, b) {
        (Jsonb::String(a), Jsonb::String(b)) => a.cmp(b),
        (Jsonb::Number(a), Jsonb::Number(b)) => a.cmp(b),
        (Jsonb::Bool(a), Jsonb::Bool(b)) => a.cmp(b),
        (Jsonb::Array(a), Jsonb::Array(b)) => {
            let elements = || a.iter().zip(b).map(|(a, b)| within(a, b)).find(|order| order.is_ne());
            a.len().cmp(&b.len()).then_with(|| elements().unwrap_or(Ordering::Equal))
        }
        (Jsonb::Object(a), Jsonb::Object(b)) => {
            let pair = |((ka, va), (kb, vb)): (&(_, Jsonb), &(_, Jsonb))| Ord::cmp(ka, kb).then_with(|| within(va, vb));
            let pairs = || a.iter().zip(b).map(pair).find(|order: &Ordering| order.is_ne());
            a.len().cmp(&b.len()).then_with(|| pairs().unwrap_or(Ordering::Equal))
        }
        _ => a.rank().cmp(&b.rank()),
    }
}

impl Ord for Jsonb {
    fn cmp(&self, other: &Jsonb) -> Ordering {
        match (self, other) {
            // A scalar document counts as an array of one element, below a true one of that length: only
            // the empty array lies below scalars.
            (Jsonb::Array(elements), scalar) if scalar.is_scalar() => {
                if elements.is_empty() {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (scalar, Jsonb::Array(elements)) if scalar.is_scalar() => {
                if elements.is_empty() {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            _ => within(self, other),
        }
    }
}

impl PartialOrd for Jsonb {
    fn partial_cmp(&self, other: &Jsonb) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Jsonb {
    fn eq(&self, other: &Jsonb) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Jsonb {}

impl Hash for Jsonb {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u8(self.rank());
        match self {
            Jsonb::Null => {}
            Jsonb::String(text) => text.hash(state),
            Jsonb::Number(number) => number.hash(state),
            Jsonb::Bool(value) => value.hash(state),
            Jsonb::Array(elements) => elements.hash(state),
            Jsonb::Object(pairs) => pairs.hash(state),
        }
    }
}
