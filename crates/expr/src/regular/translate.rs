//! From PostgreSQL's syntax to that of the regex crates.

/// How a pattern is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Options {
    pub case_insensitive: bool,
    /// `n`: `.` and negated brackets do not match a newline.
    pub newline_stops: bool,
    /// `n`, `w`: `^` and `$` match around newlines.
    pub newline_anchors: bool,
    /// `x`: white space and comments in the pattern mean nothing.
    pub expanded: bool,
    /// `q`: all characters mean themselves.
    pub literal: bool,
    /// The span of the match matters, not only whether there is one.
    pub longest: bool,
}

pub(super) struct Translated {
    pub pattern: String,
    /// There are alternatives, and no quantifier that asks for less.
    pub wants_longest: bool,
}

type Reason = &'static str;

pub(super) fn translate(pattern: &str, mut options: Options) -> Result<Translated, Reason> {
    let mut rest = pattern;
    if let Some(after) = rest.strip_prefix("***=") {
        (options.literal, rest) = (true, after);
    } else if let Some(after) = rest.strip_prefix("***:") {
        rest = after;
    }
    if !options.literal {
        rest = embedded_options(rest, &mut options)?;
    }
    let mut out = String::with_capacity(rest.len() + 16);
    out.push_str("(?");
    if options.case_insensitive {
        out.push('i');
    }
    if !options.newline_stops {
        out.push('s');
    }
    if options.newline_anchors {
        out.push('m');
    }
    if out.len() > 2 {
        out.push(')')
    } else {
        out.clear()
    }
    if options.literal {
        rest.chars().for_each(|c| push_literal(&mut out, c));
        return Ok(Translated { pattern: out, wants_longest: false });
    }
    let mut reader =
        Reader { rest, out, options, groups: Vec::new(), can_repeat: false, alternatives: false, lazy: false };
    reader.run()?;
    Ok(Translated { pattern: reader.out, wants_longest: reader.alternatives && !reader.lazy })
}

/// `(?imx…)` at the very start is about the whole pattern.
fn embedded_options<'a>(pattern: &'a str, options: &mut Options) -> Result<&'a str, Reason> {
    let Some(after) = pattern.strip_prefix("(?") else { return Ok(pattern) };
    let Some((letters, rest)) = after
        .split_once(')')
        .filter(|(letters, _)| !letters.is_empty() && letters.bytes().all(|b| b.is_ascii_alphabetic()))
    else {
        return Ok(pattern);
    };
    for letter in letters.chars() {
        set_option(options, letter).map_err(|()| "invalid embedded option")?;
    }
    Ok(rest)
}

/// One letter of a flags argument or of an embedded option.
pub(super) fn set_option(options: &mut Options, letter: char) -> Result<(), ()> {
    match letter {
        'i' => options.case_insensitive = true,
        'c' => options.case_insensitive = false,
        'n' | 'm' => (options.newline_stops, options.newline_anchors) = (true, true),
        's' => (options.newline_stops, options.newline_anchors) = (false, false),
        'p' => (options.newline_stops, options.newline_anchors) = (true, false),
        'w' => (options.newline_stops, options.newline_anchors) = (false, true),
        'x' => options.expanded = true,
        't' => options.expanded = false,
        'q' => options.literal = true,
        'e' | 'b' => {}
        _ => return Err(()),
    }
    Ok(())
}

impl Options {
    /// Applies a letter of a function's flags; false if it is none.
    pub(crate) fn apply(&mut self, letter: char) -> bool {
        set_option(self, letter).is_ok()
    }
}

fn push_literal(out: &mut String, c: char) {
    if matches!(
        c,
        '\\' | '.'
            | '+'
            | '*'
            | '?'
            | '('
            | ')'
            | '|'
            | '['
            | ']'
            | '{'
            | '}'
            | '^'
            | '$'
            | '#'
            | '&'
            | '-'
            | '~'
            | '/'
    ) {
        out.push('\\');
    }
    out.push(c);
}

struct Reader<'a> {
    rest: &'a str,
    out: String,
    options: Options,
    /// The open groups: whether each is a constraint, which cannot be repeated.
    groups: Vec<bool>,
    /// The last part is something that a quantifier can follow.
    can_repeat: bool,
    alternatives: bool,
    lazy: bool,
}

