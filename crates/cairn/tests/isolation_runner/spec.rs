//! The `.spec` format of PostgreSQL's isolationtester: sessions, their steps, and the orders to run them in.
//!
//! ```text
//! setup    { CREATE TABLE t (i int); }          once per permutation; there may be several
//! teardown { DROP TABLE t; }
//! session one
//! setup { BEGIN; }                              in this session, before its first step
//! step a { INSERT INTO t VALUES (1); }
//! step c { COMMIT; }
//! session two
//! step b { SELECT * FROM t; }
//! permutation a b(*) c(b)                       none: every interleaving
//! ```

/// A whole file.
#[derive(Debug, Default)]
pub struct Spec {
    pub setups: Vec<String>,
    pub teardown: Option<String>,
    pub sessions: Vec<SessionSpec>,
    pub permutations: Vec<Vec<Entry>>,
}

#[derive(Debug, Default)]
pub struct SessionSpec {
    pub name: String,
    pub setup: Option<String>,
    pub teardown: Option<String>,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub struct Step {
    pub name: String,
    pub sql: String,
}

/// A step by its session and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepId {
    pub session: usize,
    pub step: usize,
}

/// A step in a permutation, and what holds back the report of its completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: StepId,
    pub blockers: Vec<Blocker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocker {
    /// `*`: reported as waiting when it is launched, whatever it does.
    Once,
    /// Not before that step has completed.
    Step(StepId),
    /// Not before that step's session has sent so many notices since the launch.
    Notices(StepId, usize),
}

impl Spec {
    pub fn parse(text: &str) -> Result<Spec, String> {
        let tokens = tokens(text)?;
        Parser { tokens, at: 0, named: Vec::new() }.spec()
    }

    pub fn step(&self, id: StepId) -> &Step {
        &self.sessions[id.session].steps[id.step]
    }

    /// The permutations of the file, or all there are.
    pub fn orders(&self) -> Vec<Vec<Entry>> {
        if !self.permutations.is_empty() {
            return self.permutations.clone();
        }
        let mut all = Vec::new();
        self.interleave(&mut vec![0; self.sessions.len()], &mut Vec::new(), &mut all);
        all
    }

    fn interleave(&self, taken: &mut Vec<usize>, steps: &mut Vec<Entry>, all: &mut Vec<Vec<Entry>>) {
        let mut is_whole = true;
        for session in 0..self.sessions.len() {
            let step = taken[session];
            if step == self.sessions[session].steps.len() {
                continue;
            }
            is_whole = false;
            taken[session] += 1;
            steps.push(Entry { id: StepId { session, step }, blockers: Vec::new() });
            self.interleave(taken, steps, all);
            steps.pop();
            taken[session] -= 1;
        }
        if is_whole {
            all.push(steps.clone());
        }
    }

    fn find(&self, name: &str) -> Result<StepId, String> {
        let sessions = self.sessions.iter().enumerate();
        let mut found = sessions.filter_map(|(session, spec)| {
            let step = spec.steps.iter().position(|step| step.name == name)?;
            Some(StepId { session, step })
        });
        found.next().ok_or_else(|| format!("undefined step \"{name}\" specified in permutation"))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Quoted(String),
    Sql(String),
    Number(usize),
    Mark(char),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = rest.trim_start();
        } else if first == '#' {
            rest = rest.split_once('\n').map_or("", |(_, rest)| rest);
        } else if first == '{' {
            let (block, after) = rest[1..].split_once('}').ok_or("a SQL block has no end")?;
            // Newlines belong to the block, blanks around it do not.
            let blank = [' ', '\t', '\r', '\u{c}'];
            out.push(Token::Sql(block.trim_start_matches(blank).trim_end_matches(blank).to_owned()));
            rest = after;
        } else if first == '"' {
            let (name, after) = rest[1..].split_once('"').ok_or("a quoted name has no end")?;
            out.push(Token::Quoted(name.to_owned()));
            rest = after;
        } else if matches!(first, '(' | ')' | ',' | '*') {
            out.push(Token::Mark(first));
            rest = &rest[1..];
        } else {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$' || !c.is_ascii();
            let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if word.is_empty() {
                return Err(format!("unexpected character {first:?}"));
            }
            out.push(word.parse().map_or_else(|_| Token::Word(word.to_owned()), Token::Number));
            rest = after;
        }
    }
    Ok(out)
}

