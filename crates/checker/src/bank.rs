//! Money moves between accounts; none is made or lost. Every read of all accounts must find every account, nothing below
//! zero, and the money that was there at the begin.

use crate::judge::Checked;
use crate::text::{Words, write_list};
use crate::{Call, Level, Operation, Verdict};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BankOp {
    /// The first operation: accounts `0..accounts` with `each`.
    Open {
        accounts: u32,
        each: i64,
    },
    Transfer {
        from: u32,
        to: u32,
        amount: i64,
    },
    /// Balances of all accounts, by number.
    Read(Option<Vec<i64>>),
}

impl Operation for BankOp {
    const WORKLOAD: &'static str = "bank";

    fn write(&self, out: &mut String) {
        match self {
            BankOp::Open { accounts, each } => out.push_str(&format!("open {accounts} {each}")),
            BankOp::Transfer { from, to, amount } => out.push_str(&format!("transfer {from} {to} {amount}")),
            BankOp::Read(None) => out.push_str("read"),
            BankOp::Read(Some(balances)) => {
                out.push_str("read ");
                write_list(out, balances);
            }
        }
    }

    fn parse(text: &str) -> Option<BankOp> {
        let mut words = Words::of(text);
        let op = match words.word()? {
            "open" => BankOp::Open { accounts: words.number()?, each: words.number()? },
            "transfer" => BankOp::Transfer { from: words.number()?, to: words.number()?, amount: words.number()? },
            "read" if words.is_over() => BankOp::Read(None),
            "read" => BankOp::Read(Some(words.numbers()?)),
            _ => return None,
        };
        words.end(op)
    }
}

impl Checked for BankOp {
    fn judge(calls: &[Call<'_, BankOp>], verdict: &mut Verdict) {
        let opened = calls.iter().find_map(|call| match call.op {
            BankOp::Open { accounts, each } => Some((*accounts, *each)),
            _ => None,
        });
        let Some((accounts, each)) = opened else {
            verdict.unknown = Some("nobody says how much money there is".to_owned());
            return;
        };
        let total = i64::from(accounts) * each;
        for call in calls.iter().filter(|call| call.is_ok()) {
            let BankOp::Read(Some(balances)) = call.op else { continue };
            let (found, sum) = (balances.len(), balances.iter().sum::<i64>());
            if found != accounts as usize {
                let why = || format!("{found} accounts, and there should be {accounts}\n  {call}");
                verdict.add("missing-account", Level::SnapshotIsolation, why);
            } else if sum != total {
                let why = || format!("they hold {sum}, and it should be {total}\n  {call}");
                verdict.add("wrong-total", Level::SnapshotIsolation, why);
            }
            if let Some(below) = balances.iter().position(|balance| *balance < 0) {
                let why = || format!("account {below} holds {}\n  {call}", balances[below]);
                verdict.add("negative-balance", Level::SnapshotIsolation, why);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::judge_text;

    #[test]
    fn money_is_neither_made_nor_lost() {
        let judge = |read: &str| {
            let text = format!(
                "# cairn history 1: bank\n0 0 0 invoke open 3 10\n1 0 1 ok open 3 10\n2 0 2 invoke transfer 0 1 4\n\
                 3 1 3 invoke read\n4 1 4 ok read {read}\n5 0 5 ok transfer 0 1 4\n"
            );
            judge_text(&text).unwrap().found.into_keys().collect::<Vec<_>>()
        };
        assert!(judge("[6 14 10]").is_empty());
        assert_eq!(judge("[6 10 10]"), ["wrong-total"]);
        assert_eq!(judge("[6 24]"), ["missing-account"]);
        assert_eq!(judge("[-1 21 10]"), ["negative-balance"]);
    }
}
