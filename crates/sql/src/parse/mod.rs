//! The grammar: from text to syntax trees.
//!
//! A recursive-descent parser of PostgreSQL's own grammar (`gram.y` of version 15): the same tokens, keyword
//! categories and operator precedence, so that `-2 ^ 2` is 4 and `a ~ b || c` is `(a ~ b) || c`, and errors
//! point where PostgreSQL's do. Statements that PostgreSQL knows and we do not run are recognised by their first
//! words and become [`ast::Statement::NotSupported`].

pub mod ast;
