//! Aggregates at work: one [`Accumulator`] holds the state of one aggregate over one group.
//!
//! States can be merged, so that ranges may aggregate what they hold and send states instead of rows. NULL arguments are
//! skipped by the accumulators whose aggregate says so; FILTER, DISTINCT and ORDER BY are the executor's.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::functions::{self, FunctionEntry};
use crate::{
    Aggregate, AggregateKind, ArrayValue, Datum, EvalError, EvalResult, FunctionId, Interval, Numeric, SqlType, compare,
};

/// The state of an aggregate over the rows it has seen.
#[derive(Clone, Debug)]
pub struct Accumulator {
    state: State,
    /// Of its first argument.
    argument: SqlType,
    result: SqlType,
}

#[derive(Clone, Debug)]
enum State {
    /// `count(*)` and `count(x)`.
    Count {
        rows: i64,
        all: bool,
    },
    SumInt {
        sum: i128,
        seen: bool,
    },
    SumFloat {
        sum: f64,
        seen: bool,
    },
    SumNumeric {
        sum: Option<Numeric>,
    },
    SumInterval {
        sum: Option<Interval>,
    },
    Average {
        sum: Numeric,
        rows: i64,
    },
    AverageFloat {
        sum: f64,
        rows: i64,
    },
    /// min and max: the order that a new value must have to replace the old one.
    Extreme {
        best: Datum,
        wanted: Ordering,
    },
    Boolean {
        value: Option<bool>,
        all: bool,
    },
    Bits {
        value: Option<i64>,
        how: Bits,
    },
    Text {
        text: Option<String>,
    },
    Bytes {
        bytes: Option<Vec<u8>>,
    },
    Array {
        elements: Vec<Datum>,
        element: SqlType,
        /// What the elements take: counted as they come, not anew with each.
        bytes: usize,
    },
    /// Sums of numeric values and of their squares.
    Variance {
        rows: i64,
        sum: Numeric,
        squares: Numeric,
        how: Spread,
    },
    /// Youngs and Cramer's updating formulas, as PostgreSQL has them: rows, sum, sum of squared differences.
    VarianceFloat {
        rows: f64,
        sum: f64,
        squares: f64,
        how: Spread,
    },
    /// The same for pairs (Y, X).
    Pairs {
        rows: f64,
        sx: f64,
        sxx: f64,
        sy: f64,
        syy: f64,
        sxy: f64,
        how: Relation,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bits {
    And,
    Or,
    Xor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spread {
    of_sample: bool,
    root: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Count,
    AverageX,
    AverageY,
    Sxx,
    Syy,
    Sxy,
    CovarianceOfPopulation,
    CovarianceOfSample,
    Correlation,
    R2,
    Slope,
    Intercept,
}

impl Accumulator {
    /// 0A000 for aggregates that are not there.
    pub fn new(aggregate: &Aggregate) -> EvalResult<Accumulator> {
        let argument = aggregate.args.first().map_or(SqlType::ANY, crate::Expr::ty);
        Accumulator::of(aggregate.function, argument, aggregate.ty)
    }

    pub fn of(kind: AggregateKind, argument: SqlType, result: SqlType) -> EvalResult<Accumulator> {
        let entry = functions::by_id(FunctionId(kind.0))
            .ok_or_else(|| EvalError::new("42883", "an aggregate that does not exist"))?;
        let state = initial(entry, argument)?;
        Ok(Accumulator { state, argument, result })
    }

    /// Takes in the arguments of one row.
    pub fn update(&mut self, args: &[Datum]) -> EvalResult<()> {
        let first = args.first().unwrap_or(&Datum::Null);
        match &mut self.state {
            State::Count { rows, all } => *rows += i64::from(*all || !first.is_null()),
            State::Array { elements, bytes, .. } => {
                *bytes += size_of::<Datum>() + first.heap_bytes();
                elements.push(first.clone());
            }
            _ if first.is_null() => {}
            State::SumInt { sum, seen } => {
                *sum += integer(first)?;
                *seen = true;
            }
            State::SumFloat { sum, seen } => {
                *sum += float(first)?;
                *seen = true;
            }
            State::SumNumeric { sum } => {
                let value = numeric(first)?;
                *sum = Some(match sum.take() {
                    Some(sum) => sum.add(&value)?,
                    None => value,
                });
            }
            State::SumInterval { sum } => {
                let value = interval(first)?;
                *sum = Some(match sum {
                    Some(sum) => add_intervals(sum, &value)?,
                    None => value,
                });
            }
            State::Average { sum, rows } => {
                *sum = sum.add(&numeric(first)?)?;
                *rows += 1;
            }
            State::AverageFloat { sum, rows } => {
                *sum += float(first)?;
                *rows += 1;
            }
            State::Extreme { best, wanted } => {
                if best.is_null() || compare(first, best, self.argument) == *wanted {
                    *best = first.clone();
                }
            }
            State::Boolean { value, all } => {
                let Datum::Bool(new) = first else { return Err(wrong_type()) };
                *value = Some(value.map_or(*new, |old| if *all { old && *new } else { old || *new }));
            }
            State::Bits { value, how } => {
                let new = i64::try_from(integer(first)?).map_err(|_| wrong_type())?;
                *value = Some(value.map_or(new, |old| how.of(old, new)));
            }
            State::Text { text } => {
                let (Datum::Text(new), separator) = (first, args.get(1)) else { return Err(wrong_type()) };
                match text {
                    None => *text = Some(new.to_string()),
                    Some(text) => {
                        if let Some(Datum::Text(separator)) = separator {
                            text.push_str(separator);
                        }
                        text.push_str(new);
                    }
                }
            }
            State::Bytes { bytes } => {
                let (Datum::Bytea(new), separator) = (first, args.get(1)) else { return Err(wrong_type()) };
                match bytes {
                    None => *bytes = Some(new.to_vec()),
                    Some(bytes) => {
                        if let Some(Datum::Bytea(separator)) = separator {
                            bytes.extend_from_slice(separator);
                        }
                        bytes.extend_from_slice(new);
                    }
                }
            }
            State::Variance { rows, sum, squares, .. } => {
                let value = numeric(first)?;
                *rows += 1;
                *squares = squares.add(&value.mul(&value)?)?;
                *sum = sum.add(&value)?;
            }
            State::VarianceFloat { rows, sum, squares, .. } => {
                let value = float(first)?;
                *rows += 1.0;
                *sum += value;
                if *rows > 1.0 {
                    let difference = value * *rows - *sum;
                    *squares += difference * difference / (*rows * (*rows - 1.0));
                }
                if !value.is_finite() {
                    *squares = f64::NAN;
                }
            }
            State::Pairs { rows, sx, sxx, sy, syy, sxy, .. } => {
                let Some(second) = args.get(1).filter(|second| !second.is_null()) else { return Ok(()) };
                let (y, x) = (float(first)?, float(second)?);
                *rows += 1.0;
                *sx += x;
                *sy += y;
                if *rows > 1.0 {
                    let (dx, dy, scale) = (x * *rows - *sx, y * *rows - *sy, 1.0 / (*rows * (*rows - 1.0)));
                    *sxx += dx * dx * scale;
                    *syy += dy * dy * scale;
                    *sxy += dx * dy * scale;
                }
            }
        }
        Ok(())
    }

    /// Takes in what another accumulator of the same aggregate has seen. Those that depend on the order of rows (string_agg,
    /// array_agg) append.
    pub fn merge(&mut self, other: Accumulator) -> EvalResult<()> {
        match (&mut self.state, other.state) {
            (State::Count { rows, .. }, State::Count { rows: more, .. }) => *rows += more,
            (State::SumInt { sum, seen }, State::SumInt { sum: more, seen: any }) => {
                *sum += more;
                *seen |= any;
            }
            (State::SumFloat { sum, seen }, State::SumFloat { sum: more, seen: any }) => {
                *sum += more;
                *seen |= any;
            }
            (State::SumNumeric { sum }, State::SumNumeric { sum: Some(more) }) => {
                *sum = Some(match sum.take() {
                    Some(sum) => sum.add(&more)?,
                    None => more,
                });
            }
            (State::SumInterval { sum }, State::SumInterval { sum: Some(more) }) => {
                *sum = Some(match sum {
                    Some(sum) => add_intervals(sum, &more)?,
                    None => more,
                });
            }
            (State::Average { sum, rows }, State::Average { sum: more, rows: count }) => {
                *sum = sum.add(&more)?;
                *rows += count;
            }
            (State::AverageFloat { sum, rows }, State::AverageFloat { sum: more, rows: count }) => {
                *sum += more;
                *rows += count;
            }
            (State::Extreme { best, wanted }, State::Extreme { best: more, .. }) => {
                if !more.is_null() && (best.is_null() || compare(&more, best, self.argument) == *wanted) {
                    *best = more;
                }
            }
            (State::Boolean { value, all }, State::Boolean { value: Some(more), .. }) => {
                *value = Some(value.map_or(more, |old| if *all { old && more } else { old || more }));
            }
            (State::Bits { value, how }, State::Bits { value: Some(more), .. }) => {
                *value = Some(value.map_or(more, |old| how.of(old, more)));
            }
            (State::Array { elements, bytes, .. }, State::Array { elements: more, bytes: added, .. }) => {
                elements.extend(more);
                *bytes += added;
            }
            (
                State::Variance { rows, sum, squares, .. },
                State::Variance { rows: count, sum: more, squares: other, .. },
            ) => {
                *rows += count;
                *sum = sum.add(&more)?;
                *squares = squares.add(&other)?;
            }
            (
                State::VarianceFloat { rows, sum, squares, .. },
                State::VarianceFloat { rows: n, sum: s, squares: q, .. },
            ) => {
                if *rows == 0.0 {
                    (*rows, *sum, *squares) = (n, s, q);
                } else if n > 0.0 {
                    let difference = *sum / *rows - s / n;
                    *squares += q + *rows * n * difference * difference / (*rows + n);
                    *rows += n;
                    *sum += s;
                }
            }
            // Nothing was seen over there.
            (
                _,
                State::SumNumeric { sum: None }
                | State::SumInterval { sum: None }
                | State::Boolean { value: None, .. }
                | State::Bits { value: None, .. },
            ) => {}
            _ => return Err(EvalError::new("0A000", "this aggregate cannot be computed in parts")),
        }
        Ok(())
    }

    /// The aggregate's value.
    pub fn finish(self) -> EvalResult<Datum> {
        let result = self.result;
        Ok(match self.state {
            State::Count { rows, .. } => Datum::Int8(rows),
            State::SumInt { seen: false, .. } | State::SumFloat { seen: false, .. } => Datum::Null,
            State::SumInt { sum, .. } if result.oid == SqlType::INT8.oid => {
                Datum::Int8(i64::try_from(sum).map_err(|_| EvalError::new("22003", "bigint out of range"))?)
            }
            State::SumInt { sum, .. } => Datum::Numeric(Numeric::from(sum)),
            State::SumFloat { sum, .. } if result.oid == SqlType::FLOAT4.oid => Datum::Float4(sum as f32),
            State::SumFloat { sum, .. } => Datum::Float8(sum),
            State::SumNumeric { sum } => sum.map_or(Datum::Null, Datum::Numeric),
            State::SumInterval { sum } => sum.map_or(Datum::Null, |sum| Datum::Interval(Box::new(sum))),
            State::Average { rows: 0, .. } | State::AverageFloat { rows: 0, .. } => Datum::Null,
            State::Average { sum, rows } => Datum::Numeric(sum.div(&Numeric::from(rows))?),
            State::AverageFloat { sum, rows } => Datum::Float8(sum / rows as f64),
            State::Extreme { best, .. } => best,
            State::Boolean { value, .. } => value.map_or(Datum::Null, Datum::Bool),
            State::Bits { value: None, .. } => Datum::Null,
            State::Bits { value: Some(value), .. } => match result {
                SqlType::INT2 => Datum::Int2(value as i16),
                SqlType::INT4 => Datum::Int4(value as i32),
                _ => Datum::Int8(value),
            },
            State::Text { text } => text.map_or(Datum::Null, Datum::text),
            State::Bytes { bytes } => bytes.map_or(Datum::Null, |bytes| Datum::Bytea(bytes.into())),
            State::Array { elements, .. } if elements.is_empty() => Datum::Null,
            State::Array { elements, element, .. } => array(elements, element)?,
            State::Variance { rows, sum, squares, how } => variance(rows, &sum, &squares, how)?,
            State::VarianceFloat { rows, squares, how, .. } => how.of_floats(rows, squares),
            State::Pairs { rows, sx, sxx, sy, syy, sxy, how } => how.of(rows, sx, sxx, sy, syy, sxy),
        })
    }

    /// Bytes on the heap, roughly.
    pub fn bytes(&self) -> usize {
        match &self.state {
            State::Text { text } => text.as_ref().map_or(0, String::len),
            State::Bytes { bytes } => bytes.as_ref().map_or(0, Vec::len),
            State::Array { bytes, .. } => *bytes,
            State::Extreme { best, .. } => best.heap_bytes(),
            _ => 0,
        }
    }
}

fn initial(entry: &FunctionEntry, argument: SqlType) -> EvalResult<State> {
    let base = argument.base();
    let is_int = matches!(base, SqlType::INT2 | SqlType::INT4 | SqlType::INT8);
    let is_float = matches!(base, SqlType::FLOAT4 | SqlType::FLOAT8);
    let spread = |of_sample, root| {
        let how = Spread { of_sample, root };
        if is_float {
            State::VarianceFloat { rows: 0.0, sum: 0.0, squares: 0.0, how }
        } else {
            State::Variance { rows: 0, sum: Numeric::ZERO, squares: Numeric::ZERO, how }
        }
    };
    let pairs = |how| State::Pairs { rows: 0.0, sx: 0.0, sxx: 0.0, sy: 0.0, syy: 0.0, sxy: 0.0, how };
    Ok(match entry.name {
        "count" => State::Count { rows: 0, all: entry.args.is_empty() },
        "sum" if is_int => State::SumInt { sum: 0, seen: false },
        "sum" if is_float => State::SumFloat { sum: 0.0, seen: false },
        "sum" if base == SqlType::NUMERIC => State::SumNumeric { sum: None },
        "sum" if base == SqlType::INTERVAL => State::SumInterval { sum: None },
        "avg" if is_float => State::AverageFloat { sum: 0.0, rows: 0 },
        "avg" if is_int || base == SqlType::NUMERIC => State::Average { sum: Numeric::ZERO, rows: 0 },
        "min" => State::Extreme { best: Datum::Null, wanted: Ordering::Less },
        "max" => State::Extreme { best: Datum::Null, wanted: Ordering::Greater },
        "bool_and" | "every" => State::Boolean { value: None, all: true },
        "bool_or" => State::Boolean { value: None, all: false },
        "bit_and" if is_int => State::Bits { value: None, how: Bits::And },
        "bit_or" if is_int => State::Bits { value: None, how: Bits::Or },
        "bit_xor" if is_int => State::Bits { value: None, how: Bits::Xor },
        "string_agg" if base == SqlType::BYTEA => State::Bytes { bytes: None },
        "string_agg" => State::Text { text: None },
        "array_agg" => State::Array { elements: Vec::new(), element: argument, bytes: 0 },
        "variance" | "var_samp" => spread(true, false),
        "var_pop" => spread(false, false),
        "stddev" | "stddev_samp" => spread(true, true),
        "stddev_pop" => spread(false, true),
        "regr_count" => pairs(Relation::Count),
        "regr_avgx" => pairs(Relation::AverageX),
        "regr_avgy" => pairs(Relation::AverageY),
        "regr_sxx" => pairs(Relation::Sxx),
        "regr_syy" => pairs(Relation::Syy),
        "regr_sxy" => pairs(Relation::Sxy),
        "covar_pop" => pairs(Relation::CovarianceOfPopulation),
        "covar_samp" => pairs(Relation::CovarianceOfSample),
        "corr" => pairs(Relation::Correlation),
        "regr_r2" => pairs(Relation::R2),
        "regr_slope" => pairs(Relation::Slope),
        "regr_intercept" => pairs(Relation::Intercept),
        name => return Err(EvalError::new("0A000", format!("aggregate {name}({argument}) is not supported"))),
    })
}

impl Bits {
    fn of(self, a: i64, b: i64) -> i64 {
        match self {
            Bits::And => a & b,
            Bits::Or => a | b,
            Bits::Xor => a ^ b,
        }
    }
}

impl Spread {
    fn of_floats(self, rows: f64, squares: f64) -> Datum {
        let least = if self.of_sample { 2.0 } else { 1.0 };
        if rows < least {
            return Datum::Null;
        }
        let variance = squares / if self.of_sample { rows - 1.0 } else { rows };
        Datum::Float8(if self.root { variance.sqrt() } else { variance })
    }
}

fn variance(rows: i64, sum: &Numeric, squares: &Numeric, how: Spread) -> EvalResult<Datum> {
    if rows < 1 + i64::from(how.of_sample) {
        return Ok(Datum::Null);
    }
    if !sum.is_finite() {
        return Ok(Datum::Numeric(Numeric::NAN));
    }
    let count = Numeric::from(rows);
    let spread = count.mul(squares)?.sub(&sum.mul(sum)?)?;
    if spread.signum() <= 0 {
        return Ok(Datum::Numeric(Numeric::ZERO));
    }
    let divisor = count.mul(&Numeric::from(if how.of_sample { rows - 1 } else { rows }))?;
    let variance = spread.div(&divisor)?;
    Ok(Datum::Numeric(if how.root { variance.sqrt()? } else { variance }))
}

impl Relation {
    fn of(self, rows: f64, sx: f64, sxx: f64, sy: f64, syy: f64, sxy: f64) -> Datum {
        if self == Relation::Count {
            return Datum::Int8(rows as i64);
        }
        if rows < 1.0 || self == Relation::CovarianceOfSample && rows < 2.0 {
            return Datum::Null;
        }
        let undefined = match self {
            Relation::Correlation => sxx == 0.0 || syy == 0.0,
            Relation::R2 | Relation::Slope | Relation::Intercept => sxx == 0.0,
            _ => false,
        };
        if undefined {
            return Datum::Null;
        }
        Datum::Float8(match self {
            Relation::Count => rows,
            Relation::AverageX => sx / rows,
            Relation::AverageY => sy / rows,
            Relation::Sxx => sxx,
            Relation::Syy => syy,
            Relation::Sxy => sxy,
            Relation::CovarianceOfPopulation => sxy / rows,
            Relation::CovarianceOfSample => sxy / (rows - 1.0),
            Relation::Correlation => sxy / (sxx * syy).sqrt(),
            Relation::R2 if syy == 0.0 => 1.0,
            Relation::R2 => sxy * sxy / (sxx * syy),
            Relation::Slope => sxy / sxx,
            Relation::Intercept => (sy - sx * sxy / sxx) / rows,
        })
    }
}

fn integer(value: &Datum) -> EvalResult<i128> {
    Ok(match value {
        Datum::Int2(value) => i128::from(*value),
        Datum::Int4(value) => i128::from(*value),
        Datum::Int8(value) => i128::from(*value),
        _ => return Err(wrong_type()),
    })
}

fn float(value: &Datum) -> EvalResult<f64> {
    Ok(match value {
        Datum::Float4(value) => f64::from(*value),
        Datum::Float8(value) => *value,
        _ => return Err(wrong_type()),
    })
}

fn numeric(value: &Datum) -> EvalResult<Numeric> {
    match value {
        Datum::Numeric(value) => Ok(value.clone()),
        other => integer(other).map(Numeric::from),
    }
}

fn interval(value: &Datum) -> EvalResult<Interval> {
    match value {
        Datum::Interval(value) => Ok(**value),
        _ => Err(wrong_type()),
    }
}

fn add_intervals(a: &Interval, b: &Interval) -> EvalResult<Interval> {
    let sum = || {
        Some(Interval {
            months: a.months.checked_add(b.months)?,
            days: a.days.checked_add(b.days)?,
            micros: a.micros.checked_add(b.micros)?,
        })
    };
    sum().ok_or_else(|| EvalError::new("22008", "interval out of range"))
}

/// One dimension of values; of arrays, one dimension more than they have.
fn array(elements: Vec<Datum>, element: SqlType) -> EvalResult<Datum> {
    let length =
        i32::try_from(elements.len()).map_err(|_| EvalError::new("54000", "array size exceeds the maximum allowed"))?;
    let Some(inner) = element.element() else {
        let array = ArrayValue { element: element.base(), dimensions: vec![(length, 1)], elements };
        return Ok(Datum::Array(Arc::new(array)));
    };
    let mut dimensions = vec![(length, 1)];
    let mut all = Vec::new();
    for (position, value) in elements.into_iter().enumerate() {
        let Datum::Array(value) = value else { return Err(EvalError::new("22004", "cannot accumulate null arrays")) };
        if value.elements.is_empty() {
            return Err(EvalError::new("2202E", "cannot accumulate empty arrays"));
        }
        if position == 0 {
            dimensions.extend_from_slice(&value.dimensions);
        } else if dimensions[1..] != value.dimensions[..] {
            return Err(EvalError::new("2202E", "cannot accumulate arrays of different dimensionality"));
        }
        all.extend(value.elements.iter().cloned());
    }
    Ok(Datum::Array(Arc::new(ArrayValue { element: inner.base(), dimensions, elements: all })))
}

fn wrong_type() -> EvalError {
    EvalError::new("XX000", "an aggregate was given a value of another type than it was bound for")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{EvalContext, aggregates};

    fn over(name: &str, ty: SqlType, values: &[Datum]) -> String {
        let entries: Vec<_> = aggregates::by_name(name).collect();
        let fits = |entry: &&&aggregates::AggregateEntry| entry.function.args.first() == Some(&ty.oid);
        let entry = entries.iter().find(fits).or(entries.first()).expect("the aggregate exists");
        let result = SqlType::from(entry.function.result);
        let result = if result == SqlType::ANYARRAY { ty.array().unwrap() } else { result };
        let mut whole = Accumulator::of(entry.id, ty, result).unwrap();
        values.iter().for_each(|value| whole.update(&[value.clone(), Datum::text(", ")]).unwrap());
        let whole = whole.finish().unwrap();
        if whole.is_null() { "NULL".to_owned() } else { whole.text_form(result, &EvalContext::detached()) }
    }

    fn ints(values: &[i32]) -> Vec<Datum> {
        values.iter().map(|value| Datum::Int4(*value)).collect()
    }

    #[test]
    fn nothing_seen() {
        for (name, expected) in [("count", "0"), ("sum", "NULL"), ("avg", "NULL"), ("max", "NULL"), ("stddev", "NULL")]
        {
            assert_eq!(over(name, SqlType::INT4, &[]), expected, "{name}");
            let null = if name == "count" { "1" } else { expected };
            assert!([null, "0"].contains(&over(name, SqlType::INT4, &[Datum::Null]).as_str()), "{name}");
        }
    }

    #[test]
    fn numbers_as_postgresql_has_them() {
        let values = ints(&[1, 2, 3, 10]);
        let expected = [
            ("sum", "16"),
            ("avg", "4.0000000000000000"),
            ("min", "1"),
            ("max", "10"),
            ("var_pop", "12.5000000000000000"),
            ("variance", "16.6666666666666667"),
            ("bit_or", "11"),
        ];
        for (name, value) in expected {
            assert_eq!(over(name, SqlType::INT4, &values), value, "{name}");
        }
        let floats: Vec<Datum> = [1.0, 2.0, 3.0, 10.0].map(Datum::Float8).to_vec();
        assert_eq!(over("var_pop", SqlType::FLOAT8, &floats), "12.5");
        assert_eq!(over("avg", SqlType::FLOAT8, &floats), "4");
    }

    #[test]
    fn texts_and_arrays() {
        let values = ["b", "a"].map(Datum::text);
        assert_eq!(over("string_agg", SqlType::TEXT, &values), "b, a");
        assert_eq!(over("array_agg", SqlType::TEXT, &values), "{b,a}");
        assert_eq!(over("max", SqlType::TEXT, &values), "b");
    }

    #[test]
    fn parts_make_the_whole() {
        for name in ["count", "sum", "avg", "min", "max", "variance", "bit_and"] {
            let entry = aggregates::by_name(name)
                .find(|entry| entry.function.args.first() == Some(&SqlType::INT4.oid))
                .or(aggregates::by_name(name).next());
            let entry = entry.expect("the aggregate exists");
            let new = || Accumulator::of(entry.id, SqlType::INT4, SqlType::from(entry.function.result)).unwrap();
            let (mut whole, mut left, mut right) = (new(), new(), new());
            for (number, value) in ints(&[5, -3, 8, 13, 2]).into_iter().enumerate() {
                whole.update(std::slice::from_ref(&value)).unwrap();
                let part = if number % 2 == 0 { &mut left } else { &mut right };
                part.update(&[value]).unwrap();
            }
            left.merge(right).unwrap();
            left.merge(new()).unwrap();
            assert_eq!(format!("{:?}", left.finish().unwrap()), format!("{:?}", whole.finish().unwrap()), "{name}");
        }
    }
}
