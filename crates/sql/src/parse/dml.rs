//! INSERT, UPDATE, DELETE.

use super::ast::*;
use super::cursor::Parser;
use super::keyword::Kw;
use super::lexer::TokenKind;
use crate::SqlResult;

impl Parser<'_> {
    /// `PreparableStmt`: a query or a statement that changes rows.
    pub(super) fn preparable(&mut self) -> SqlResult<Statement> {
        let at = self.at();
        let with = self.with_clause()?;
        match self.peek() {
            TokenKind::Keyword(Kw::Insert) => Ok(Statement::Insert(Box::new(self.insert(with)?))),
            TokenKind::Keyword(Kw::Update) => Ok(Statement::Update(Box::new(self.update(with)?))),
            TokenKind::Keyword(Kw::Delete) => Ok(Statement::Delete(Box::new(self.delete(with)?))),
            TokenKind::Keyword(Kw::Merge) => {
                self.skip_statement();
                Ok(Statement::NotSupported { what: "MERGE".into() })
            }
            _ => {
                let query = self.nested(|parser| parser.query_after_with(with, at))?;
                Ok(Statement::Query(Box::new(query)))
            }
        }
    }

    fn insert(&mut self, with: Option<With>) -> SqlResult<Insert> {
        self.expect_kws(&[Kw::Insert, Kw::Into])?;
        let table = self.object_name()?;
        let alias = if self.take_kw(Kw::As) { Some(self.name()?) } else { None };
        let mut insert = Insert {
            with,
            table,
            alias,
            columns: Vec::new(),
            overriding: None,
            source: None,
            on_conflict: None,
            returning: Vec::new(),
        };
        let begins_values = self.is_at(1, Kw::Values) && self.peek_at(2) == TokenKind::LeftParen;
        if self.peek() == TokenKind::LeftParen && self.could_be_name_at(1) && !begins_values {
            insert.columns = self.parenthesized(Self::assign_target)?;
        }
        if self.take_kw(Kw::Overriding) {
            insert.overriding = Some(if self.take_kw(Kw::User) {
                Overriding::UserValue
            } else {
                self.expect_kw(Kw::System)?;
                Overriding::SystemValue
            });
            self.expect_kw(Kw::Value)?;
        }
        if insert.columns.is_empty() && insert.overriding.is_none() && self.take_kws(&[Kw::Default, Kw::Values]) {
            insert.source = None;
        } else {
            insert.source = Some(self.query()?);
        }
        if self.is(Kw::On) {
            insert.on_conflict = Some(self.on_conflict()?);
        }
        insert.returning = self.returning()?;
        Ok(insert)
    }

    fn assign_target(&mut self) -> SqlResult<AssignTarget> {
        let column = self.name()?;
        let mut indirection = Vec::new();
        loop {
            match self.peek() {
                TokenKind::Dot => {
                    self.advance();
                    indirection.push(Indirection::Field(self.label()?));
                }
                TokenKind::LeftBracket => indirection.push(Indirection::Subscript(self.subscript()?)),
                _ => return Ok(AssignTarget { column, indirection }),
            }
        }
    }

    fn on_conflict(&mut self) -> SqlResult<OnConflict> {
        let at = self.at();
        self.expect_kws(&[Kw::On, Kw::Conflict])?;
        let target = if self.take_kws(&[Kw::On, Kw::Constraint]) {
            Some(ConflictTarget::Constraint(self.name()?))
        } else if self.peek() == TokenKind::LeftParen {
            let at = self.at();
            let items = self.parenthesized(Self::conflict_item)?;
            Some(ConflictTarget::Columns { items, filter: self.where_clause()?, at })
        } else {
            None
        };
        self.expect_kw(Kw::Do)?;
        if self.take_kw(Kw::Nothing) {
            return Ok(OnConflict { target, update: None, at });
        }
        self.expect_kws(&[Kw::Update, Kw::Set])?;
        let assignments = self.list(Self::assignment)?;
        let update = ConflictUpdate { assignments, filter: self.where_clause()? };
        Ok(OnConflict { target, update: Some(update), at })
    }

    fn conflict_item(&mut self) -> SqlResult<OrderItem> {
        let element = self.index_element()?;
        let expr = match element.expr {
            IndexExpr::Column(name) => {
                let at = name.at;
                Expr::new(ExprKind::Column(vec![name]), at)
            }
            IndexExpr::Expr(source) => source.expr,
        };
        Ok(OrderItem { expr, direction: element.direction, nulls_first: element.nulls_first })
    }

    pub(super) fn assignment(&mut self) -> SqlResult<Assignment> {
        if self.peek() == TokenKind::LeftParen {
            let targets = self.parenthesized(Self::assign_target)?;
            self.expect_operator("=")?;
            return Ok(Assignment::Many(targets, self.expression()?));
        }
        let target = self.assign_target()?;
        self.expect_operator("=")?;
        Ok(Assignment::One(target, self.expression()?))
    }

    fn returning(&mut self) -> SqlResult<Vec<Target>> {
        if self.take_kw(Kw::Returning) { self.targets() } else { Ok(Vec::new()) }
    }

    /// The alias of an UPDATE's or DELETE's table; SET is none.
    fn target_alias(&mut self) -> SqlResult<Option<Name>> {
        if self.take_kw(Kw::As) || self.could_be_name() && !self.is(Kw::Set) {
            return self.name().map(Some);
        }
        Ok(None)
    }

    fn update(&mut self, with: Option<With>) -> SqlResult<Update> {
        self.expect_kw(Kw::Update)?;
        let (table, only) = self.relation_name()?;
        let alias = self.target_alias()?;
        self.expect_kw(Kw::Set)?;
        let assignments = self.list(Self::assignment)?;
        let from = if self.take_kw(Kw::From) { self.list(Self::table_ref)? } else { Vec::new() };
        let filter = self.where_or_current_of()?;
        Ok(Update { with, table, only, alias, assignments, from, filter, returning: self.returning()? })
    }

    fn delete(&mut self, with: Option<With>) -> SqlResult<Delete> {
        self.expect_kws(&[Kw::Delete, Kw::From])?;
        let (table, only) = self.relation_name()?;
        let alias = self.target_alias()?;
        let using = if self.take_kw(Kw::Using) { self.list(Self::table_ref)? } else { Vec::new() };
        let filter = self.where_or_current_of()?;
        Ok(Delete { with, table, only, alias, using, filter, returning: self.returning()? })
    }

    fn where_or_current_of(&mut self) -> SqlResult<Option<Expr>> {
        let at = self.at();
        if self.take_kws(&[Kw::Where, Kw::Current, Kw::Of]) {
            return Ok(Some(Expr::new(ExprKind::CurrentOf(self.name()?), at)));
        }
        self.where_clause()
    }
}
