//! SELECT, VALUES, TABLE, set operations, FROM.

use txn::LockWait;

use super::ast::*;
use super::cursor::Parser;
use super::expression::Parenthesized;
use super::keyword::Kw;
use super::lexer::TokenKind;
use crate::SqlResult;

/// What `(…)` in FROM turned out to be.
enum TableParentheses {
    Query(Query),
    Table(TableRef),
}

impl Parser<'_> {
    pub(super) fn begins_query(&self) -> bool {
        self.is_one_of(&[Kw::Select, Kw::With, Kw::Table])
            || self.is(Kw::Values) && self.peek_at(1) == TokenKind::LeftParen
    }

    /// A query in parentheses may go on with these.
    pub(super) fn continues_query(&self) -> bool {
        self.is_one_of(&[Kw::Union, Kw::Intersect, Kw::Except, Kw::Order, Kw::Limit, Kw::Offset, Kw::Fetch, Kw::For])
    }

    /// `SelectStmt`
    pub(super) fn query(&mut self) -> SqlResult<Query> {
        self.nested(|parser| {
            let at = parser.at();
            let with = parser.with_clause()?;
            parser.query_after_with(with, at)
        })
    }

    pub(super) fn query_after_with(&mut self, with: Option<With>, at: At) -> SqlResult<Query> {
        let first = self.query_operand()?;
        let body = self.set_operations(first, 0)?;
        self.query_clauses(with, body, at)
    }

    /// Goes on after a query in parentheses that may be the first operand of a set operation.
    pub(super) fn query_from(&mut self, first: Query, at: At) -> SqlResult<Query> {
        let body = self.set_operations(unwrapped(first), 0)?;
        self.query_clauses(None, body, at)
    }

    /// A query in its own parentheses, whatever their number.
    fn parenthesized_query(&mut self) -> SqlResult<Query> {
        match self.parentheses()? {
            Parenthesized::Query(query) => Ok(query),
            Parenthesized::Exprs(_) => Err(self.unexpected()),
        }
    }

    fn query_operand(&mut self) -> SqlResult<QueryBody> {
        match self.peek() {
            TokenKind::LeftParen => Ok(unwrapped(self.parenthesized_query()?)),
            TokenKind::Keyword(Kw::Select) => self.select(),
            TokenKind::Keyword(Kw::Values) => {
                self.advance();
                Ok(QueryBody::Values(self.list(|parser| parser.parenthesized(Self::expression))?))
            }
            TokenKind::Keyword(Kw::Table) => {
                let at = self.at();
                self.advance();
                let table = self.relation(false)?;
                let star = Target { expr: Expr::new(ExprKind::Star(Vec::new()), at), alias: None };
                Ok(QueryBody::Select(Box::new(Select { targets: vec![star], from: vec![table], ..Select::default() })))
            }
            _ => Err(self.unexpected()),
        }
    }

    /// INTERSECT binds more tightly than UNION and EXCEPT; all associate to the left.
    fn set_operations(&mut self, mut left: QueryBody, min: u8) -> SqlResult<QueryBody> {
        loop {
            let at = self.at();
            let (kind, power) = match self.peek() {
                TokenKind::Keyword(Kw::Union) => (SetKind::Union, 1),
                TokenKind::Keyword(Kw::Except) => (SetKind::Except, 1),
                TokenKind::Keyword(Kw::Intersect) => (SetKind::Intersect, 2),
                _ => return Ok(left),
            };
            if power < min {
                return Ok(left);
            }
            self.advance();
            let all = self.take_kw(Kw::All);
            if !all {
                self.take_kw(Kw::Distinct);
            }
            let right_at = self.at();
            let right = self.nested(|parser| {
                let first = parser.query_operand()?;
                parser.set_operations(first, power + 1)
            })?;
            self.grow()?;
            let (left_query, right_query) = (Box::new(bare(left, at)), Box::new(bare(right, right_at)));
            left = QueryBody::SetOperation { kind, all, left: left_query, right: right_query, at };
        }
    }

    /// ORDER BY, LIMIT, OFFSET, FETCH, FOR UPDATE.
    fn query_clauses(&mut self, with: Option<With>, body: QueryBody, at: At) -> SqlResult<Query> {
        let mut query = Query { with, ..bare(body, at) };
        if self.is(Kw::Order) {
            query.order_by = self.order_by()?;
        }
        let (mut limited, mut offset) = (false, false);
        loop {
            match self.peek() {
                TokenKind::Keyword(Kw::Limit) if !limited => {
                    self.advance();
                    query.limit = if self.take_kw(Kw::All) { None } else { Some(self.expression()?) };
                    if self.peek() == TokenKind::Comma {
                        let error = self.error_at("LIMIT #,# syntax is not supported", self.at());
                        return Err(error.with_hint("Use separate LIMIT and OFFSET clauses."));
                    }
                    limited = true;
                }
                TokenKind::Keyword(Kw::Fetch) if !limited => {
                    self.fetch_first(&mut query)?;
                    limited = true;
                }
                TokenKind::Keyword(Kw::Offset) if !offset => {
                    self.advance();
                    query.offset = Some(self.expression()?);
                    let _ = self.take_kw(Kw::Row) || self.take_kw(Kw::Rows);
                    offset = true;
                }
                TokenKind::Keyword(Kw::For) => self.locking(&mut query.locking)?,
                _ => break,
            }
        }
        if query.with_ties && query.order_by.is_empty() {
            return Err(self.error_at("WITH TIES cannot be specified without ORDER BY clause", query.at));
        }
        if query.with_ties && query.locking.iter().any(|locking| locking.wait == LockWait::SkipLocked) {
            return Err(self.error_at("SKIP LOCKED and WITH TIES options cannot be used together", query.at));
        }
        Ok(query)
    }

    fn fetch_first(&mut self, query: &mut Query) -> SqlResult<()> {
        self.expect_kw(Kw::Fetch)?;
        if !self.take_kw(Kw::First) {
            self.expect_kw(Kw::Next)?;
        }
        let at = self.at();
        query.limit = Some(if self.is_one_of(&[Kw::Row, Kw::Rows]) {
            Expr::new(ExprKind::Number("1".into()), at)
        } else {
            self.restricted_expression()?
        });
        if !self.take_kw(Kw::Row) {
            self.expect_kw(Kw::Rows)?;
        }
        if self.take_kw(Kw::With) {
            self.expect_kw(Kw::Ties)?;
            query.with_ties = true;
            return Ok(());
        }
        self.expect_kw(Kw::Only)
    }

    fn locking(&mut self, clauses: &mut Vec<Locking>) -> SqlResult<()> {
        self.expect_kw(Kw::For)?;
        if self.take_kws(&[Kw::Read, Kw::Only]) {
            return Ok(());
        }
        let strength = if self.take_kw(Kw::Update) {
            LockStrength::Update
        } else if self.take_kw(Kw::Share) {
            LockStrength::Share
        } else if self.take_kw(Kw::No) {
            self.expect_kws(&[Kw::Key, Kw::Update])?;
            LockStrength::NoKeyUpdate
        } else {
            self.expect_kws(&[Kw::Key, Kw::Share])?;
            LockStrength::KeyShare
        };
        let of = if self.take_kw(Kw::Of) { self.list(Self::object_name)? } else { Vec::new() };
        let wait = if self.take_kw(Kw::Nowait) {
            LockWait::NoWait
        } else if self.take_kw(Kw::Skip) {
            self.expect_kw(Kw::Locked)?;
            LockWait::SkipLocked
        } else {
            LockWait::Block { timeout: None }
        };
        clauses.push(Locking { strength, of, wait });
        Ok(())
    }

    pub(super) fn order_by(&mut self) -> SqlResult<Vec<OrderItem>> {
        self.expect_kws(&[Kw::Order, Kw::By])?;
        self.list(Self::order_item)
    }

    fn order_item(&mut self) -> SqlResult<OrderItem> {
        let expr = self.expression()?;
        let direction = if self.take_kw(Kw::Using) { Direction::Using(self.operator()?) } else { self.direction() };
        Ok(OrderItem { expr, direction, nulls_first: self.nulls_order()? })
    }

    pub(super) fn direction(&mut self) -> Direction {
        if self.take_kw(Kw::Asc) {
            Direction::Ascending
        } else if self.take_kw(Kw::Desc) {
            Direction::Descending
        } else {
            Direction::Default
        }
    }

    pub(super) fn nulls_order(&mut self) -> SqlResult<Option<bool>> {
        if !self.take_kw(Kw::Nulls) {
            return Ok(None);
        }
        if self.take_kw(Kw::First) {
            return Ok(Some(true));
        }
        self.expect_kw(Kw::Last)?;
        Ok(Some(false))
    }

    // WITH.

    pub(super) fn with_clause(&mut self) -> SqlResult<Option<With>> {
        let at = self.at();
        if !self.take_kw(Kw::With) {
            return Ok(None);
        }
        let recursive = self.take_kw(Kw::Recursive);
        let ctes = self.list(Self::cte)?;
        Ok(Some(With { recursive, ctes, at }))
    }

    fn cte(&mut self) -> SqlResult<Cte> {
        let name = self.name()?;
        let columns = if self.peek() == TokenKind::LeftParen { self.parenthesized_names()? } else { Vec::new() };
        self.expect_kw(Kw::As)?;
        let materialized = if self.take_kw(Kw::Materialized) {
            Some(true)
        } else if self.take_kws(&[Kw::Not, Kw::Materialized]) {
            Some(false)
        } else {
            None
        };
        self.expect(TokenKind::LeftParen)?;
        let statement = self.nested(Self::preparable)?;
        self.expect(TokenKind::RightParen)?;
        let search_or_cycle = self.is_one_of(&[Kw::Search, Kw::Cycle]).then(|| self.at());
        if search_or_cycle.is_some() {
            self.skip_search_and_cycle()?;
        }
        Ok(Cte { name, columns, materialized, statement, search_or_cycle })
    }

    fn skip_search_and_cycle(&mut self) -> SqlResult<()> {
        if self.take_kw(Kw::Search) {
            if !self.take_kw(Kw::Depth) {
                self.expect_kw(Kw::Breadth)?;
            }
            self.expect_kws(&[Kw::First, Kw::By])?;
            self.name_list()?;
            self.expect_kw(Kw::Set)?;
            self.name()?;
        }
        if self.take_kw(Kw::Cycle) {
            self.name_list()?;
            self.expect_kw(Kw::Set)?;
            self.name()?;
            if self.take_kw(Kw::To) {
                self.expression()?;
                self.expect_kw(Kw::Default)?;
                self.expression()?;
            }
            self.expect_kw(Kw::Using)?;
            self.name()?;
        }
        Ok(())
    }

    // SELECT.

    fn select(&mut self) -> SqlResult<QueryBody> {
        self.expect_kw(Kw::Select)?;
        let mut select = Select { distinct: self.distinctness()?, ..Select::default() };
        let no_targets = [Kw::From, Kw::Where, Kw::Into, Kw::Group, Kw::Having, Kw::Window];
        let ends = matches!(self.peek(), TokenKind::RightParen | TokenKind::Semicolon | TokenKind::End);
        if !ends && !self.is_one_of(&no_targets) && !self.continues_query() {
            select.targets = self.targets()?;
        }
        if self.take_kw(Kw::Into) {
            if self.is_one_of(&[Kw::Temporary, Kw::Temp, Kw::Local, Kw::Global]) {
                let at = Some(super::position(self.source, self.at()));
                return Err(crate::SqlError::not_supported("SELECT INTO TEMPORARY").at(at));
            }
            self.take_kw(Kw::Unlogged);
            self.take_kw(Kw::Table);
            select.into = Some(self.object_name()?);
        }
        if self.take_kw(Kw::From) {
            select.from = self.list(Self::table_ref)?;
            select.system_time = self.system_time()?;
        }
        select.filter = self.where_clause()?;
        if self.take_kws(&[Kw::Group, Kw::By]) {
            select.group_distinct = self.take_kw(Kw::Distinct);
            if !select.group_distinct {
                self.take_kw(Kw::All);
            }
            select.group_by = self.list(Self::group_item)?;
        }
        if self.take_kw(Kw::Having) {
            select.having = Some(self.expression()?);
        }
        if self.take_kw(Kw::Window) {
            select.windows = self.list(|parser| {
                let name = parser.name()?;
                parser.expect_kw(Kw::As)?;
                Ok((name, parser.window_specification()?))
            })?;
        }
        Ok(QueryBody::Select(Box::new(select)))
    }

    /// `FROM t AS of` gives a table a name; only what follows tells that from this.
    fn begins_system_time(&self) -> bool {
        [Kw::As, Kw::Of, Kw::System, Kw::Time].into_iter().enumerate().all(|(ahead, word)| self.is_at(ahead, word))
    }

    /// `AS OF SYSTEM TIME …`
    pub(super) fn system_time(&mut self) -> SqlResult<Option<SourceExpr>> {
        if !self.begins_system_time() {
            return Ok(None);
        }
        self.expect_kws(&[Kw::As, Kw::Of, Kw::System, Kw::Time])?;
        self.source_expression().map(Some)
    }

    fn distinctness(&mut self) -> SqlResult<Distinctness> {
        if !self.take_kw(Kw::Distinct) {
            self.take_kw(Kw::All);
            return Ok(Distinctness::All);
        }
        if !self.take_kw(Kw::On) {
            return Ok(Distinctness::Distinct);
        }
        Ok(Distinctness::On(self.parenthesized(Self::expression)?))
    }

    /// `target_list`
    pub(super) fn targets(&mut self) -> SqlResult<Vec<Target>> {
        self.list(|parser| {
            let at = parser.at();
            if parser.take_operator("*") {
                return Ok(Target { expr: Expr::new(ExprKind::Star(Vec::new()), at), alias: None });
            }
            let expr = parser.expression()?;
            let is_named = parser.take_kw(Kw::As) || parser.could_be_bare_label();
            let alias = if is_named { Some(parser.label()?) } else { None };
            Ok(Target { expr, alias })
        })
    }

    pub(super) fn where_clause(&mut self) -> SqlResult<Option<Expr>> {
        if self.take_kw(Kw::Where) { self.expression().map(Some) } else { Ok(None) }
    }

    fn group_item(&mut self) -> SqlResult<GroupItem> {
        let at = self.at();
        if self.peek() == TokenKind::LeftParen && self.peek_at(1) == TokenKind::RightParen {
            self.advance();
            self.advance();
            return Ok(GroupItem::Empty);
        }
        if self.is(Kw::Rollup) && self.peek_at(1) == TokenKind::LeftParen {
            self.advance();
            return Ok(GroupItem::Rollup(self.parenthesized(Self::expression)?, at));
        }
        if self.is(Kw::Cube) && self.peek_at(1) == TokenKind::LeftParen {
            self.advance();
            return Ok(GroupItem::Cube(self.parenthesized(Self::expression)?, at));
        }
        if self.take_kws(&[Kw::Grouping, Kw::Sets]) {
            let items = self.nested(|parser| parser.parenthesized(Self::group_item))?;
            return Ok(GroupItem::Sets(items, at));
        }
        Ok(GroupItem::Expr(self.expression()?))
    }

    // FROM.

    pub(super) fn table_ref(&mut self) -> SqlResult<TableRef> {
        self.nested(|parser| {
            let left = parser.table_primary()?;
            parser.joins(left)
        })
    }

    fn begins_join(&self) -> bool {
        self.is_one_of(&[Kw::Join, Kw::Inner, Kw::Left, Kw::Right, Kw::Full, Kw::Cross, Kw::Natural])
    }

    fn joins(&mut self, mut left: TableRef) -> SqlResult<TableRef> {
        while self.begins_join() {
            left = self.join(left)?;
            self.grow()?;
        }
        Ok(left)
    }

    fn join(&mut self, left: TableRef) -> SqlResult<TableRef> {
        let at = self.at();
        let natural = self.take_kw(Kw::Natural);
        let join = match self.peek() {
            TokenKind::Keyword(Kw::Cross) if !natural => JoinType::Cross,
            TokenKind::Keyword(Kw::Left) => JoinType::Left,
            TokenKind::Keyword(Kw::Right) => JoinType::Right,
            TokenKind::Keyword(Kw::Full) => JoinType::Full,
            _ => JoinType::Inner,
        };
        if join == JoinType::Inner {
            self.take_kw(Kw::Inner);
        } else {
            self.advance();
            if join != JoinType::Cross {
                self.take_kw(Kw::Outer);
            }
        }
        self.expect_kw(Kw::Join)?;
        let mut right = self.table_primary()?;
        if natural || join == JoinType::Cross {
            let constraint = if natural { JoinConstraint::Natural } else { JoinConstraint::None };
            return Ok(TableRef::Join(Box::new(JoinRef { join, left, right, constraint, alias: None, at })));
        }
        // `a JOIN b JOIN c ON … ON …`: the condition of the outer join comes last.
        while self.begins_join() {
            right = self.nested(|parser| parser.join(right))?;
        }
        let constraint = if self.take_kw(Kw::On) {
            JoinConstraint::On(self.expression()?)
        } else {
            self.expect_kw(Kw::Using)?;
            let columns = self.parenthesized_names()?;
            let alias = if self.take_kw(Kw::As) { Some(self.name()?) } else { None };
            JoinConstraint::Using { columns, alias }
        };
        Ok(TableRef::Join(Box::new(JoinRef { join, left, right, constraint, alias: None, at })))
    }

    fn table_primary(&mut self) -> SqlResult<TableRef> {
        let at = self.at();
        let lateral = self.take_kw(Kw::Lateral);
        if self.peek() == TokenKind::LeftParen {
            let inside = self.table_parentheses()?;
            return self.after_table_parentheses(inside, lateral, at);
        }
        if self.is(Kw::Rows) && self.is_at(1, Kw::From) && self.peek_at(2) == TokenKind::LeftParen {
            self.expect_kws(&[Kw::Rows, Kw::From])?;
            let calls = self.parenthesized(|parser| {
                let (at, name) = (parser.at(), parser.function_name()?);
                let call = parser.plain_call(name)?;
                let columns = if parser.take_kw(Kw::As) { parser.column_definitions()? } else { Vec::new() };
                Ok(FunctionRef { call, columns, at })
            })?;
            return self.functions(calls, lateral, at);
        }
        if self.begins_function() {
            let name = self.function_name()?;
            let call = self.plain_call(name)?;
            return self.functions(vec![FunctionRef { call, columns: Vec::new(), at }], lateral, at);
        }
        if lateral {
            return Err(self.unexpected());
        }
        self.relation(true)
    }

    fn begins_function(&self) -> bool {
        let mut ahead = 0;
        loop {
            let word = match self.peek_at(ahead) {
                TokenKind::Word | TokenKind::Quoted | TokenKind::UnicodeQuoted => true,
                TokenKind::Keyword(keyword) => ahead > 0 || keyword.category() != super::keyword::Category::Reserved,
                _ => false,
            };
            match self.peek_at(ahead + 1) {
                TokenKind::Dot if word => ahead += 2,
                TokenKind::LeftParen => return word && !self.is(Kw::Only),
                _ => return false,
            }
        }
    }

    fn function_name(&mut self) -> SqlResult<Vec<Name>> {
        let first = self.non_reserved()?;
        self.attributes(first)
    }

    fn functions(&mut self, calls: Vec<FunctionRef>, lateral: bool, at: At) -> SqlResult<TableRef> {
        let mut functions = FunctionsRef { lateral, calls, ordinality: false, alias: None, at };
        functions.ordinality = self.take_kws(&[Kw::With, Kw::Ordinality]);
        let with_as = self.take_kw(Kw::As);
        if with_as && self.peek() == TokenKind::LeftParen {
            self.define_columns(&mut functions)?;
        } else if with_as || self.could_be_name() {
            let name = self.name()?;
            let mut columns = Vec::new();
            if self.peek() == TokenKind::LeftParen {
                let is_definition = !matches!(self.peek_at(2), TokenKind::Comma | TokenKind::RightParen);
                if is_definition {
                    self.define_columns(&mut functions)?;
                } else {
                    columns = self.parenthesized_names()?;
                }
            }
            functions.alias = Some(Alias { name, columns });
        }
        Ok(TableRef::Functions(Box::new(functions)))
    }

    fn define_columns(&mut self, functions: &mut FunctionsRef) -> SqlResult<()> {
        let columns = self.column_definitions()?;
        if let Some(call) = functions.calls.first_mut() {
            call.columns = columns;
        }
        Ok(())
    }

    fn column_definitions(&mut self) -> SqlResult<Vec<ColumnDefinition>> {
        self.parenthesized(|parser| {
            let name = parser.name()?;
            let ty = parser.type_name()?;
            let collation = if parser.take_kw(Kw::Collate) { Some(parser.any_name()?) } else { None };
            Ok(ColumnDefinition { name, ty, collation, constraints: Vec::new() })
        })
    }

    fn table_parentheses(&mut self) -> SqlResult<TableParentheses> {
        self.nested(|parser| {
            parser.expect(TokenKind::LeftParen)?;
            let inside = if parser.begins_query() {
                TableParentheses::Query(parser.query()?)
            } else if parser.peek() == TokenKind::LeftParen {
                let at = parser.at();
                match parser.table_parentheses()? {
                    TableParentheses::Query(query)
                        if parser.peek() == TokenKind::RightParen || parser.continues_query() =>
                    {
                        TableParentheses::Query(parser.query_from(query, at)?)
                    }
                    inner => {
                        let left = parser.after_table_parentheses(inner, false, at)?;
                        TableParentheses::Table(parser.joins(left)?)
                    }
                }
            } else {
                TableParentheses::Table(parser.table_ref()?)
            };
            parser.expect(TokenKind::RightParen)?;
            Ok(inside)
        })
    }

    fn after_table_parentheses(&mut self, inside: TableParentheses, lateral: bool, at: At) -> SqlResult<TableRef> {
        let alias = self.alias()?;
        match inside {
            TableParentheses::Query(query) => Ok(TableRef::Query { query: Box::new(query), lateral, alias, at }),
            TableParentheses::Table(TableRef::Join(mut join)) if !lateral => {
                if alias.is_some() {
                    join.alias = alias;
                }
                Ok(TableRef::Join(join))
            }
            TableParentheses::Table(_) => Err(self.unexpected()),
        }
    }

    fn alias(&mut self) -> SqlResult<Option<Alias>> {
        if self.begins_system_time() || !self.take_kw(Kw::As) && !self.could_be_name() {
            return Ok(None);
        }
        let name = self.name()?;
        let columns = if self.peek() == TokenKind::LeftParen { self.parenthesized_names()? } else { Vec::new() };
        Ok(Some(Alias { name, columns }))
    }

    /// `relation_expr`, with alias and TABLESAMPLE where they may follow.
    fn relation(&mut self, with_alias: bool) -> SqlResult<TableRef> {
        let (name, only) = self.relation_name()?;
        let alias = if with_alias { self.alias()? } else { None };
        let sampled = self.is(Kw::Tablesample).then(|| self.at());
        if self.take_kw(Kw::Tablesample) {
            self.function_name()?;
            self.parenthesized(Self::expression)?;
            if self.take_kw(Kw::Repeatable) {
                self.parenthesized(Self::expression)?;
            }
        }
        Ok(TableRef::Relation { name, only, alias, sampled })
    }

    /// `name`, `name *`, `ONLY name`, `ONLY (name)`
    pub(super) fn relation_name(&mut self) -> SqlResult<(ObjectName, bool)> {
        if self.take_kw(Kw::Only) {
            let parenthesis = self.take(TokenKind::LeftParen);
            let name = self.object_name()?;
            if parenthesis {
                self.expect(TokenKind::RightParen)?;
            }
            return Ok((name, true));
        }
        let name = self.object_name()?;
        self.take_operator("*");
        Ok((name, false))
    }
}

fn bare(body: QueryBody, at: At) -> Query {
    match body {
        QueryBody::Nested(query) => *query,
        body => Query {
            with: None,
            body,
            order_by: Vec::new(),
            limit: None,
            offset: None,
            with_ties: false,
            locking: Vec::new(),
            at,
        },
    }
}

/// A query that is only a body needs no node of its own.
fn unwrapped(query: Query) -> QueryBody {
    let plain = query.with.is_none()
        && query.order_by.is_empty()
        && query.limit.is_none()
        && query.offset.is_none()
        && query.locking.is_empty();
    if plain { query.body } else { QueryBody::Nested(Box::new(query)) }
}
