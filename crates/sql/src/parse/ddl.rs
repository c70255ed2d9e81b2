//! CREATE.

use super::ast::*;
use super::cursor::Parser;
use super::keyword::Kw;
use super::lexer::TokenKind;
use crate::{SqlError, SqlResult};

/// What a statement that only needs to be recognised is about.
pub(super) fn not_supported(what: impl Into<String>) -> Statement {
    Statement::NotSupported { what: what.into() }
}

pub(super) fn ddl(ddl: Ddl) -> Statement {
    Statement::Ddl(Box::new(ddl))
}

impl Parser<'_> {
    pub(super) fn create(&mut self) -> SqlResult<Statement> {
        self.expect_kw(Kw::Create)?;
        let or_replace = self.take_kws(&[Kw::Or, Kw::Replace]);
        let persistence = self.persistence();
        let unique = self.take_kw(Kw::Unique);
        let TokenKind::Keyword(keyword) = self.peek() else { return Err(self.unexpected()) };
        match keyword {
            Kw::Index => self.create_index(unique).map(ddl),
            _ if unique => Err(self.unexpected()),
            Kw::Table => self.create_table(persistence),
            Kw::View | Kw::Recursive => self.create_view(or_replace, persistence).map(ddl),
            Kw::Materialized => self.create_materialized_view().map(ddl),
            Kw::Sequence => self.create_sequence(persistence).map(ddl),
            Kw::Schema => self.create_schema().map(ddl),
            Kw::Database => self.create_database().map(ddl),
            Kw::Role | Kw::User if !self.is_at(1, Kw::Mapping) => self.create_role(keyword == Kw::User).map(ddl),
            Kw::Group => self.create_role(false).map(ddl),
            Kw::Extension => self.create_extension().map(ddl),
            Kw::Type => self.create_type(),
            Kw::Domain => self.create_domain().map(ddl),
            _ => self.create_other(keyword),
        }
    }

    fn persistence(&mut self) -> Persistence {
        let _ = self.take_kw(Kw::Global) || self.take_kw(Kw::Local);
        if self.take_kw(Kw::Temporary) || self.take_kw(Kw::Temp) {
            Persistence::Temporary
        } else if self.take_kw(Kw::Unlogged) {
            Persistence::Unlogged
        } else {
            Persistence::Permanent
        }
    }

    /// Statements that PostgreSQL knows and the database does not run: skipped unread.
    fn create_other(&mut self, keyword: Kw) -> SqlResult<Statement> {
        let what = match keyword {
            Kw::Function => "CREATE FUNCTION",
            Kw::Procedure => "CREATE PROCEDURE",
            Kw::Aggregate => "CREATE AGGREGATE",
            Kw::Trigger | Kw::Constraint => "CREATE TRIGGER",
            Kw::Rule => "CREATE RULE",
            Kw::Policy => "CREATE POLICY",
            Kw::Cast => "CREATE CAST",
            Kw::Collation => "CREATE COLLATION",
            Kw::Conversion | Kw::Default => "CREATE CONVERSION",
            Kw::Operator => "CREATE OPERATOR",
            Kw::Language | Kw::Trusted | Kw::Procedural => "CREATE LANGUAGE",
            Kw::Tablespace => "CREATE TABLESPACE",
            Kw::Publication => "CREATE PUBLICATION",
            Kw::Subscription => "CREATE SUBSCRIPTION",
            Kw::Statistics => "CREATE STATISTICS",
            Kw::Event => "CREATE EVENT TRIGGER",
            Kw::Access => "CREATE ACCESS METHOD",
            Kw::Server => "CREATE SERVER",
            Kw::Foreign => "CREATE FOREIGN TABLE",
            Kw::User => "CREATE USER MAPPING",
            Kw::Text => "CREATE TEXT SEARCH",
            Kw::Transform => "CREATE TRANSFORM",
            Kw::Assertion => "CREATE ASSERTION",
            _ => return Err(self.unexpected()),
        };
        self.skip_statement();
        Ok(not_supported(what))
    }

    // Tables.

    fn create_table(&mut self, persistence: Persistence) -> SqlResult<Statement> {
        self.expect_kw(Kw::Table)?;
        let if_not_exists = self.if_not_exists();
        let name = self.object_name()?;
        let mut table = CreateTable {
            name,
            if_not_exists,
            persistence,
            elements: Vec::new(),
            inherits: Vec::new(),
            unsupported: None,
            options: Vec::new(),
            on_commit: None,
            tablespace: None,
        };
        if self.is(Kw::Of) || self.is(Kw::Partition) {
            self.skip_statement();
            table.unsupported = Some("partitioned and typed tables");
            return Ok(ddl(Ddl::CreateTable(table)));
        }
        if self.peek() != TokenKind::LeftParen || self.is_as_column_list() {
            return self.create_table_as(table).map(ddl);
        }
        self.advance();
        if self.peek() != TokenKind::RightParen {
            table.elements = self.list(Self::table_element)?;
        }
        self.expect(TokenKind::RightParen)?;
        if self.take_kw(Kw::Inherits) {
            table.inherits = self.parenthesized(Self::object_name)?;
        }
        if self.is(Kw::Partition) {
            table.unsupported = Some("PARTITION BY");
            self.expect_kws(&[Kw::Partition, Kw::By])?;
            self.name()?;
            self.parenthesized(Self::index_element)?;
        }
        self.table_tail(&mut table)?;
        Ok(ddl(Ddl::CreateTable(table)))
    }

    /// `(a, b) AS SELECT …`: names without types.
    fn is_as_column_list(&self) -> bool {
        self.could_be_name_at(1) && matches!(self.peek_at(2), TokenKind::Comma | TokenKind::RightParen)
    }

    fn table_tail(&mut self, table: &mut CreateTable) -> SqlResult<()> {
        if self.take_kw(Kw::Using) {
            self.name()?;
        }
        table.options = self.with_options()?;
        if self.take_kw(Kw::Without) {
            self.expect_kw(Kw::Oids)?;
        }
        if self.take_kws(&[Kw::On, Kw::Commit]) {
            table.on_commit = Some(if self.take_kw(Kw::Drop) {
                OnCommit::Drop
            } else if self.take_kws(&[Kw::Delete, Kw::Rows]) {
                OnCommit::DeleteRows
            } else {
                self.expect_kws(&[Kw::Preserve, Kw::Rows])?;
                OnCommit::PreserveRows
            });
        }
        if self.take_kw(Kw::Tablespace) {
            table.tablespace = Some(self.name()?);
        }
        Ok(())
    }

    fn create_table_as(&mut self, mut table: CreateTable) -> SqlResult<Ddl> {
        let columns = if self.peek() == TokenKind::LeftParen { self.parenthesized_names()? } else { Vec::new() };
        self.table_tail(&mut table)?;
        self.expect_kw(Kw::As)?;
        if self.is(Kw::Execute) {
            return Err(SqlError::not_supported("CREATE TABLE AS EXECUTE"));
        }
        let query = self.source_query()?;
        let with_data = self.with_data()?;
        Ok(Ddl::CreateTableAs(CreateTableAs {
            name: table.name,
            if_not_exists: table.if_not_exists,
            persistence: table.persistence,
            materialized: false,
            columns,
            options: table.options,
            on_commit: table.on_commit,
            query,
            with_data,
        }))
    }

    fn with_data(&mut self) -> SqlResult<bool> {
        if !self.take_kw(Kw::With) {
            return Ok(true);
        }
        let with_data = !self.take_kw(Kw::No);
        self.expect_kw(Kw::Data)?;
        Ok(with_data)
    }

    fn source_query(&mut self) -> SqlResult<SourceQuery> {
        let start = self.at() as usize;
        let query = self.query()?;
        Ok(SourceQuery { query, text: self.source[start..self.previous_end() as usize].to_owned() })
    }

    /// `a_expr`, with its text.
    pub(super) fn source_expression(&mut self) -> SqlResult<SourceExpr> {
        let start = self.at() as usize;
        let expr = self.expression()?;
        Ok(SourceExpr { expr, text: self.source[start..self.previous_end() as usize].to_owned() })
    }

    pub(super) fn parenthesized_source_expression(&mut self) -> SqlResult<SourceExpr> {
        self.expect(TokenKind::LeftParen)?;
        let source = self.source_expression()?;
        self.expect(TokenKind::RightParen)?;
        Ok(source)
    }

    /// `b_expr`, with its text.
    fn restricted_source_expression(&mut self) -> SqlResult<SourceExpr> {
        let start = self.at() as usize;
        let expr = self.restricted_expression()?;
        Ok(SourceExpr { expr, text: self.source[start..self.previous_end() as usize].to_owned() })
    }

    fn table_element(&mut self) -> SqlResult<TableElement> {
        if self.take_kw(Kw::Like) {
            let table = self.object_name()?;
            let (mut including, mut excluding) = (Vec::new(), Vec::new());
            loop {
                let list = if self.take_kw(Kw::Including) {
                    &mut including
                } else if self.take_kw(Kw::Excluding) {
                    &mut excluding
                } else {
                    break;
                };
                list.push(self.label()?.text);
            }
            return Ok(TableElement::Like { table, including, excluding });
        }
        if self.begins_table_constraint() {
            return self.table_constraint().map(TableElement::Constraint);
        }
        self.column_definition().map(TableElement::Column)
    }

    pub(super) fn begins_table_constraint(&self) -> bool {
        self.is_one_of(&[Kw::Constraint, Kw::Check, Kw::Unique, Kw::Primary, Kw::Foreign])
            || self.is(Kw::Exclude) && (self.peek_at(1) == TokenKind::LeftParen || self.is_at(1, Kw::Using))
    }

    pub(super) fn column_definition(&mut self) -> SqlResult<ColumnDefinition> {
        let name = self.name()?;
        let ty = self.type_name()?;
        let mut column = ColumnDefinition { name, ty, collation: None, constraints: Vec::new() };
        if self.is_one_of(&[Kw::Storage, Kw::Compression]) {
            self.advance();
            self.label()?;
        }
        loop {
            if self.take_kw(Kw::Collate) {
                column.collation = Some(self.any_name()?);
            } else if let Some(constraint) = self.column_constraint()? {
                column.constraints.push(constraint);
            } else if !self.constraint_attribute(&mut column.constraints)? {
                return Ok(column);
            }
        }
    }

    /// DEFERRABLE and the like after the constraint that they belong to.
    fn constraint_attribute(&mut self, constraints: &mut [ColumnConstraint]) -> SqlResult<bool> {
        let at = self.at();
        let mut deferral = constraints.last().map_or(Deferral::default(), |last| last.deferral);
        if !self.deferral_word(&mut deferral)? {
            return Ok(false);
        }
        match constraints.last_mut() {
            Some(last) => last.deferral = deferral,
            None => return Err(self.error_at("misplaced DEFERRABLE clause", at)),
        }
        Ok(true)
    }

    fn deferral_word(&mut self, deferral: &mut Deferral) -> SqlResult<bool> {
        if self.take_kws(&[Kw::Not, Kw::Deferrable]) {
            *deferral = Deferral::default();
        } else if self.take_kw(Kw::Deferrable) {
            deferral.deferrable = true;
        } else if self.take_kw(Kw::Initially) {
            deferral.initially_deferred = self.take_kw(Kw::Deferred);
            if deferral.initially_deferred {
                deferral.deferrable = true;
            } else {
                self.expect_kw(Kw::Immediate)?;
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    pub(super) fn deferral(&mut self) -> SqlResult<Deferral> {
        let mut deferral = Deferral::default();
        while self.deferral_word(&mut deferral)? {}
        Ok(deferral)
    }

    fn column_constraint(&mut self) -> SqlResult<Option<ColumnConstraint>> {
        let at = self.at();
        let name = if self.take_kw(Kw::Constraint) { Some(self.name()?) } else { None };
        let kind = match self.peek() {
            TokenKind::Keyword(Kw::Not) if self.is_at(1, Kw::Null) => {
                self.expect_kws(&[Kw::Not, Kw::Null])?;
                ColumnConstraintKind::NotNull
            }
            TokenKind::Keyword(Kw::Null) => {
                self.advance();
                ColumnConstraintKind::Null
            }
            TokenKind::Keyword(Kw::Default) => {
                self.advance();
                ColumnConstraintKind::Default(self.restricted_source_expression()?)
            }
            TokenKind::Keyword(Kw::Generated) => self.generated()?,
            TokenKind::Keyword(Kw::Check) => {
                self.advance();
                let condition = self.parenthesized_source_expression()?;
                ColumnConstraintKind::Check { condition, no_inherit: self.take_kws(&[Kw::No, Kw::Inherit]) }
            }
            TokenKind::Keyword(Kw::Primary) => {
                self.expect_kws(&[Kw::Primary, Kw::Key])?;
                ColumnConstraintKind::PrimaryKey { options: self.index_options()? }
            }
            TokenKind::Keyword(Kw::Unique) => {
                self.advance();
                let nulls_not_distinct = self.nulls_not_distinct()?;
                ColumnConstraintKind::Unique { nulls_not_distinct, options: self.index_options()? }
            }
            TokenKind::Keyword(Kw::References) => ColumnConstraintKind::References(self.references()?),
            _ if name.is_some() => return Err(self.unexpected()),
            _ => return Ok(None),
        };
        Ok(Some(ColumnConstraint { name, kind, deferral: Deferral::default(), at }))
    }

    fn generated(&mut self) -> SqlResult<ColumnConstraintKind> {
        self.expect_kw(Kw::Generated)?;
        let always = self.generated_when()?;
        self.expect_kw(Kw::As)?;
        if self.take_kw(Kw::Identity) {
            let options = self.parenthesized_sequence_options()?;
            return Ok(ColumnConstraintKind::Identity { always, options });
        }
        if !always {
            return Err(self.error_at("for a generated column, GENERATED ALWAYS must be specified", self.at()));
        }
        let source = self.parenthesized_source_expression()?;
        self.expect_kw(Kw::Stored)?;
        Ok(ColumnConstraintKind::GeneratedStored(source))
    }

    /// `ALWAYS` (true) or `BY DEFAULT`.
    pub(super) fn generated_when(&mut self) -> SqlResult<bool> {
        if self.take_kw(Kw::Always) {
            return Ok(true);
        }
        self.expect_kws(&[Kw::By, Kw::Default])?;
        Ok(false)
    }

    pub(super) fn parenthesized_sequence_options(&mut self) -> SqlResult<Vec<SequenceOption>> {
        if !self.take(TokenKind::LeftParen) {
            return Ok(Vec::new());
        }
        let options = self.sequence_options()?;
        self.expect(TokenKind::RightParen)?;
        Ok(options)
    }

    fn nulls_not_distinct(&mut self) -> SqlResult<bool> {
        if !self.take_kw(Kw::Nulls) {
            return Ok(false);
        }
        let not = self.take_kw(Kw::Not);
        self.expect_kw(Kw::Distinct)?;
        Ok(not)
    }

    /// `[WITH (…)] [USING INDEX TABLESPACE name]`
    fn index_options(&mut self) -> SqlResult<Vec<Setting>> {
        let options = self.with_options()?;
        if self.take_kws(&[Kw::Using, Kw::Index, Kw::Tablespace]) {
            self.name()?;
        }
        Ok(options)
    }

    fn references(&mut self) -> SqlResult<References> {
        self.expect_kw(Kw::References)?;
        let table = self.object_name()?;
        let columns = if self.peek() == TokenKind::LeftParen { self.parenthesized_names()? } else { Vec::new() };
        let mut match_full = false;
        if self.take_kw(Kw::Match) {
            match_full = self.take_kw(Kw::Full);
            if !match_full {
                if self.is(Kw::Partial) {
                    return Err(SqlError::new("0A000", "MATCH PARTIAL not yet implemented"));
                }
                self.expect_kw(Kw::Simple)?;
            }
        }
        let (mut on_delete, mut on_update) = (ReferentialAction::NoAction, ReferentialAction::NoAction);
        while self.take_kw(Kw::On) {
            if self.take_kw(Kw::Delete) {
                on_delete = self.referential_action()?;
            } else {
                self.expect_kw(Kw::Update)?;
                on_update = self.referential_action()?;
            }
        }
        Ok(References { table, columns, match_full, on_delete, on_update })
    }

    fn referential_action(&mut self) -> SqlResult<ReferentialAction> {
        if self.take_kw(Kw::Cascade) {
            return Ok(ReferentialAction::Cascade);
        }
        if self.take_kw(Kw::Restrict) {
            return Ok(ReferentialAction::Restrict);
        }
        if self.take_kw(Kw::No) {
            self.expect_kw(Kw::Action)?;
            return Ok(ReferentialAction::NoAction);
        }
        self.expect_kw(Kw::Set)?;
        let action = if self.take_kw(Kw::Default) {
            ReferentialAction::SetDefault
        } else {
            self.expect_kw(Kw::Null)?;
            ReferentialAction::SetNull
        };
        if self.peek() == TokenKind::LeftParen {
            return Err(SqlError::not_supported("a column list after ON DELETE SET"));
        }
        Ok(action)
    }

    pub(super) fn table_constraint(&mut self) -> SqlResult<TableConstraint> {
        let at = self.at();
        let name = if self.take_kw(Kw::Constraint) { Some(self.name()?) } else { None };
        let TokenKind::Keyword(keyword) = self.advance().kind else { return Err(self.unexpected()) };
        let kind = match keyword {
            Kw::Check => {
                TableConstraintKind::Check { condition: self.parenthesized_source_expression()?, no_inherit: false }
            }
            Kw::Primary | Kw::Unique => self.key_constraint(keyword == Kw::Primary)?,
            Kw::Foreign => {
                self.expect_kw(Kw::Key)?;
                let columns = self.parenthesized_names()?;
                TableConstraintKind::ForeignKey { columns, references: self.references()? }
            }
            Kw::Exclude => {
                self.exclusion()?;
                TableConstraintKind::Exclude
            }
            _ => {
                self.back_to(self.mark() - 1);
                return Err(self.unexpected());
            }
        };
        let mut constraint = TableConstraint { name, kind, deferral: Deferral::default(), not_valid: false, at };
        loop {
            if self.take_kws(&[Kw::Not, Kw::Valid]) {
                constraint.not_valid = true;
            } else if self.take_kws(&[Kw::No, Kw::Inherit]) {
                if let TableConstraintKind::Check { no_inherit, .. } = &mut constraint.kind {
                    *no_inherit = true;
                }
            } else if !self.deferral_word(&mut constraint.deferral)? {
                return Ok(constraint);
            }
        }
    }

    fn key_constraint(&mut self, primary: bool) -> SqlResult<TableConstraintKind> {
        if primary {
            self.expect_kw(Kw::Key)?;
        }
        let nulls_not_distinct = !primary && self.nulls_not_distinct()?;
        if self.take_kws(&[Kw::Using, Kw::Index]) {
            return Ok(TableConstraintKind::UsingIndex { primary, index: self.name()? });
        }
        let columns = self.parenthesized_names()?;
        let include = self.include()?;
        let options = self.index_options()?;
        Ok(match primary {
            true => TableConstraintKind::PrimaryKey { columns, include, options },
            false => TableConstraintKind::Unique { columns, include, nulls_not_distinct, options },
        })
    }

    fn include(&mut self) -> SqlResult<Vec<Name>> {
        if self.take_kw(Kw::Include) { self.parenthesized_names() } else { Ok(Vec::new()) }
    }

    fn exclusion(&mut self) -> SqlResult<()> {
        if self.take_kw(Kw::Using) {
            self.name()?;
        }
        self.parenthesized(|parser| {
            parser.index_element()?;
            parser.expect_kw(Kw::With)?;
            parser.operator()
        })?;
        self.include()?;
        self.index_options()?;
        if self.take_kw(Kw::Where) {
            self.parenthesized_source_expression()?;
        }
        Ok(())
    }

    /// `WITH (name = value, …)`, or nothing.
    pub(super) fn with_options(&mut self) -> SqlResult<Vec<Setting>> {
        if self.is(Kw::With) && self.peek_at(1) == TokenKind::LeftParen {
            self.advance();
            return self.settings();
        }
        Ok(Vec::new())
    }

    /// `(name [= value], …)`
    pub(super) fn settings(&mut self) -> SqlResult<Vec<Setting>> {
        self.parenthesized(|parser| {
            let mut name = parser.label()?;
            let mut namespace = None;
            if parser.take(TokenKind::Dot) {
                namespace = Some(name);
                name = parser.label()?;
            }
            let value = if parser.take_operator("=") { Some(parser.setting_value()?) } else { None };
            Ok(Setting { namespace, name, value })
        })
    }

    pub(super) fn setting_value(&mut self) -> SqlResult<SettingValue> {
        if self.token().is_string() {
            return self.string().map(SettingValue::Text);
        }
        if self.is_operator("-") || self.is_operator("+") {
            let sign = if self.advance().text(self.source) == "-" { "-" } else { "" };
            return self.number_text().map(|digits| SettingValue::Number(format!("{sign}{digits}")));
        }
        if matches!(self.peek(), TokenKind::Integer | TokenKind::Decimal) {
            return self.number_text().map(SettingValue::Number);
        }
        self.label().map(|name| SettingValue::Word(name.text))
    }

    pub(super) fn number_text(&mut self) -> SqlResult<String> {
        if !matches!(self.peek(), TokenKind::Integer | TokenKind::Decimal) {
            return Err(self.unexpected());
        }
        Ok(self.advance().text(self.source).to_owned())
    }

    // Indexes.

    fn create_index(&mut self, unique: bool) -> SqlResult<Ddl> {
        self.expect_kw(Kw::Index)?;
        let concurrently = self.take_kw(Kw::Concurrently);
        let if_not_exists = self.if_not_exists();
        let name = if self.is(Kw::On) && !if_not_exists { None } else { Some(self.name()?) };
        self.expect_kw(Kw::On)?;
        let (table, only) = self.relation_name()?;
        let method = if self.take_kw(Kw::Using) { Some(self.name()?) } else { None };
        let columns = self.parenthesized(Self::index_element)?;
        let include = self.include()?;
        let nulls_not_distinct = self.nulls_not_distinct()?;
        let options = self.with_options()?;
        let tablespace = if self.take_kw(Kw::Tablespace) { Some(self.name()?) } else { None };
        let filter = if self.take_kw(Kw::Where) { Some(self.source_expression()?) } else { None };
        Ok(Ddl::CreateIndex(CreateIndex {
            name,
            if_not_exists,
            unique,
            concurrently,
            table,
            only,
            method,
            columns,
            include,
            nulls_not_distinct,
            options,
            tablespace,
            filter,
        }))
    }

    pub(super) fn index_element(&mut self) -> SqlResult<IndexElement> {
        let at = self.at();
        let plain_column = self.could_be_name() && !matches!(self.peek_at(1), TokenKind::LeftParen | TokenKind::Dot);
        let expr = if plain_column {
            IndexExpr::Column(self.name()?)
        } else if self.peek() == TokenKind::LeftParen {
            IndexExpr::Expr(self.parenthesized_source_expression()?)
        } else {
            let start = self.at() as usize;
            let expr = self.restricted_expression()?;
            IndexExpr::Expr(SourceExpr { expr, text: self.source[start..self.previous_end() as usize].to_owned() })
        };
        let collation = if self.take_kw(Kw::Collate) { Some(self.any_name()?) } else { None };
        let operator_class = if self.could_be_name() && !self.is_one_of(&[Kw::Nulls]) {
            let class = self.any_name()?;
            if self.peek() == TokenKind::LeftParen {
                self.settings()?;
            }
            Some(class)
        } else {
            None
        };
        let direction = self.direction();
        Ok(IndexElement { expr, collation, operator_class, direction, nulls_first: self.nulls_order()?, at })
    }

    // Views, sequences, schemas, databases, roles, types.

    fn create_view(&mut self, or_replace: bool, persistence: Persistence) -> SqlResult<Ddl> {
        let recursive = self.take_kw(Kw::Recursive);
        self.expect_kw(Kw::View)?;
        let name = self.object_name()?;
        let columns = if self.peek() == TokenKind::LeftParen { self.parenthesized_names()? } else { Vec::new() };
        let options = self.with_options()?;
        self.expect_kw(Kw::As)?;
        let query = self.source_query()?;
        let mut check_option = false;
        if self.take_kw(Kw::With) {
            let _ = self.take_kw(Kw::Local) || self.take_kw(Kw::Cascaded);
            self.expect_kws(&[Kw::Check, Kw::Option])?;
            check_option = true;
        }
        Ok(Ddl::CreateView(CreateView {
            name,
            or_replace,
            persistence,
            recursive,
            columns,
            options,
            query,
            check_option,
        }))
    }

    fn create_materialized_view(&mut self) -> SqlResult<Ddl> {
        self.expect_kws(&[Kw::Materialized, Kw::View])?;
        let if_not_exists = self.if_not_exists();
        let name = self.object_name()?;
        let columns = if self.peek() == TokenKind::LeftParen { self.parenthesized_names()? } else { Vec::new() };
        if self.take_kw(Kw::Using) {
            self.name()?;
        }
        let options = self.with_options()?;
        if self.take_kw(Kw::Tablespace) {
            self.name()?;
        }
        self.expect_kw(Kw::As)?;
        let query = self.source_query()?;
        let with_data = self.with_data()?;
        Ok(Ddl::CreateTableAs(CreateTableAs {
            name,
            if_not_exists,
            persistence: Persistence::Permanent,
            materialized: true,
            columns,
            options,
            on_commit: None,
            query,
            with_data,
        }))
    }

    fn create_sequence(&mut self, persistence: Persistence) -> SqlResult<Ddl> {
        self.expect_kw(Kw::Sequence)?;
        let if_not_exists = self.if_not_exists();
        let name = self.object_name()?;
        Ok(Ddl::CreateSequence(CreateSequence { name, if_not_exists, persistence, options: self.sequence_options()? }))
    }

    pub(super) fn sequence_options(&mut self) -> SqlResult<Vec<SequenceOption>> {
        let mut options = Vec::new();
        while let Some(option) = self.sequence_option()? {
            options.push(option);
        }
        Ok(options)
    }

    pub(super) fn sequence_option(&mut self) -> SqlResult<Option<SequenceOption>> {
        let TokenKind::Keyword(keyword) = self.peek() else { return Ok(None) };
        let mark = self.mark();
        self.advance();
        let option = match keyword {
            Kw::As => SequenceOption::As(self.simple_type()?),
            Kw::Increment => {
                self.take_kw(Kw::By);
                SequenceOption::Increment(self.signed_integer()?)
            }
            Kw::Minvalue => SequenceOption::MinValue(Some(self.signed_integer()?)),
            Kw::Maxvalue => SequenceOption::MaxValue(Some(self.signed_integer()?)),
            Kw::No if self.take_kw(Kw::Minvalue) => SequenceOption::MinValue(None),
            Kw::No if self.take_kw(Kw::Maxvalue) => SequenceOption::MaxValue(None),
            Kw::No if self.take_kw(Kw::Cycle) => SequenceOption::Cycle(false),
            Kw::Cycle => SequenceOption::Cycle(true),
            Kw::Start => {
                self.take_kw(Kw::With);
                SequenceOption::Start(self.signed_integer()?)
            }
            Kw::Restart => {
                let with = self.take_kw(Kw::With);
                let numbered =
                    with || self.peek() == TokenKind::Integer || self.is_operator("-") || self.is_operator("+");
                SequenceOption::Restart(if numbered { Some(self.signed_integer()?) } else { None })
            }
            Kw::Cache => SequenceOption::Cache(self.signed_integer()?),
            Kw::Owned => {
                self.expect_kw(Kw::By)?;
                SequenceOption::OwnedBy(self.owner_column()?)
            }
            Kw::Sequence if self.take_kw(Kw::Name) => SequenceOption::SequenceName(self.object_name()?),
            Kw::Logged => SequenceOption::Logged(true),
            Kw::Unlogged => SequenceOption::Logged(false),
            _ => {
                self.back_to(mark);
                return Ok(None);
            }
        };
        Ok(Some(option))
    }

    fn owner_column(&mut self) -> SqlResult<Option<(ObjectName, Name)>> {
        if self.take_kw(Kw::None) {
            return Ok(None);
        }
        let at = self.at();
        let mut names = self.any_name()?;
        let column = names.pop();
        match column {
            Some(column) if !names.is_empty() => Ok(Some((self.object_name_from(names)?, column))),
            _ => {
                let hint = "Specify OWNED BY table.column or OWNED BY NONE.";
                Err(self.error_at("invalid OWNED BY option", at).with_hint(hint))
            }
        }
    }

    fn create_schema(&mut self) -> SqlResult<Ddl> {
        self.expect_kw(Kw::Schema)?;
        let if_not_exists = self.if_not_exists();
        let name = if self.is(Kw::Authorization) { None } else { Some(self.name()?) };
        let owner = if self.take_kw(Kw::Authorization) { Some(self.role()?) } else { None };
        let mut elements = Vec::new();
        while self.is(Kw::Create) || self.is(Kw::Grant) {
            elements.push(if self.is(Kw::Create) { self.create()? } else { self.grant()? });
        }
        Ok(Ddl::CreateSchema(CreateSchema { name, if_not_exists, owner, elements }))
    }

    fn create_database(&mut self) -> SqlResult<Ddl> {
        self.expect_kw(Kw::Database)?;
        let name = self.name()?;
        self.take_kw(Kw::With);
        Ok(Ddl::CreateDatabase(CreateDatabase { name, options: self.database_options()? }))
    }

    pub(super) fn database_options(&mut self) -> SqlResult<Vec<(String, SettingValueOrDefault)>> {
        let mut options = Vec::new();
        while self.could_be_label() {
            let mut name = self.label()?.text;
            if name == "connection" {
                self.expect_kw(Kw::Limit)?;
                name.push_str(" limit");
            }
            self.take_operator("=");
            let value = if self.take_kw(Kw::Default) { None } else { Some(self.setting_value()?) };
            options.push((name, value));
        }
        Ok(options)
    }

    pub(super) fn role(&mut self) -> SqlResult<RoleName> {
        if self.take_kw(Kw::CurrentUser) || self.take_kw(Kw::CurrentRole) {
            return Ok(RoleName::CurrentUser);
        }
        if self.take_kw(Kw::SessionUser) {
            return Ok(RoleName::SessionUser);
        }
        let quoted = self.peek() == TokenKind::Quoted;
        let name = self.non_reserved()?;
        Ok(if name.text == "public" && !quoted { RoleName::Public } else { RoleName::Named(name) })
    }

    fn create_role(&mut self, login: bool) -> SqlResult<Ddl> {
        self.advance();
        let name = self.non_reserved()?;
        self.take_kw(Kw::With);
        Ok(Ddl::CreateRole(CreateRole { name, login, options: self.role_options()? }))
    }

    pub(super) fn role_options(&mut self) -> SqlResult<Vec<RoleOption>> {
        let mut options = Vec::new();
        loop {
            let at = self.at();
            let option = match self.peek() {
                TokenKind::Keyword(Kw::Password) => {
                    self.advance();
                    RoleOption::Password(if self.take_kw(Kw::Null) { None } else { Some(self.string()?) })
                }
                TokenKind::Keyword(Kw::Encrypted) => {
                    self.expect_kws(&[Kw::Encrypted, Kw::Password])?;
                    RoleOption::Password(Some(self.string()?))
                }
                TokenKind::Keyword(Kw::Connection) => {
                    self.expect_kws(&[Kw::Connection, Kw::Limit])?;
                    RoleOption::ConnectionLimit(self.signed_integer()?)
                }
                TokenKind::Keyword(Kw::Valid) => {
                    self.expect_kws(&[Kw::Valid, Kw::Until])?;
                    RoleOption::ValidUntil(self.string()?)
                }
                TokenKind::Keyword(Kw::Inherit) => {
                    self.advance();
                    RoleOption::Inherit(true)
                }
                TokenKind::Keyword(Kw::In) => {
                    self.advance();
                    if !self.take_kw(Kw::Role) {
                        self.expect_kw(Kw::Group)?;
                    }
                    RoleOption::InRole(self.list(Self::role)?)
                }
                TokenKind::Keyword(Kw::Role | Kw::User) => {
                    self.advance();
                    RoleOption::Role(self.list(Self::role)?)
                }
                TokenKind::Keyword(Kw::Admin) => {
                    self.advance();
                    RoleOption::Admin(self.list(Self::role)?)
                }
                TokenKind::Keyword(Kw::Sysid) => {
                    self.advance();
                    self.small_integer()?;
                    continue;
                }
                TokenKind::Word => {
                    let word = self.text().to_ascii_lowercase();
                    self.advance();
                    match word.as_str() {
                        "superuser" => RoleOption::Superuser(true),
                        "nosuperuser" => RoleOption::Superuser(false),
                        "createdb" => RoleOption::CreateDb(true),
                        "nocreatedb" => RoleOption::CreateDb(false),
                        "createrole" => RoleOption::CreateRole(true),
                        "nocreaterole" => RoleOption::CreateRole(false),
                        "noinherit" => RoleOption::Inherit(false),
                        "login" => RoleOption::Login(true),
                        "nologin" => RoleOption::Login(false),
                        "replication" => RoleOption::Replication(true),
                        "noreplication" => RoleOption::Replication(false),
                        "bypassrls" => RoleOption::BypassRls(true),
                        "nobypassrls" => RoleOption::BypassRls(false),
                        _ => return Err(self.error_at(format!("unrecognized role option \"{word}\""), at)),
                    }
                }
                _ => return Ok(options),
            };
            options.push(option);
        }
    }

    fn create_extension(&mut self) -> SqlResult<Ddl> {
        self.expect_kw(Kw::Extension)?;
        let if_not_exists = self.if_not_exists();
        let name = self.name()?;
        self.take_kw(Kw::With);
        loop {
            if self.take_kw(Kw::Schema) {
                self.name()?;
            } else if self.take_kw(Kw::Version) {
                if self.token().is_string() {
                    self.string()?;
                } else {
                    self.non_reserved()?;
                }
            } else if !self.take_kw(Kw::Cascade) {
                return Ok(Ddl::CreateExtension { name, if_not_exists });
            }
        }
    }

    fn create_type(&mut self) -> SqlResult<Statement> {
        self.expect_kw(Kw::Type)?;
        let name = self.object_name()?;
        if self.take_kws(&[Kw::As, Kw::Enum]) {
            self.expect(TokenKind::LeftParen)?;
            let labels = if self.peek() == TokenKind::RightParen { Vec::new() } else { self.list(Self::string)? };
            self.expect(TokenKind::RightParen)?;
            return Ok(ddl(Ddl::CreateEnum { name, labels }));
        }
        self.skip_statement();
        Ok(not_supported("CREATE TYPE other than AS ENUM"))
    }

    fn create_domain(&mut self) -> SqlResult<Ddl> {
        self.expect_kw(Kw::Domain)?;
        let name = self.object_name()?;
        self.take_kw(Kw::As);
        let ty = self.type_name()?;
        let mut constraints = Vec::new();
        loop {
            if self.take_kw(Kw::Collate) {
                self.any_name()?;
            } else if let Some(constraint) = self.column_constraint()? {
                constraints.push(constraint);
            } else {
                return Ok(Ddl::CreateDomain(CreateDomain { name, ty, constraints }));
            }
        }
    }

    // DROP, TRUNCATE, COMMENT, GRANT.
}
