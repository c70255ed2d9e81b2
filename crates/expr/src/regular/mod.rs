//! PostgreSQL's regular expressions, run by the `regex` and `fancy-regex` crates.
//!
//! An ARE is translated ([`translate`]) to their syntax. Two things differ in kind: PostgreSQL takes the
//! longest match where those take the first alternative that matches (patterns with alternatives are
//! therefore compiled for the longest match), and what needs backtracking runs under a step limit and ends
//! with an error instead of running for ever.

mod translate;

use std::cell::RefCell;
use std::sync::Arc;

use crate::{EvalError, EvalResult};

pub(crate) use translate::Options;

/// Steps of backtracking in one search.
const STEPS_MAX: usize = 1_000_000;
/// Bytes of a compiled pattern.
const PROGRAM_BYTES_MAX: usize = 10 << 20;
const PATTERN_BYTES_MAX: usize = 64 << 10;
const CACHE_ENTRIES: usize = 32;

/// A compiled pattern; cheap to clone.
#[derive(Clone)]
pub(crate) struct Regex(Arc<fancy_regex::Regex>);

/// The spans of a match: the whole, then each group; `None` for a group that took no part.
pub(crate) type Captures = Vec<Option<(usize, usize)>>;

struct Cached {
    pattern: String,
    options: Options,
    regex: Regex,
}

thread_local! {
    /// The most recently used patterns of this thread, the last one first. What is in it never shows.
    static CACHE: RefCell<Vec<Cached>> = const { RefCell::new(Vec::new()) };
}

impl Regex {
    /// 2201B where the pattern is not a valid one.
    pub(crate) fn new(pattern: &str, options: Options) -> EvalResult<Regex> {
        CACHE.with_borrow_mut(|cache| {
            if let Some(at) = cache.iter().position(|c| c.options == options && c.pattern == pattern) {
                cache[..=at].rotate_right(1);
                return Ok(cache[0].regex.clone());
            }
            let regex = compile(pattern, options)?;
            cache.truncate(CACHE_ENTRIES - 1);
            cache.insert(0, Cached { pattern: pattern.to_owned(), options, regex: regex.clone() });
            Ok(regex)
        })
    }

    pub(crate) fn is_match(&self, text: &str) -> EvalResult<bool> {
        self.0.is_match(text).map_err(failed)
    }

    /// The first match that begins at the byte `from` or later.
    pub(crate) fn captures(&self, text: &str, from: usize) -> EvalResult<Option<Captures>> {
        let found = self.0.captures_from_pos(text, from).map_err(failed)?;
        Ok(found.map(|captures| (0..captures.len()).map(|at| captures.get(at).map(|m| (m.start(), m.end()))).collect()))
    }

    /// The number of groups.
    pub(crate) fn groups(&self) -> usize {
        self.0.captures_len() - 1
    }
}

fn failed(_: fancy_regex::Error) -> EvalError {
    EvalError::new("54001", "regular expression is too complex")
        .with_detail(format!("The search took more than {STEPS_MAX} steps."))
}

fn compile(pattern: &str, options: Options) -> EvalResult<Regex> {
    let invalid = |reason: &str| EvalError::new("2201B", format!("invalid regular expression: {reason}"));
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(invalid("regular expression is too complex"));
    }
    let translated = translate::translate(pattern, options).map_err(invalid)?;
    let built = fancy_regex::RegexBuilder::new(&translated.pattern)
        .backtrack_limit(STEPS_MAX)
        .delegate_size_limit(PROGRAM_BYTES_MAX)
        .leftmost_longest(options.longest && translated.wants_longest)
        .build();
    match built {
        Ok(regex) => Ok(Regex(Arc::new(regex))),
        Err(fancy_regex::Error::CompileError(_)) => Err(invalid("regular expression is too complex")),
        Err(_) => Err(invalid("quantifier operand invalid")),
    }
}
