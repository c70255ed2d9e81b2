//! The first words of every statement; transaction control, settings, cursors and maintenance.

use super::ast::*;
use super::cursor::Parser;
use super::keyword::Kw;
use super::lexer::TokenKind;
use crate::SqlResult;

fn utility(utility: Utility) -> Statement {
    Statement::Utility(Box::new(utility))
}

impl Parser<'_> {
    pub(super) fn statement(&mut self) -> SqlResult<Statement> {
        let keyword = match self.peek() {
            TokenKind::Keyword(keyword) => keyword,
            TokenKind::LeftParen => return self.preparable(),
            _ => return Err(self.unexpected()),
        };
        match keyword {
            Kw::Select | Kw::Values | Kw::Table | Kw::With | Kw::Insert | Kw::Update | Kw::Delete | Kw::Merge => {
                let start = self.at() as usize;
                let statement = self.preparable()?;
                Ok(self.select_into(statement, start))
            }
            Kw::Create => self.create(),
            Kw::Alter => self.alter(),
            Kw::Drop => self.drop_statement(),
            Kw::Truncate => self.truncate(),
            Kw::Comment => self.comment(),
            Kw::Grant | Kw::Revoke => self.grant(),
            Kw::Refresh => self.refresh(),
            Kw::Explain => self.explain(),
            Kw::Begin | Kw::Start | Kw::Commit | Kw::End | Kw::Rollback | Kw::Abort | Kw::Savepoint | Kw::Release => {
                self.transaction(keyword).map(utility)
            }
            Kw::Set => self.set_statement().map(utility),
            Kw::Reset => self.reset().map(utility),
            Kw::Show => self.show().map(utility),
            Kw::Prepare => self.prepare().map(utility),
            Kw::Execute => self.execute().map(utility),
            Kw::Deallocate => self.deallocate().map(utility),
            Kw::Declare => self.declare().map(utility),
            Kw::Fetch | Kw::Move => self.fetch().map(utility),
            Kw::Close => {
                self.advance();
                let name = if self.take_kw(Kw::All) { None } else { Some(self.name()?) };
                Ok(utility(Utility::CloseCursor(name)))
            }
            Kw::Copy => self.copy().map(utility),
            Kw::Import => {
                self.skip_statement();
                Ok(Statement::NotSupported { what: "IMPORT FOREIGN SCHEMA".into() })
            }
            Kw::Reassign => {
                self.skip_statement();
                Ok(Statement::NotSupported { what: "REASSIGN OWNED".into() })
            }
            _ => self.maintenance(keyword).map(utility),
        }
    }

    /// `SELECT … INTO t` is CREATE TABLE t AS; elsewhere than at the top the binder refuses it.
    fn select_into(&self, mut statement: Statement, start: usize) -> Statement {
        let Statement::Query(query) = &mut statement else { return statement };
        let mut first = &mut query.body;
        while let QueryBody::SetOperation { left, .. } = first {
            first = &mut left.body;
        }
        let QueryBody::Select(select) = first else { return statement };
        let Some(name) = select.into.take() else { return statement };
        let text = self.source[start..self.previous_end() as usize].to_owned();
        let Statement::Query(query) = statement else { return statement };
        let create = CreateTableAs {
            name,
            if_not_exists: false,
            persistence: Persistence::Permanent,
            materialized: false,
            columns: Vec::new(),
            options: Vec::new(),
            on_commit: None,
            query: SourceQuery { query: *query, text },
            with_data: true,
        };
        Statement::Ddl(Box::new(Ddl::CreateTableAs(create)))
    }

    fn refresh(&mut self) -> SqlResult<Statement> {
        self.expect_kws(&[Kw::Refresh, Kw::Materialized, Kw::View])?;
        let concurrently = self.take_kw(Kw::Concurrently);
        let name = self.object_name()?;
        let mut with_data = true;
        if self.take_kw(Kw::With) {
            with_data = !self.take_kw(Kw::No);
            self.expect_kw(Kw::Data)?;
        }
        Ok(Statement::Ddl(Box::new(Ddl::RefreshMaterializedView { name, concurrently, with_data })))
    }

    // EXPLAIN.

    fn explain(&mut self) -> SqlResult<Statement> {
        self.expect_kw(Kw::Explain)?;
        let mut explain = Explain {
            analyze: false,
            verbose: false,
            costs: true,
            buffers: false,
            timing: true,
            summary: None,
            settings: false,
            wal: false,
            format: ExplainFormat::Text,
            unknown: None,
            statement: Statement::NotSupported { what: String::new() },
        };
        if self.peek() == TokenKind::LeftParen && self.could_be_explain_option() {
            for option in self.parenthesized(Self::explain_option)? {
                explain.set(option);
            }
        } else {
            explain.analyze = self.take_kw(Kw::Analyze) || self.take_kw(Kw::Analyse);
            explain.verbose = self.take_kw(Kw::Verbose);
        }
        explain.statement = self.nested(Self::explainable)?;
        Ok(Statement::Explain(Box::new(explain)))
    }

    fn could_be_explain_option(&self) -> bool {
        !(self.is_at(1, Kw::Select) || self.is_at(1, Kw::With) || self.is_at(1, Kw::Values) || self.is_at(1, Kw::Table))
            && self.peek_at(1) != TokenKind::LeftParen
    }

    fn explain_option(&mut self) -> SqlResult<Setting> {
        let name = self.label()?;
        let ends = matches!(self.peek(), TokenKind::Comma | TokenKind::RightParen);
        let value = if ends { None } else { Some(self.setting_value()?) };
        Ok(Setting { namespace: None, name, value })
    }

    fn explainable(&mut self) -> SqlResult<Statement> {
        match self.peek() {
            TokenKind::Keyword(Kw::Create) => self.create(),
            TokenKind::Keyword(Kw::Execute) => self.execute().map(utility),
            TokenKind::Keyword(Kw::Declare) => self.declare().map(utility),
            TokenKind::Keyword(Kw::Refresh) => self.refresh(),
            _ => self.preparable(),
        }
    }

    // Transactions.

    fn transaction(&mut self, keyword: Kw) -> SqlResult<Utility> {
        self.advance();
        match keyword {
            Kw::Begin => {
                self.work();
                let (modes, system_time) = self.transaction_modes(false)?;
                Ok(Utility::Begin { modes, system_time, is_start: false })
            }
            Kw::Start => {
                self.expect_kw(Kw::Transaction)?;
                let (modes, system_time) = self.transaction_modes(false)?;
                Ok(Utility::Begin { modes, system_time, is_start: true })
            }
            Kw::Commit if self.take_kw(Kw::Prepared) => Ok(Utility::CommitPrepared(self.string()?)),
            Kw::Commit | Kw::End => {
                self.work();
                Ok(Utility::Commit { chain: self.chain_clause()? })
            }
            Kw::Rollback if self.take_kw(Kw::Prepared) => Ok(Utility::RollbackPrepared(self.string()?)),
            Kw::Rollback | Kw::Abort => {
                self.work();
                if keyword == Kw::Rollback && self.take_kw(Kw::To) {
                    self.take_kw(Kw::Savepoint);
                    return Ok(Utility::RollbackTo(self.name()?));
                }
                Ok(Utility::Rollback { chain: self.chain_clause()? })
            }
            Kw::Savepoint => Ok(Utility::Savepoint(self.name()?)),
            _ => {
                self.take_kw(Kw::Savepoint);
                Ok(Utility::Release(self.name()?))
            }
        }
    }

    fn work(&mut self) {
        let _ = self.take_kw(Kw::Work) || self.take_kw(Kw::Transaction);
    }

    fn chain_clause(&mut self) -> SqlResult<bool> {
        if !self.take_kw(Kw::And) {
            return Ok(false);
        }
        let chain = !self.take_kw(Kw::No);
        self.expect_kw(Kw::Chain)?;
        Ok(chain)
    }

    /// `ISOLATION LEVEL …`, `READ ONLY`, `DEFERRABLE`, `AS OF SYSTEM TIME …`, with or without commas between them.
    fn transaction_modes(&mut self, required: bool) -> SqlResult<(Vec<TransactionMode>, Option<SourceExpr>)> {
        let mut modes = Vec::new();
        let mut system_time = None;
        loop {
            if system_time.is_none()
                && let Some(written) = self.system_time()?
            {
                system_time = Some(written);
                self.take(TokenKind::Comma);
                continue;
            }
            let mode = if self.take_kws(&[Kw::Isolation, Kw::Level]) {
                TransactionMode::Isolation(self.isolation_level()?)
            } else if self.take_kws(&[Kw::Read, Kw::Only]) {
                TransactionMode::ReadOnly(true)
            } else if self.take_kws(&[Kw::Read, Kw::Write]) {
                TransactionMode::ReadOnly(false)
            } else if self.take_kw(Kw::Deferrable) {
                TransactionMode::Deferrable(true)
            } else if self.take_kws(&[Kw::Not, Kw::Deferrable]) {
                TransactionMode::Deferrable(false)
            } else if required && modes.is_empty() && system_time.is_none() {
                return Err(self.unexpected());
            } else {
                return Ok((modes, system_time));
            };
            modes.push(mode);
            let words = [Kw::Isolation, Kw::Read, Kw::Deferrable, Kw::Not, Kw::As];
            if self.take(TokenKind::Comma) && !self.is_one_of(&words) {
                return Err(self.unexpected());
            }
        }
    }

    fn isolation_level(&mut self) -> SqlResult<IsolationLevel> {
        if self.take_kw(Kw::Serializable) {
            return Ok(IsolationLevel::Serializable);
        }
        if self.take_kws(&[Kw::Repeatable, Kw::Read]) {
            return Ok(IsolationLevel::RepeatableRead);
        }
        if self.take_kws(&[Kw::Read, Kw::Committed]) {
            return Ok(IsolationLevel::ReadCommitted);
        }
        self.expect_kws(&[Kw::Read, Kw::Uncommitted])?;
        Ok(IsolationLevel::ReadUncommitted)
    }

    // Settings.

    fn set_statement(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Set)?;
        if self.take_kw(Kw::Constraints) {
            let names = if self.take_kw(Kw::All) { Vec::new() } else { self.list(Self::object_name)? };
            let deferred = self.take_kw(Kw::Deferred);
            if !deferred {
                self.expect_kw(Kw::Immediate)?;
            }
            return Ok(Utility::SetConstraints { names, deferred });
        }
        if self.take_kws(&[Kw::Transaction, Kw::Snapshot]) {
            return Ok(Utility::SetTransactionSnapshot(self.string()?));
        }
        if self.take_kw(Kw::Transaction) {
            let (modes, system_time) = self.transaction_modes(true)?;
            return Ok(Utility::SetTransaction { modes, system_time });
        }
        if self.take_kws(&[Kw::Session, Kw::Characteristics, Kw::As, Kw::Transaction]) {
            let (modes, system_time) = self.transaction_modes(true)?;
            if system_time.is_some() {
                let what = "AS OF SYSTEM TIME for all transactions of a session";
                return Err(crate::SqlError::not_supported(what));
            }
            return Ok(Utility::SetSessionCharacteristics { modes });
        }
        let mut local = self.take_kw(Kw::Local);
        if local && self.take_kw(Kw::Transaction) {
            let (modes, system_time) = self.transaction_modes(true)?;
            return Ok(Utility::SetTransaction { modes, system_time });
        }
        let session_authorization = self.is(Kw::Session) && self.is_at(1, Kw::Authorization);
        if !local && self.is(Kw::Session) && !session_authorization {
            self.advance();
            local = false;
        }
        let mut variable = self.set_variable()?;
        variable.local = local;
        Ok(Utility::Set(variable))
    }

    /// `SET name …` or `RESET name`, as ALTER … takes them.
    pub(super) fn set_or_reset(&mut self) -> SqlResult<SetVariable> {
        if self.take_kw(Kw::Reset) {
            let name = self.reset_name()?.unwrap_or_else(|| "all".into());
            return Ok(SetVariable { local: false, name, value: None });
        }
        self.expect_kw(Kw::Set)?;
        if self.is(Kw::From) {
            return Err(self.unexpected());
        }
        self.set_variable()
    }

    /// What follows SET [LOCAL | SESSION].
    fn set_variable(&mut self) -> SqlResult<SetVariable> {
        let variable =
            |name: &str, value: Option<Vec<SettingValue>>| SetVariable { local: false, name: name.into(), value };
        if self.take_kws(&[Kw::Time, Kw::Zone]) {
            return Ok(variable("timezone", self.zone_value()?));
        }
        if self.take_kws(&[Kw::Session, Kw::Authorization]) {
            let value = if self.take_kw(Kw::Default) { None } else { Some(vec![self.setting_value()?]) };
            return Ok(variable("session_authorization", value));
        }
        if self.take_kws(&[Kw::Xml, Kw::Option]) {
            let value = self.label()?.text;
            return Ok(variable("xmloption", Some(vec![SettingValue::Word(value)])));
        }
        let special = match self.peek() {
            TokenKind::Keyword(Kw::Names) => "client_encoding",
            TokenKind::Keyword(Kw::Schema) => "search_path",
            TokenKind::Keyword(Kw::Role) => "role",
            TokenKind::Keyword(Kw::Catalog) => {
                return Err(crate::SqlError::new("0A000", "current database cannot be changed"));
            }
            _ => "",
        };
        let plain_follows =
            self.peek_at(1) == TokenKind::Operator || self.is_at(1, Kw::To) || self.peek_at(1) == TokenKind::Dot;
        if !special.is_empty() && !plain_follows {
            self.advance();
            let ends = matches!(self.peek(), TokenKind::End | TokenKind::Semicolon);
            let value = if ends || self.take_kw(Kw::Default) { None } else { Some(vec![self.setting_value()?]) };
            return Ok(variable(special, value));
        }
        let name = self.variable_name()?;
        if !self.take_operator("=") {
            self.expect_kw(Kw::To)?;
        }
        let value = if self.take_kw(Kw::Default) { None } else { Some(self.list(Self::setting_value)?) };
        Ok(variable(&name, value))
    }

    /// `'UTC'`, `utc`, `-7`, `INTERVAL '…' HOUR TO MINUTE`, `LOCAL`, `DEFAULT`.
    fn zone_value(&mut self) -> SqlResult<Option<Vec<SettingValue>>> {
        if self.take_kw(Kw::Local) || self.take_kw(Kw::Default) {
            return Ok(None);
        }
        if !self.take_kw(Kw::Interval) {
            return Ok(Some(vec![self.setting_value()?]));
        }
        if self.take(TokenKind::LeftParen) {
            self.small_integer()?;
            self.expect(TokenKind::RightParen)?;
        }
        let interval = self.string()?;
        self.interval_fields()?;
        // The form in which PostgreSQL, too, hands an interval on to the setting.
        Ok(Some(vec![SettingValue::Text(format!("INTERVAL '{interval}'"))]))
    }

    /// `name`, `prefix.name`, lower case.
    fn variable_name(&mut self) -> SqlResult<String> {
        let mut name = self.name()?.text;
        while self.take(TokenKind::Dot) {
            name.push('.');
            name.push_str(&self.label()?.text);
        }
        name.make_ascii_lowercase();
        Ok(name)
    }

    fn reset(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Reset)?;
        Ok(Utility::Reset(self.reset_name()?))
    }

    fn reset_name(&mut self) -> SqlResult<Option<String>> {
        self.special_variable_name()
    }

    fn show(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Show)?;
        Ok(Utility::Show(self.special_variable_name()?))
    }

    /// The name of a variable, or SQL's words for one; `None` for ALL.
    fn special_variable_name(&mut self) -> SqlResult<Option<String>> {
        if self.take_kw(Kw::All) {
            return Ok(None);
        }
        if self.take_kws(&[Kw::Time, Kw::Zone]) {
            return Ok(Some("timezone".into()));
        }
        if self.take_kws(&[Kw::Transaction, Kw::Isolation, Kw::Level]) {
            return Ok(Some("transaction_isolation".into()));
        }
        if self.take_kws(&[Kw::Session, Kw::Authorization]) {
            return Ok(Some("session_authorization".into()));
        }
        self.variable_name().map(Some)
    }

    // Prepared statements and cursors.

    fn prepare(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Prepare)?;
        if self.is(Kw::Transaction) && self.peek_at(1) != TokenKind::LeftParen && !self.is_at(1, Kw::As) {
            self.advance();
            return Ok(Utility::PrepareTransaction(self.string()?));
        }
        let name = self.name()?;
        let types = if self.peek() == TokenKind::LeftParen { self.parenthesized(Self::type_name)? } else { Vec::new() };
        self.expect_kw(Kw::As)?;
        Ok(Utility::Prepare { name, types, statement: self.preparable()? })
    }

    fn execute(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Execute)?;
        let name = self.name()?;
        let args = if self.peek() == TokenKind::LeftParen { self.parenthesized(Self::expression)? } else { Vec::new() };
        Ok(Utility::Execute { name, args })
    }

    fn deallocate(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Deallocate)?;
        self.take_kw(Kw::Prepare);
        let name = if self.take_kw(Kw::All) { None } else { Some(self.name()?) };
        Ok(Utility::Deallocate(name))
    }

    fn declare(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Declare)?;
        let name = self.name()?;
        let (mut binary, mut scroll, mut hold) = (false, None, false);
        loop {
            if self.take_kw(Kw::Binary) {
                binary = true;
            } else if self.take_kws(&[Kw::No, Kw::Scroll]) {
                scroll = Some(false);
            } else if self.take_kw(Kw::Scroll) {
                scroll = Some(true);
            } else if !self.take_kw(Kw::Insensitive) && !self.take_kw(Kw::Asensitive) {
                break;
            }
        }
        self.expect_kw(Kw::Cursor)?;
        if self.take_kws(&[Kw::With, Kw::Hold]) {
            hold = true;
        } else {
            self.take_kws(&[Kw::Without, Kw::Hold]);
        }
        self.expect_kw(Kw::For)?;
        let at = self.at();
        let query = Box::new(self.query()?);
        Ok(Utility::DeclareCursor(DeclareCursor { name, binary, scroll, hold, query, at }))
    }

    fn fetch(&mut self) -> SqlResult<Utility> {
        let is_move = self.advance().kind == TokenKind::Keyword(Kw::Move);
        let direction = self.fetch_direction()?;
        let _ = self.take_kw(Kw::From) || self.take_kw(Kw::In);
        Ok(Utility::Fetch(Fetch { cursor: self.name()?, direction, is_move }))
    }

    fn fetch_direction(&mut self) -> SqlResult<FetchDirection> {
        let TokenKind::Keyword(keyword) = self.peek() else {
            if self.peek() == TokenKind::Integer || self.is_operator("-") || self.is_operator("+") {
                return Ok(FetchDirection::Forward(self.signed_integer()?));
            }
            return Ok(FetchDirection::Forward(1));
        };
        // A cursor may be called `next`: the word is a direction only if a name follows.
        let alone = matches!(self.peek_at(1), TokenKind::End | TokenKind::Semicolon);
        if alone {
            return Ok(FetchDirection::Forward(1));
        }
        let direction = match keyword {
            Kw::Next => FetchDirection::Forward(1),
            Kw::Prior => FetchDirection::Backward(1),
            Kw::First => FetchDirection::Absolute(1),
            Kw::Last => FetchDirection::Absolute(-1),
            Kw::All => FetchDirection::Forward(i64::MAX),
            Kw::Absolute | Kw::Relative => {
                self.advance();
                let count = self.signed_integer()?;
                return Ok(if keyword == Kw::Absolute {
                    FetchDirection::Absolute(count)
                } else {
                    FetchDirection::Relative(count)
                });
            }
            Kw::Forward | Kw::Backward => {
                self.advance();
                let count = if self.take_kw(Kw::All) {
                    i64::MAX
                } else if self.peek() == TokenKind::Integer || self.is_operator("-") || self.is_operator("+") {
                    self.signed_integer()?
                } else {
                    1
                };
                return Ok(if keyword == Kw::Forward {
                    FetchDirection::Forward(count)
                } else {
                    FetchDirection::Backward(count)
                });
            }
            _ => return Ok(FetchDirection::Forward(1)),
        };
        self.advance();
        Ok(direction)
    }

    // Maintenance and the rest.

    fn maintenance(&mut self, keyword: Kw) -> SqlResult<Utility> {
        match keyword {
            Kw::Vacuum => self.vacuum(),
            Kw::Analyze | Kw::Analyse => self.analyze(),
            Kw::Cluster => self.cluster(),
            Kw::Reindex => self.reindex(),
            Kw::Lock => self.lock_table(),
            Kw::Checkpoint => {
                self.advance();
                Ok(Utility::Checkpoint)
            }
            Kw::Listen => {
                self.advance();
                Ok(Utility::Listen(self.name()?))
            }
            Kw::Unlisten => {
                self.advance();
                Ok(Utility::Unlisten(if self.take_operator("*") { None } else { Some(self.name()?) }))
            }
            Kw::Notify => {
                self.advance();
                let channel = self.name()?;
                let payload = if self.take(TokenKind::Comma) { Some(self.string()?) } else { None };
                Ok(Utility::Notify { channel, payload })
            }
            Kw::Discard => self.discard(),
            Kw::Do => self.do_block(),
            Kw::Call => {
                self.advance();
                let first = self.non_reserved()?;
                let name = self.attributes(first)?;
                let call = self.call(name)?;
                Ok(Utility::Call { name: call.name, args: call.args })
            }
            Kw::Load => {
                self.advance();
                Ok(Utility::Load(self.string()?))
            }
            Kw::Security => self.security_label(),
            _ => Err(self.unexpected()),
        }
    }

    fn vacuum(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Vacuum)?;
        let (mut full, mut analyze, mut verbose) = (false, false, false);
        if self.peek() == TokenKind::LeftParen {
            for option in self.parenthesized(Self::explain_option)? {
                let on = option.is_on();
                match option.name.as_str() {
                    "full" => full = on,
                    "analyze" => analyze = on,
                    "verbose" => verbose = on,
                    _ => {}
                }
            }
        } else {
            full = self.take_kw(Kw::Full);
            self.take_kw(Kw::Freeze);
            verbose = self.take_kw(Kw::Verbose);
            analyze = self.take_kw(Kw::Analyze) || self.take_kw(Kw::Analyse);
        }
        Ok(Utility::Vacuum { full, analyze, verbose, targets: self.maintenance_targets()? })
    }

    fn analyze(&mut self) -> SqlResult<Utility> {
        self.advance();
        let verbose = if self.peek() == TokenKind::LeftParen {
            self.parenthesized(Self::explain_option)?
                .iter()
                .any(|option| option.name.as_str() == "verbose" && option.is_on())
        } else {
            self.take_kw(Kw::Verbose)
        };
        Ok(Utility::Analyze { verbose, targets: self.maintenance_targets()? })
    }

    fn maintenance_targets(&mut self) -> SqlResult<Vec<MaintenanceTarget>> {
        if !self.could_be_name() {
            return Ok(Vec::new());
        }
        self.list(|parser| {
            let (table, _) = parser.relation_name()?;
            let columns =
                if parser.peek() == TokenKind::LeftParen { parser.parenthesized_names()? } else { Vec::new() };
            Ok(MaintenanceTarget { table, columns })
        })
    }

    fn cluster(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Cluster)?;
        if self.peek() == TokenKind::LeftParen {
            self.parenthesized(Self::explain_option)?;
        }
        self.take_kw(Kw::Verbose);
        if !self.could_be_name() {
            return Ok(Utility::Cluster { table: None, index: None });
        }
        let mut table = self.object_name()?;
        let mut index = None;
        if self.take_kw(Kw::On) {
            // CLUSTER index ON table, as it was written long ago.
            index = Some(std::mem::replace(&mut table, self.object_name()?).name);
        } else if self.take_kw(Kw::Using) {
            index = Some(self.name()?);
        }
        Ok(Utility::Cluster { table: Some(table), index })
    }

    fn reindex(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Reindex)?;
        let mut concurrently = false;
        if self.peek() == TokenKind::LeftParen {
            let options = self.parenthesized(Self::explain_option)?;
            concurrently = options.iter().any(|option| option.name.as_str() == "concurrently" && option.is_on());
        }
        let kind = match self.advance().kind {
            TokenKind::Keyword(Kw::Index) => ReindexKind::Index,
            TokenKind::Keyword(Kw::Table) => ReindexKind::Table,
            TokenKind::Keyword(Kw::Schema) => ReindexKind::Schema,
            TokenKind::Keyword(Kw::Database) => ReindexKind::Database,
            TokenKind::Keyword(Kw::System) => ReindexKind::System,
            _ => {
                self.back_to(self.mark() - 1);
                return Err(self.unexpected());
            }
        };
        concurrently |= self.take_kw(Kw::Concurrently);
        let name = if self.could_be_name() { Some(self.object_name()?) } else { None };
        Ok(Utility::Reindex { kind, name, concurrently })
    }

    fn lock_table(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Lock)?;
        self.take_kw(Kw::Table);
        let tables = self.list(|parser| parser.relation_name().map(|(name, _)| name))?;
        let mut mode = TableLockMode::AccessExclusive;
        if self.take_kw(Kw::In) {
            mode = self.table_lock_mode()?;
            self.expect_kw(Kw::Mode)?;
        }
        Ok(Utility::LockTable { tables, mode, nowait: self.take_kw(Kw::Nowait) })
    }

    fn table_lock_mode(&mut self) -> SqlResult<TableLockMode> {
        let modes: [(&[Kw], TableLockMode); 8] = [
            (&[Kw::Access, Kw::Share], TableLockMode::AccessShare),
            (&[Kw::Row, Kw::Share], TableLockMode::RowShare),
            (&[Kw::Row, Kw::Exclusive], TableLockMode::RowExclusive),
            (&[Kw::Share, Kw::Update, Kw::Exclusive], TableLockMode::ShareUpdateExclusive),
            (&[Kw::Share, Kw::Row, Kw::Exclusive], TableLockMode::ShareRowExclusive),
            (&[Kw::Share], TableLockMode::Share),
            (&[Kw::Exclusive], TableLockMode::Exclusive),
            (&[Kw::Access, Kw::Exclusive], TableLockMode::AccessExclusive),
        ];
        let found = modes.into_iter().find(|(words, _)| self.take_kws(words));
        found.map(|(_, mode)| mode).ok_or_else(|| self.unexpected())
    }

    fn discard(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Discard)?;
        let what = match self.peek() {
            TokenKind::Keyword(Kw::All) => Discard::All,
            TokenKind::Keyword(Kw::Plans) => Discard::Plans,
            TokenKind::Keyword(Kw::Sequences) => Discard::Sequences,
            TokenKind::Keyword(Kw::Temp | Kw::Temporary) => Discard::Temporary,
            _ => return Err(self.unexpected()),
        };
        self.advance();
        Ok(Utility::Discard(what))
    }

    fn do_block(&mut self) -> SqlResult<Utility> {
        self.expect_kw(Kw::Do)?;
        let (mut language, mut body) = (None, None);
        loop {
            if self.take_kw(Kw::Language) {
                language = Some(self.non_reserved()?);
            } else if self.token().is_string() {
                body = Some(self.string()?);
            } else {
                let body = body.ok_or_else(|| self.unexpected())?;
                return Ok(Utility::Do { language, body });
            }
        }
    }

    fn security_label(&mut self) -> SqlResult<Utility> {
        self.expect_kws(&[Kw::Security, Kw::Label])?;
        let provider = if self.take_kw(Kw::For) {
            Some(if self.token().is_string() { self.string()? } else { self.non_reserved()?.text })
        } else {
            None
        };
        self.expect_kw(Kw::On)?;
        let object = self.object_reference()?;
        self.expect_kw(Kw::Is)?;
        let label = if self.take_kw(Kw::Null) { None } else { Some(self.string()?) };
        Ok(Utility::SecurityLabel { provider, object, label })
    }
}

impl Setting {
    /// Of an option that is on or off: on without a value.
    pub fn is_on(&self) -> bool {
        match &self.value {
            None => true,
            Some(value) => !matches!(value.to_text().to_ascii_lowercase().as_str(), "false" | "off" | "0" | "no"),
        }
    }
}

impl Explain {
    fn set(&mut self, option: Setting) {
        let on = option.is_on();
        match option.name.as_str() {
            "analyze" | "analyse" => self.analyze = on,
            "verbose" => self.verbose = on,
            "costs" => self.costs = on,
            "buffers" => self.buffers = on,
            "timing" => self.timing = on,
            "summary" => self.summary = Some(on),
            "settings" => self.settings = on,
            "wal" => self.wal = on,
            "format" => {
                let format = option.value.as_ref().map(|value| value.to_text().to_ascii_lowercase());
                match format.as_deref() {
                    Some("text") => self.format = ExplainFormat::Text,
                    Some("json") => self.format = ExplainFormat::Json,
                    Some("xml") => self.format = ExplainFormat::Xml,
                    Some("yaml") => self.format = ExplainFormat::Yaml,
                    _ => self.unknown = Some(option),
                }
            }
            _ => self.unknown = Some(option),
        }
    }
}
