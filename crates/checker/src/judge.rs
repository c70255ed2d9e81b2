//! From the text of a file to a verdict, whatever workload it tells of.

use crate::text::workload;
use crate::{BadText, Call, History, Operation, Verdict};
use crate::{append, bank, causal, g2, long_fork, monotonic, register, sequential, set, upsert};

/// An operation that has a checker.
pub trait Checked: Operation {
    /// `calls` by their begin; adds what is wrong.
    fn judge(calls: &[Call<'_, Self>], verdict: &mut Verdict);
}

impl<O: Checked> History<O> {
    pub fn check(&self) -> Verdict {
        match self.calls() {
            Err(malformed) => Verdict::unknown(O::WORKLOAD, Some(malformed.to_string())),
            Ok(calls) => {
                let mut verdict = Verdict::of(O::WORKLOAD, &calls);
                O::judge(&calls, &mut verdict);
                verdict
            }
        }
    }
}

/// Judges a history that was written with [`History::write_to`].
pub fn judge_text(text: &str) -> Result<Verdict, BadText> {
    fn judge<O: Checked>(text: &str) -> Result<Verdict, BadText> {
        Ok(History::<O>::parse(text)?.check())
    }
    match workload(text)? {
        append::Txn::WORKLOAD => judge::<append::Txn>(text),
        bank::BankOp::WORKLOAD => judge::<bank::BankOp>(text),
        causal::CausalOp::WORKLOAD => judge::<causal::CausalOp>(text),
        g2::G2Op::WORKLOAD => judge::<g2::G2Op>(text),
        long_fork::ForkOp::WORKLOAD => judge::<long_fork::ForkOp>(text),
        monotonic::MonotonicOp::WORKLOAD => judge::<monotonic::MonotonicOp>(text),
        register::RegisterOp::WORKLOAD => judge::<register::RegisterOp>(text),
        sequential::SequentialOp::WORKLOAD => judge::<sequential::SequentialOp>(text),
        set::SetOp::WORKLOAD => judge::<set::SetOp>(text),
        upsert::UpsertOp::WORKLOAD => judge::<upsert::UpsertOp>(text),
        found => Err(BadText::UnknownWorkload { found: found.to_owned() }),
    }
}
