//! Cutting what comes from the client into lines, however it is cut into messages.

use super::bad_format;
use crate::SqlResult;

/// A line may be so long.
const LINE_BYTES_MAX: usize = 1 << 30;

pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Where the next line begins, and how far it has been looked through.
    start: usize,
    seen: usize,
    /// Quote and escape: line ends between quotes are data.
    csv: Option<(u8, u8)>,
    in_quotes: bool,
    /// The last byte looked at was an escape that is not a quote.
    escaped: bool,
}

impl Lines {
    pub fn new(csv: Option<(u8, u8)>) -> Lines {
        Lines { buffer: Vec::new(), start: 0, seen: 0, csv, in_quotes: false, escaped: false }
    }

    pub fn feed(&mut self, data: &[u8]) -> SqlResult<()> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.seen -= self.start;
            self.start = 0;
        }
        if self.buffer.len() + data.len() > LINE_BYTES_MAX {
            return Err(crate::SqlError::new("54000", "a line of COPY data is too long"));
        }
        self.buffer.extend_from_slice(data);
        Ok(())
    }

    /// The next whole line without its end; `None` until more has been fed.
    pub fn next(&mut self) -> Option<&[u8]> {
        let mut at = self.seen;
        while at < self.buffer.len() {
            if self.ends_line(self.buffer[at]) {
                let (start, mut end) = (self.start, at);
                if end > start && self.buffer[end - 1] == b'\r' {
                    end -= 1;
                }
                self.start = at + 1;
                self.seen = self.start;
                return Some(&self.buffer[start..end]);
            }
            at += 1;
        }
        self.seen = at;
        None
    }

    /// What is left when no more comes: a line without an end.
    pub fn rest(&mut self) -> SqlResult<Option<&[u8]>> {
        if self.in_quotes {
            return Err(bad_format("unterminated CSV quoted field"));
        }
        let start = std::mem::replace(&mut self.start, self.buffer.len());
        self.seen = self.start;
        let mut line = &self.buffer[start..];
        line = line.strip_suffix(b"\r").unwrap_or(line);
        Ok(Some(line).filter(|line| !line.is_empty()))
    }

    fn ends_line(&mut self, byte: u8) -> bool {
        if let Some((quote, escape)) = self.csv {
            if self.in_quotes && escape != quote && byte == escape && !self.escaped {
                self.escaped = true;
                return false;
            }
            // A doubled quote leaves the quotes and enters them again.
            if byte == quote && !self.escaped {
                self.in_quotes = !self.in_quotes;
            }
            self.escaped = false;
        }
        byte == b'\n' && !self.in_quotes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(csv: Option<(u8, u8)>, pieces: &[&str]) -> Vec<String> {
        let mut lines = Lines::new(csv);
        let mut out = Vec::new();
        for piece in pieces {
            lines.feed(piece.as_bytes()).unwrap();
            while let Some(line) = lines.next() {
                out.push(String::from_utf8(line.to_vec()).unwrap());
            }
        }
        if let Some(line) = lines.rest().unwrap() {
            out.push(String::from_utf8(line.to_vec()).unwrap());
        }
        out
    }

    #[test]
    fn lines_do_not_depend_on_messages() {
        let wanted = ["one", "two", "", "three"];
        assert_eq!(cut(None, &["one\ntwo\n\nthree\n"]), wanted);
        assert_eq!(cut(None, &["on", "e\r\nt", "wo\n", "\nthr", "ee"]), wanted);
    }

    #[test]
    fn line_ends_between_quotes_are_data() {
        assert_eq!(cut(Some((b'"', b'"')), &["a,\"b\nc\"\"\n\"\nd"]), ["a,\"b\nc\"\"\n\"", "d"]);
        assert_eq!(cut(Some((b'"', b'\\')), &["\"a\\\"\n\"\nb"]), ["\"a\\\"\n\"", "b"]);
        let mut lines = Lines::new(Some((b'"', b'"')));
        lines.feed(b"\"a\n").unwrap();
        assert!(lines.next().is_none());
        assert_eq!(lines.rest().unwrap_err().state(), "22P04");
    }
}
