//! The grammar: from text to syntax trees.
//!
//! A recursive-descent parser of PostgreSQL's own grammar (`gram.y` of version 15): the same tokens, keyword
//! categories and operator precedence, so that `-2 ^ 2` is 4 and `a ~ b || c` is `(a ~ b) || c`, and errors
//! point where PostgreSQL's do. Statements that PostgreSQL knows and we do not run are recognised by their first
//! words and become [`ast::Statement::NotSupported`].
//!
//! **Depth.** Trees are at most [`DEPTH_MAX`] high, whatever the text: deeper ones are refused with 54001, so that
//! whoever walks, copies or drops a tree may recurse. Chains of AND and OR are flat lists and have no such bound.

pub mod ast;
mod cursor;
mod ddl;
mod ddl_alter;
mod dml;
mod expression;
pub mod keyword;
mod lexer;
mod objects;
mod query;
#[cfg(test)]
mod tests;
mod types;
mod utility;
mod utility_copy;
mod window;

use std::ops::Range;

use self::ast::{At, Expr, Statement, TypeName};
use self::cursor::Parser;
use crate::SqlResult;

/// How high a syntax tree may be, counted in nested expressions and queries.
pub const DEPTH_MAX: u32 = 1000;

/// One statement of a source text.
#[derive(Clone, Debug)]
pub struct ParsedStatement {
    pub statement: Statement,
    /// Its bytes in the source, without the semicolon. Positions (`at`) count from the start of the source.
    pub range: Range<usize>,
}

/// The statements of a text; none for an empty one.
pub fn parse(source: &str) -> SqlResult<Vec<ParsedStatement>> {
    let tokens = lexer::tokens(source)?;
    Parser::new(source, &tokens).statements()
}

/// One expression alone: a default, a check, an index expression from the catalog.
pub fn parse_expression(source: &str) -> SqlResult<Expr> {
    let tokens = lexer::tokens(source)?;
    let mut parser = Parser::new(source, &tokens);
    let expr = parser.expression()?;
    parser.expect_end()?;
    Ok(expr)
}

/// One type alone, as `regtype` and `to_regtype` read it.
pub fn parse_type(source: &str) -> SqlResult<TypeName> {
    let tokens = lexer::tokens(source)?;
    let mut parser = Parser::new(source, &tokens);
    let ty = parser.type_name()?;
    parser.expect_end()?;
    Ok(ty)
}

/// The 1-based character that PostgreSQL's errors count in, for a byte offset.
pub fn position(source: &str, at: At) -> u32 {
    let end = (at as usize).min(source.len());
    let bytes = &source.as_bytes()[..end];
    // Characters begin with every byte that is no continuation byte.
    bytes.iter().filter(|&&byte| byte & 0xc0 != 0x80).count() as u32 + 1
}
