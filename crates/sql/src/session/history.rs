//! AS OF SYSTEM TIME: a statement, or a transaction, that reads what was.
//!
//! CockroachDB's clause, with its meaning: the whole statement reads at one number of the past, writes nothing, and waits for
//! nobody but transactions that may yet commit at or below that number. The schema is that of the time too. What is asked
//! for may be
//!
//! * an interval, `'-10s'`: so long before now;
//! * a point in time, `'2026-11-21 04:00'`, in the session's time zone unless it names one;
//! * a number of the oracle, as errors, `cairn.transactions` and the log show them.
//!
//! "Now" is the oracle's, whose milliseconds numbers are made of: the clock of this node does not come into it. A point in
//! time is the first number of its millisecond.

use std::sync::Arc;

use expr::{Datum, EvalContext, NoEnvironment, SqlType};
use keyspace::Timestamp;
use txn::Stamp;

use super::Session;
use super::block::Open;
use super::prepared::Prepared;
use super::run::Limit;
use super::server::EPOCH_MS;
use crate::catalog::Catalog;
use crate::parse::ast::{SourceExpr, TransactionMode};
use crate::{SqlError, SqlResult, bind};

impl Session {
    /// [`Session::start_statement`] for a statement that may say when.
    pub(super) async fn start_prepared(
        &mut self,
        prepared: &Prepared,
        limit: &Limit,
    ) -> SqlResult<(Open, Arc<Catalog>)> {
        let system_time = prepared.statement.as_ref().and_then(|statement| statement.system_time());
        self.start_statement_at(system_time, limit).await
    }

    pub(super) async fn start_statement_at(
        &mut self,
        system_time: Option<&SourceExpr>,
        limit: &Limit,
    ) -> SqlResult<(Open, Arc<Catalog>)> {
        if let Some(written) = system_time {
            let at = Box::pin(self.number_of(written, limit)).await?;
            self.ensure_block();
            self.go_back_to(Some(at))?;
        }
        self.start_statement(limit).await
    }

    /// The number at which a statement that runs outside of a transaction would be planned now.
    pub(super) async fn stamp_of(&mut self, prepared: &Prepared, limit: &Limit) -> SqlResult<Stamp> {
        let of_statement = match prepared.statement.as_ref().and_then(|statement| statement.system_time()) {
            Some(written) => Some(Box::pin(self.number_of(written, limit)).await?),
            None => None,
        };
        let of_block = self.block.as_ref().and_then(|block| block.modes.system_time);
        match of_statement.or(of_block) {
            Some(at) => Ok(Stamp { at, catalog: Timestamp::ZERO, unsettled: true }),
            None => limit.run(self.server.config.txn.oracle().fresh()).await,
        }
    }

    /// What BEGIN and SET TRANSACTION say.
    pub(super) async fn system_time_of(
        &mut self,
        modes: &[TransactionMode],
        written: Option<&SourceExpr>,
        limit: &Limit,
    ) -> SqlResult<Option<Timestamp>> {
        let Some(written) = written else { return Ok(None) };
        if modes.contains(&TransactionMode::ReadOnly(false)) {
            return Err(SqlError::new("42601", "AS OF SYSTEM TIME specified with READ WRITE mode"));
        }
        Box::pin(self.number_of(written, limit)).await.map(Some)
    }

    /// `None` changes nothing; nor does anything outside a block, which has been warned of.
    pub(super) fn go_back_to(&mut self, at: Option<Timestamp>) -> SqlResult<()> {
        match (at, &mut self.block) {
            (Some(at), Some(block)) => block.go_back_to(at),
            _ => Ok(()),
        }
    }

    async fn number_of(&mut self, written: &SourceExpr, limit: &Limit) -> SqlResult<Timestamp> {
        let now = limit.run(self.server.config.txn.oracle().fresh()).await?;
        let catalog = limit.run(self.server.catalogs.at(now, self.catalog.as_ref())).await?;
        let path = self.search_path(&catalog);
        let (expr, ty) = bind::bind_alone(&catalog, &path, &written.text)?;
        let active = self.state.active();
        let now_micros = micros(now.at.unix_ms());
        let eval = EvalContext::new(&active.eval, &NoEnvironment).with_times(now_micros, now_micros);
        let value = expr.eval(&[], &eval)?;
        number(value, ty, now.at, &eval)
    }
}