impl Reader<'_> {
    fn take(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn accept(&mut self, text: &str) -> bool {
        let found = self.rest.strip_prefix(text);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn run(&mut self) -> Result<(), Reason> {
        while let Some(c) = self.take() {
            match c {
                '(' => self.open()?,
                ')' if self.groups.is_empty() => return Err("parentheses () not balanced"),
                ')' => {
                    self.can_repeat = !self.groups.pop().unwrap_or(false);
                    self.out.push(')');
                }
                '[' => self.bracket()?,
                '*' | '+' | '?' => self.quantifier(&c.to_string())?,
                '{' if self.rest.starts_with(|c: char| c.is_ascii_digit()) => self.bound()?,
                '\\' => self.escape()?,
                '|' => {
                    self.alternatives = true;
                    self.can_repeat = false;
                    self.out.push('|');
                }
                '^' => {
                    self.out.push('^');
                    self.can_repeat = false;
                }
                '$' => {
                    self.out.push_str(if self.options.newline_anchors { "$" } else { "\\z" });
                    self.can_repeat = false;
                }
                '.' => {
                    self.out.push('.');
                    self.can_repeat = true;
                }
                c if self.options.expanded && c.is_whitespace() => {}
                '#' if self.options.expanded => {
                    self.rest = self.rest.find('\n').map_or("", |at| &self.rest[at..]);
                }
                c => {
                    push_literal(&mut self.out, c);
                    self.can_repeat = true;
                }
            }
        }
        if self.groups.is_empty() { Ok(()) } else { Err("parentheses () not balanced") }
    }

    fn open(&mut self) -> Result<(), Reason> {
        if self.accept("?#") {
            let end = self.rest.find(')').ok_or("parentheses () not balanced")?;
            self.rest = &self.rest[end + 1..];
            return Ok(());
        }
        let constraints = ["?=", "?!", "?<=", "?<!"];
        if self.accept("?:") {
            self.groups.push(false);
            self.out.push_str("(?:");
        } else if let Some(kind) = constraints.into_iter().find(|kind| self.accept(kind)) {
            self.groups.push(true);
            self.out.push('(');
            self.out.push_str(kind);
        } else if self.rest.starts_with('?') {
            return Err("quantifier operand invalid");
        } else {
            self.groups.push(false);
            self.out.push('(');
        }
        self.can_repeat = false;
        Ok(())
    }

    fn quantifier(&mut self, written: &str) -> Result<(), Reason> {
        if !self.can_repeat {
            return Err("quantifier operand invalid");
        }
        self.out.push_str(written);
        if self.accept("?") {
            self.out.push('?');
            self.lazy = true;
        }
        self.can_repeat = false;
        if self.rest.starts_with(['*', '+', '?'])
            || self.rest.starts_with('{') && self.rest[1..].starts_with(|c: char| c.is_ascii_digit())
        {
            return Err("quantifier operand invalid");
        }
        Ok(())
    }

    /// Behind a `{`.
    fn bound(&mut self) -> Result<(), Reason> {
        let (inside, after) = self.rest.split_once('}').ok_or("braces {} not balanced")?;
        self.rest = after;
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n <= 255).ok_or("invalid repetition count(s)");
        match inside.split_once(',') {
            None => drop(number(inside)?),
            Some((low, "")) => drop(number(low)?),
            Some((low, high)) if number(low)? <= number(high)? => {}
            Some(_) => return Err("invalid repetition count(s)"),
        }
        self.quantifier(&format!("{{{inside}}}"))
    }

    fn escape(&mut self) -> Result<(), Reason> {
        let c = self.take().ok_or("invalid escape \\ sequence")?;
        self.can_repeat = true;
        match c {
            'd' | 'D' | 's' | 'S' | 'w' | 'W' => {
                self.out.push('\\');
                self.out.push(c);
            }
            'A' | 'Z' | 'm' | 'M' | 'y' | 'Y' => {
                self.out.push_str(match c {
                    'A' => "\\A",
                    'Z' => "\\z",
                    'm' => "\\b{start}",
                    'M' => "\\b{end}",
                    'y' => "\\b",
                    _ => "\\B",
                });
                self.can_repeat = false;
            }
            '1'..='9' => {
                let more = self.rest.bytes().take_while(u8::is_ascii_digit).count();
                let number = format!("{c}{}", &self.rest[..more.min(1)]);
                // Two digits only where there are so many groups.
                let opened = self.out.matches('(').count();
                let number = if number.parse::<usize>().is_ok_and(|n| n <= opened) { number } else { c.to_string() };
                if number.parse::<usize>().is_ok_and(|n| n > opened) {
                    return Err("invalid backreference number");
                }
                self.rest = &self.rest[number.len() - 1..];
                self.out.push_str("(?:\\");
                self.out.push_str(&number);
                self.out.push(')');
            }
            c if c.is_ascii_alphanumeric() => {
                let c = self.char_escape(c)?;
                push_literal(&mut self.out, c);
            }
            c => push_literal(&mut self.out, c),
        }
        Ok(())
    }

    /// An escape that stands for one character.
    fn char_escape(&mut self, c: char) -> Result<char, Reason> {
        let invalid = "invalid escape \\ sequence";
        Ok(match c {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'B' => '\\',
            'e' => '\u{1b}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'u' => return self.hex(4),
            'U' => return self.hex(8),
            'x' => {
                let digits = self.rest.bytes().take_while(u8::is_ascii_hexdigit).count();
                return if digits == 0 { Err(invalid) } else { self.hex(digits.min(6)) };
            }
            'c' => {
                let of = self.take().ok_or(invalid)?;
                return char::from_u32(of as u32 & 0x1f).ok_or(invalid);
            }
            '0' => '\0',
            _ => return Err(invalid),
        })
    }

    /// The character whose number is written in so many digits.
    fn hex(&mut self, digits: usize) -> Result<char, Reason> {
        let invalid = "invalid escape \\ sequence";
        let (number, rest) = self.rest.split_at_checked(digits).ok_or(invalid)?;
        self.rest = rest;
        u32::from_str_radix(number, 16).ok().and_then(char::from_u32).ok_or(invalid)
    }

    /// Behind a `[`.
    fn bracket(&mut self) -> Result<(), Reason> {
        let unbalanced = "brackets [] not balanced";
        if self.accept("[:<:]]") {
            self.out.push_str("\\b{start}");
            self.can_repeat = false;
            return Ok(());
        }
        if self.accept("[:>:]]") {
            self.out.push_str("\\b{end}");
            self.can_repeat = false;
            return Ok(());
        }
        self.out.push('[');
        let negated = self.accept("^");
        if negated {
            self.out.push('^');
            if self.options.newline_stops {
                self.out.push_str("\\n");
            }
        }
        let mut first = true;
        // The last item is a character that may begin a range.
        let mut from: Option<char> = None;
        loop {
            let c = self.take().ok_or(unbalanced)?;
            let item = match c {
                ']' if !first => break,
                '[' if self.rest.starts_with(':') => {
                    let (name, after) = self.rest[1..].split_once(":]").ok_or(unbalanced)?;
                    self.rest = after;
                    self.class(name)?;
                    None
                }
                '[' if self.rest.starts_with('.') || self.rest.starts_with('=') => {
                    let close = if self.accept(".") { ".]" } else { "=]" };
                    self.rest = self.rest.strip_prefix('=').unwrap_or(self.rest);
                    let (name, after) = self.rest.split_once(close).ok_or(unbalanced)?;
                    self.rest = after;
                    let mut chars = name.chars();
                    match (chars.next(), chars.next()) {
                        (Some(c), None) => Some(c),
                        _ => return Err("invalid collating element"),
                    }
                }
                '\\' => {
                    let c = self.take().ok_or("invalid escape \\ sequence")?;
                    match c {
                        'd' | 's' | 'w' | 'D' | 'S' | 'W' => {
                            self.out.push('\\');
                            self.out.push(c);
                            None
                        }
                        c if c.is_ascii_alphanumeric() => Some(self.char_escape(c)?),
                        c => Some(c),
                    }
                }
                '-' if !first && !self.rest.starts_with(']') && from.is_some() => {
                    let to = match self.take().ok_or(unbalanced)? {
                        '\\' => match self.take().ok_or("invalid escape \\ sequence")? {
                            c if c.is_ascii_alphanumeric() => self.char_escape(c)?,
                            c => c,
                        },
                        '[' if self.rest.starts_with('.') => {
                            let (name, after) = self.rest[1..].split_once(".]").ok_or(unbalanced)?;
                            self.rest = after;
                            name.chars().next().ok_or("invalid collating element")?
                        }
                        c => c,
                    };
                    if from.is_some_and(|from| from > to) {
                        return Err("invalid character range");
                    }
                    self.out.push('-');
                    push_literal(&mut self.out, to);
                    from = None;
                    continue;
                }
                c => Some(c),
            };
            if let Some(c) = item {
                push_literal(&mut self.out, c);
            }
            from = item;
            first = false;
        }
        self.out.push(']');
        self.can_repeat = true;
        Ok(())
    }

    fn class(&mut self, name: &str) -> Result<(), Reason> {
        self.out.push_str(match name {
            "alpha" => "\\p{Alphabetic}",
            "digit" => "0-9",
            "alnum" => "\\p{Alphabetic}0-9",
            "upper" => "\\p{Uppercase}",
            "lower" => "\\p{Lowercase}",
            "space" => "\\s",
            "blank" => " \\t",
            "punct" => "[:punct:]",
            "cntrl" => "[:cntrl:]",
            "graph" => "\\x21-\\x7e\\u{a1}-\\u{10ffff}",
            "print" => "\\x20-\\x7e\\u{a0}-\\u{10ffff}",
            "xdigit" => "0-9A-Fa-f",
            "word" => "\\w",
            "ascii" => "\\x00-\\x7f",
            _ => return Err("invalid character class"),
        });
        Ok(())
    }
}