const KEYWORDS: [&str; 7] = ["setup", "teardown", "session", "step", "permutation", "notices", "connection"];

/// A step in a permutation as it is written, before all steps are known.
type Named = (String, Vec<NamedBlocker>);

enum NamedBlocker {
    Once,
    Step(String),
    Notices(String, usize),
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    named: Vec<Vec<Named>>,
}

impl Parser {
    fn spec(mut self) -> Result<Spec, String> {
        let mut spec = Spec::default();
        while let Some(token) = self.next() {
            match token {
                Token::Word(word) if word == "setup" => {
                    let sql = self.sql()?;
                    match spec.sessions.last_mut() {
                        Some(session) => session.setup = Some(sql),
                        None => spec.setups.push(sql),
                    }
                }
                Token::Word(word) if word == "teardown" => {
                    let sql = self.sql()?;
                    match spec.sessions.last_mut() {
                        Some(session) => session.teardown = Some(sql),
                        None => spec.teardown = Some(sql),
                    }
                }
                Token::Word(word) if word == "session" => {
                    let name = self.name().ok_or("a session has no name")?;
                    spec.sessions.push(SessionSpec { name, ..SessionSpec::default() });
                }
                Token::Word(word) if word == "step" => {
                    let name = self.name().ok_or("a step has no name")?;
                    let sql = self.sql()?;
                    let session = spec.sessions.last_mut().ok_or("a step stands outside a session")?;
                    session.steps.push(Step { name, sql });
                }
                Token::Word(word) if word == "permutation" => {
                    let entries = self.entries()?;
                    self.named.push(entries);
                }
                token => return Err(format!("unexpected {token:?}")),
            }
        }
        for entries in std::mem::take(&mut self.named) {
            let resolved = entries.into_iter().map(|entry| resolve(&spec, entry)).collect::<Result<_, _>>()?;
            spec.permutations.push(resolved);
        }
        Ok(spec)
    }

    fn next(&mut self) -> Option<Token> {
        self.at += 1;
        self.tokens.get(self.at - 1).cloned()
    }

    fn eat(&mut self, token: &Token) -> bool {
        let is_next = self.tokens.get(self.at) == Some(token);
        self.at += usize::from(is_next);
        is_next
    }

    fn sql(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Sql(sql)) => Ok(sql),
            other => Err(format!("expected a SQL block, found {other:?}")),
        }
    }

    /// An identifier, if one is next.
    fn name(&mut self) -> Option<String> {
        let name = match self.tokens.get(self.at)? {
            Token::Quoted(name) => name.clone(),
            Token::Word(word) if !KEYWORDS.contains(&word.as_str()) => word.clone(),
            _ => return None,
        };
        self.at += 1;
        Some(name)
    }

    fn entries(&mut self) -> Result<Vec<Named>, String> {
        let mut entries = Vec::new();
        while let Some(name) = self.name() {
            let mut blockers = Vec::new();
            if self.eat(&Token::Mark('(')) {
                loop {
                    blockers.push(self.blocker()?);
                    match self.next() {
                        Some(Token::Mark(',')) => {}
                        Some(Token::Mark(')')) => break,
                        other => return Err(format!("unexpected {other:?} among the markers of {name}")),
                    }
                }
            }
            entries.push((name, blockers));
        }
        Ok(entries)
    }

    fn blocker(&mut self) -> Result<NamedBlocker, String> {
        if self.eat(&Token::Mark('*')) {
            return Ok(NamedBlocker::Once);
        }
        let step = self.name().ok_or("a marker names a step")?;
        if !self.eat(&Token::Word("notices".into())) {
            return Ok(NamedBlocker::Step(step));
        }
        match self.next() {
            Some(Token::Number(count)) => Ok(NamedBlocker::Notices(step, count)),
            other => Err(format!("expected a number of notices, found {other:?}")),
        }
    }
}

fn resolve(spec: &Spec, (name, blockers): Named) -> Result<Entry, String> {
    let blocker = |blocker| {
        Ok(match blocker {
            NamedBlocker::Once => Blocker::Once,
            NamedBlocker::Step(name) => Blocker::Step(spec.find(&name)?),
            NamedBlocker::Notices(name, count) => Blocker::Notices(spec.find(&name)?, count),
        })
    };
    let blockers = blockers.into_iter().map(blocker).collect::<Result<_, String>>()?;
    Ok(Entry { id: spec.find(&name)?, blockers })
}