/// Microseconds since 2000.
fn micros(unix_ms: u64) -> i64 {
    (unix_ms as i64 - EPOCH_MS as i64) * 1000
}

fn number(value: Datum, ty: SqlType, now: Timestamp, eval: &EvalContext<'_>) -> SqlResult<Timestamp> {
    let invalid = |what: String| SqlError::new("22023", format!("AS OF SYSTEM TIME: {what}"));
    let at = match &value {
        Datum::Int4(number) => u64::try_from(*number).ok().map(Timestamp),
        Datum::Int8(number) => u64::try_from(*number).ok().map(Timestamp),
        Datum::Numeric(number) => number.to_string().parse().ok().map(Timestamp),
        _ => match point_in_time(&value, ty, now, eval)? {
            // The infinities too: no millisecond of ours.
            Some(micros) => u64::try_from(micros.div_euclid(1000) + EPOCH_MS as i64)
                .ok()
                .map(|ms| if ms > now.unix_ms() { Timestamp::MAX } else { Timestamp::new(ms, 0) }),
            None => as_text(&value).and_then(|text| text.trim().parse().ok()).map(Timestamp),
        },
    };
    match at {
        Some(at) if at >= now => Err(invalid("cannot specify timestamp in the future".to_owned())),
        Some(Timestamp::ZERO) => Err(invalid("zero timestamp is invalid".to_owned())),
        Some(at) => Ok(at),
        None => {
            let text = value.text_form(ty, &EvalContext::detached());
            Err(invalid(format!("value \"{text}\" is neither timestamp, decimal, nor interval")))
        }
    }
}

fn as_text(value: &Datum) -> Option<&str> {
    match value {
        Datum::Text(text) => Some(text),
        _ => None,
    }
}

/// Microseconds since 2000; `None` for what is no time.
fn point_in_time(value: &Datum, ty: SqlType, now: Timestamp, eval: &EvalContext<'_>) -> SqlResult<Option<i64>> {
    let parse = |text: &str, ty| Datum::parse(text, ty, eval).ok();
    let value = match value {
        Datum::Text(text) => parse(text, SqlType::TIMESTAMPTZ)
            .or_else(|| parse(text, SqlType::INTERVAL).filter(|_| text.trim().parse::<u64>().is_err())),
        // A local time is read as such.
        Datum::Timestamp(_) | Datum::Date(_) => parse(&value.text_form(ty, eval), SqlType::TIMESTAMPTZ),
        value => Some(value.clone()),
    };
    Ok(match value {
        Some(Datum::TimestampTz(micros)) => Some(micros),
        Some(Datum::Interval(interval)) => {
            Some(expr::timestamptz_plus_interval(micros(now.unix_ms()), &interval, &eval.settings.time_zone)?)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21 04:00:00 UTC.
    const NOW_MS: u64 = 1_795_233_600_000;

    fn number_of(text: &str) -> Result<Timestamp, String> {
        let value = Datum::text(text);
        let eval = EvalContext::detached();
        number(value, SqlType::UNKNOWN, Timestamp::new(NOW_MS, 7), &eval).map_err(|error| {
            assert_eq!(error.state(), "22023");
            error.0.message
        })
    }

    #[test]
    fn the_forms_of_a_time() {
        let at = |ms| Ok(Timestamp::new(ms, 0));
        assert_eq!(number_of("-10s"), at(NOW_MS - 10_000));
        assert_eq!(number_of("-1 day"), at(NOW_MS - 86_400_000));
        assert_eq!(number_of("2026-11-21 03:59:59.25+00"), at(NOW_MS - 750));
        assert_eq!(number_of("2026-11-21 05:00:00.0009+01"), at(NOW_MS), "the millisecond that has begun");
        assert_eq!(number_of("470600000000000000"), Ok(Timestamp(470_600_000_000_000_000)));
    }

    #[test]
    fn what_is_refused() {
        for future in ["10s", "2027-01-01", "infinity", "18446744073709551615"] {
            assert_eq!(number_of(future), Err("AS OF SYSTEM TIME: cannot specify timestamp in the future".into()));
        }
        assert!(number_of("1960-01-01").is_err(), "numbers begin with 1970");
        assert!(number_of("yesteryear").unwrap_err().contains("neither timestamp, decimal, nor interval"));
        assert!(number_of("0").unwrap_err().contains("zero"));
    }
}
