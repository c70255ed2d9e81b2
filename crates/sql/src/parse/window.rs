//! Window definitions: OVER, WINDOW, frames.

use super::ast::*;
use super::cursor::Parser;
use super::keyword::Kw;
use super::lexer::TokenKind;
use crate::SqlResult;
use crate::plan::{FrameExclude, FrameUnit};

impl Parser<'_> {
    pub(super) fn over(&mut self) -> SqlResult<WindowSpec> {
        if self.peek() == TokenKind::LeftParen {
            return self.window_specification();
        }
        let at = self.at();
        let name = self.name()?;
        Ok(WindowSpec {
            base: Some(name),
            is_reference: true,
            partition_by: Vec::new(),
            order_by: Vec::new(),
            frame: None,
            at,
        })
    }

    /// `( [base] [PARTITION BY …] [ORDER BY …] [frame] )`
    pub(super) fn window_specification(&mut self) -> SqlResult<WindowSpec> {
        let at = self.at();
        self.expect(TokenKind::LeftParen)?;
        let begins_clause = self.is_one_of(&[Kw::Partition, Kw::Order, Kw::Range, Kw::Rows, Kw::Groups]);
        let base = if self.could_be_name() && !begins_clause { Some(self.name()?) } else { None };
        let partition_by = if self.take_kws(&[Kw::Partition, Kw::By]) { self.expressions()? } else { Vec::new() };
        let order_by = if self.is(Kw::Order) { self.order_by()? } else { Vec::new() };
        let frame = self.frame()?;
        self.expect(TokenKind::RightParen)?;
        Ok(WindowSpec { base, is_reference: false, partition_by, order_by, frame, at })
    }

    pub(super) fn frame(&mut self) -> SqlResult<Option<Frame>> {
        let at = self.at();
        let unit = match self.peek() {
            TokenKind::Keyword(Kw::Rows) => FrameUnit::Rows,
            TokenKind::Keyword(Kw::Range) => FrameUnit::Range,
            TokenKind::Keyword(Kw::Groups) => FrameUnit::Groups,
            _ => return Ok(None),
        };
        self.advance();
        let (start, end) = if self.take_kw(Kw::Between) {
            let start = self.frame_bound()?;
            self.expect_kw(Kw::And)?;
            (start, Some(self.frame_bound()?))
        } else {
            (self.frame_bound()?, None)
        };
        let windowing =
            |message: &str| crate::SqlError::new("42P20", message).at(Some(super::position(self.source, at)));
        match (&start, &end) {
            (Bound::UnboundedFollowing, _) => return Err(windowing("frame start cannot be UNBOUNDED FOLLOWING")),
            (_, Some(Bound::UnboundedPreceding)) => return Err(windowing("frame end cannot be UNBOUNDED PRECEDING")),
            (Bound::Following(_), None) => {
                return Err(windowing("frame starting from following row cannot end with current row"));
            }
            (Bound::CurrentRow, Some(Bound::Preceding(_))) => {
                return Err(windowing("frame starting from current row cannot have preceding rows"));
            }
            (Bound::Following(_), Some(Bound::Preceding(_) | Bound::CurrentRow)) => {
                return Err(windowing("frame starting from following row cannot have preceding rows"));
            }
            _ => {}
        }
        let exclude = self.frame_exclusion()?;
        Ok(Some(Frame { unit, start, end, exclude, at }))
    }

    pub(super) fn frame_bound(&mut self) -> SqlResult<Bound> {
        if self.take_kws(&[Kw::Unbounded, Kw::Preceding]) {
            return Ok(Bound::UnboundedPreceding);
        }
        if self.take_kws(&[Kw::Unbounded, Kw::Following]) {
            return Ok(Bound::UnboundedFollowing);
        }
        if self.take_kws(&[Kw::Current, Kw::Row]) {
            return Ok(Bound::CurrentRow);
        }
        let value = self.expression()?;
        if self.take_kw(Kw::Preceding) {
            return Ok(Bound::Preceding(value));
        }
        self.expect_kw(Kw::Following)?;
        Ok(Bound::Following(value))
    }

    pub(super) fn frame_exclusion(&mut self) -> SqlResult<FrameExclude> {
        if !self.take_kw(Kw::Exclude) {
            return Ok(FrameExclude::NoOthers);
        }
        if self.take_kws(&[Kw::Current, Kw::Row]) {
            return Ok(FrameExclude::CurrentRow);
        }
        if self.take_kw(Kw::Group) {
            return Ok(FrameExclude::Group);
        }
        if self.take_kw(Kw::Ties) {
            return Ok(FrameExclude::Ties);
        }
        self.expect_kws(&[Kw::No, Kw::Others])?;
        Ok(FrameExclude::NoOthers)
    }
}
