//! PostgreSQL's numeric: any number of decimal digits, a display scale, NaN and the infinities.

/// Sign, base-10000 digits, weight of the first digit, display scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numeric {
    pub(crate) negative: bool,
    pub(crate) digits: Vec<u16>,
    pub(crate) weight: i32,
    pub(crate) scale: u16,
}
