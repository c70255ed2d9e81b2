//! Two outputs of one spec, permutation by permutation.
//!
//! A range that answers a little later changes where a step is seen to wait; a database that tells conflicts at another
//! point than PostgreSQL fails another step of the same pair of transactions. Neither is a difference of meaning, so
//! [`Likeness`] tells them from those that are.

use std::collections::BTreeMap;

use super::spec::Spec;

/// How alike two outputs of a permutation are, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// To the letter.
    Equal,
    /// Every step says the same; some were seen to wait, or ended, at another point.
    Waits,
    /// A transaction fails to serialize on both sides, in another step; sessions that failed on neither side say the
    /// same.
    OtherStep,
    /// Expected to fail to serialize, and did not.
    NoFailure,
    Different,
}

impl Likeness {
    /// The two are the same but for the points of waiting and for which step gets the 40001.
    pub fn is_alike(self) -> bool {
        self <= Likeness::OtherStep
    }
}

/// The likeness of each permutation of `expected` (one that is missing in `got` is different).
pub fn compare(spec: &Spec, expected: &str, got: &str) -> Vec<Likeness> {
    let got = permutations(got);
    let pairs = permutations(expected).into_iter().enumerate();
    pairs.map(|(at, expected)| got.get(at).map_or(Likeness::Different, |got| likeness(spec, expected, got))).collect()
}

/// The best of several expected outputs: the one with the most permutations alike, then the most equal.
pub fn best(spec: &Spec, expected: &[String], got: &str) -> (usize, Vec<Likeness>) {
    let all = expected.iter().map(|expected| compare(spec, expected, got)).enumerate();
    let rank = |list: &[Likeness]| {
        let count = |is: fn(Likeness) -> bool| list.iter().filter(|likeness| is(**likeness)).count();
        (count(Likeness::is_alike), count(|likeness| likeness == Likeness::Equal))
    };
    all.max_by_key(|(at, list)| (rank(list), std::cmp::Reverse(*at))).unwrap_or_default()
}

fn permutations(text: &str) -> Vec<&str> {
    let mark = "starting permutation:";
    let mut starts: Vec<usize> = text.match_indices(mark).map(|(at, _)| at).collect();
    starts.push(text.len());
    starts.windows(2).map(|pair| text[pair[0]..pair[1]].trim_end()).collect()
}

fn likeness(spec: &Spec, expected: &str, got: &str) -> Likeness {
    if expected == got {
        return Likeness::Equal;
    }
    let (expected, got) = (Outcomes::read(spec, expected), Outcomes::read(spec, got));
    if expected == got {
        return Likeness::Waits;
    }
    let failed = |outcomes: &Outcomes| -> Vec<bool> {
        (0..spec.sessions.len()).map(|session| outcomes.fails_to_serialize(session)).collect()
    };
    let (must_fail, fails) = (failed(&expected), failed(&got));
    let is_same = (0..spec.sessions.len())
        .filter(|session| !must_fail[*session] && !fails[*session])
        .all(|session| expected.steps.get(&session) == got.steps.get(&session));
    match (must_fail.contains(&true), fails.contains(&true)) {
        (true, true) if is_same => Likeness::OtherStep,
        (true, false) => Likeness::NoFailure,
        _ => Likeness::Different,
    }
}

/// What each session's steps said, in their order, whenever it was.
#[derive(Default, PartialEq, Eq)]
struct Outcomes {
    /// By session: the step and what it said.
    steps: BTreeMap<usize, Vec<(String, String)>>,
    /// Before the first step; notices.
    others: Vec<String>,
}

impl Outcomes {
    fn read(spec: &Spec, text: &str) -> Outcomes {
        let mut outcomes = Outcomes::default();
        let mut current: Option<usize> = None;
        let mut rest = text;
        while !rest.is_empty() {
            if let Some((session, name, after)) = step_line(spec, rest) {
                rest = after;
                // A step that is seen to wait says nothing yet.
                if let Some(after) = rest.strip_prefix(" <waiting ...>") {
                    rest = after;
                    current = None;
                } else {
                    outcomes.steps.entry(session).or_default().push((name.to_owned(), String::new()));
                    current = Some(session);
                }
                rest = rest.strip_prefix('\n').unwrap_or(rest);
                continue;
            }
            let end = rest.find('\n').map_or(rest.len(), |end| end + 1);
            let (line, after) = rest.split_at(end);
            rest = after;
            let said = current.and_then(|session| outcomes.steps.get_mut(&session)?.last_mut());
            match said {
                Some((_, said)) if !line.contains(": NOTICE:  ") => said.push_str(line.trim_end()),
                _ => outcomes.others.push(line.trim_end().to_owned()),
            }
        }
        outcomes.others.retain(|line| !line.is_empty());
        outcomes.others.sort();
        outcomes
    }

    fn fails_to_serialize(&self, session: usize) -> bool {
        let mut said = self.steps.get(&session).into_iter().flatten();
        said.any(|(_, said)| said.contains("could not serialize access"))
    }
}

/// A line that begins or ends a step: its session, its name, and what follows its SQL.
fn step_line<'t>(spec: &'t Spec, text: &'t str) -> Option<(usize, &'t str, &'t str)> {
    let rest = text.strip_prefix("step ")?;
    for (at, session) in spec.sessions.iter().enumerate() {
        for step in &session.steps {
            let Some(rest) = rest.strip_prefix(step.name.as_str()).and_then(|rest| rest.strip_prefix(": ")) else {
                continue;
            };
            let after = rest.strip_prefix("<... completed>").or_else(|| rest.strip_prefix(step.sql.as_str()));
            if let Some(after) = after {
                return Some((at, &step.name, after));
            }
        }
    }
    None
}
