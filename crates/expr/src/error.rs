//! Errors of evaluation, with PostgreSQL's SQLSTATE and wording.

/// Five characters, as in PostgreSQL's errcodes.txt.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState(pub [u8; 5]);

impl SqlState {
    pub const fn new(code: &str) -> SqlState {
        let bytes = code.as_bytes();
        assert!(bytes.len() == 5);
        SqlState([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4]])
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }
}

impl std::fmt::Debug for SqlState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

pub type EvalResult<T> = Result<T, EvalError>;

/// What PostgreSQL would say. Boxed: it is rare, and results of evaluation are everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalError(pub Box<EvalFailure>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvalFailure {
    pub state: SqlState,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
}

impl EvalError {
    pub fn new(state: &'static str, message: impl Into<String>) -> EvalError {
        EvalError(Box::new(EvalFailure {
            state: SqlState::new(state),
            message: message.into(),
            detail: None,
            hint: None,
        }))
    }

    /// The form in which an error of a push-down program travels.
    pub fn encode(&self) -> Vec<u8> {
        let failure = &self.0;
        let mut out = failure.state.0.to_vec();
        for part in [Some(&failure.message), failure.detail.as_ref(), failure.hint.as_ref()] {
            match part {
                None => out.push(0),
                Some(text) => {
                    out.push(1);
                    out.extend_from_slice(&(text.len() as u32).to_be_bytes());
                    out.extend_from_slice(text.as_bytes());
                }
            }
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Option<EvalError> {
        fn part(input: &mut &[u8]) -> Option<Option<String>> {
            let (there, rest) = input.split_first()?;
            *input = rest;
            if *there == 0 {
                return Some(None);
            }
            let (len, rest) = input.split_first_chunk::<4>()?;
            let (text, rest) = rest.split_at_checked(u32::from_be_bytes(*len) as usize)?;
            *input = rest;
            Some(Some(std::str::from_utf8(text).ok()?.to_owned()))
        }
        let (state, mut rest) = bytes.split_first_chunk::<5>()?;
        let (message, detail, hint) = (part(&mut rest)??, part(&mut rest)?, part(&mut rest)?);
        Some(EvalError(Box::new(EvalFailure { state: SqlState(*state), message, detail, hint })))
    }

    pub fn with_detail(mut self, detail: impl Into<String>) -> EvalError {
        self.0.detail = Some(detail.into());
        self
    }

    pub fn with_hint(mut self, hint: impl Into<String>) -> EvalError {
        self.0.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for EvalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for EvalError {}
