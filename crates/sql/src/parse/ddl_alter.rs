//! ALTER.

use super::ast::*;
use super::cursor::Parser;
use super::keyword::Kw;
use super::lexer::TokenKind;
use crate::SqlResult;

fn ddl(ddl: Ddl) -> Statement {
    Statement::Ddl(Box::new(ddl))
}

impl Parser<'_> {
    pub(super) fn alter(&mut self) -> SqlResult<Statement> {
        self.expect_kw(Kw::Alter)?;
        let TokenKind::Keyword(keyword) = self.peek() else { return Err(self.unexpected()) };
        match keyword {
            Kw::System => {
                self.advance();
                Ok(Statement::Utility(Box::new(Utility::AlterSystem(self.set_or_reset()?))))
            }
            Kw::Table | Kw::Index | Kw::View | Kw::Materialized => self.alter_relation(),
            Kw::Range => self.alter_range(),
            Kw::Foreign if self.is_at(1, Kw::Table) => self.alter_relation(),
            Kw::Sequence => self.alter_sequence(),
            Kw::Database => self.alter_database(),
            Kw::Role | Kw::User | Kw::Group if !self.is_at(1, Kw::Mapping) => self.alter_role(),
            Kw::Schema => self.alter_named(ObjectKind::Schema),
            Kw::Type | Kw::Domain => self.alter_type(),
            Kw::Default => self.alter_default_privileges(),
            Kw::Function
            | Kw::Procedure
            | Kw::Aggregate
            | Kw::Routine
            | Kw::Trigger
            | Kw::Rule
            | Kw::Policy
            | Kw::Collation
            | Kw::Conversion
            | Kw::Operator
            | Kw::Language
            | Kw::Procedural
            | Kw::Tablespace
            | Kw::Publication
            | Kw::Subscription
            | Kw::Statistics
            | Kw::Event
            | Kw::Extension
            | Kw::Server
            | Kw::Foreign
            | Kw::Text
            | Kw::Large
            | Kw::User => {
                let what = format!("ALTER {}", keyword.text().to_uppercase());
                self.skip_statement();
                Ok(Statement::NotSupported { what })
            }
            _ => Err(self.unexpected()),
        }
    }

    /// `ALTER RANGE 7 MOVE LEADER TO 2`: numbers as `cairn.ranges` and `cairn.nodes` have them.
    fn alter_range(&mut self) -> SqlResult<Statement> {
        self.advance();
        let range = self.signed_integer()?;
        self.expect_kw(Kw::Move)?;
        if !self.is_word("leader") {
            return Err(self.unexpected());
        }
        self.advance();
        self.expect_kw(Kw::To)?;
        let node = self.signed_integer()?;
        Ok(Statement::Utility(Box::new(Utility::MoveLeader { range, node })))
    }

    fn alter_relation(&mut self) -> SqlResult<Statement> {
        let kind = self.object_kind()?;
        if self.take_kws(&[Kw::All, Kw::In]) {
            self.skip_statement();
            return Ok(Statement::NotSupported { what: "ALTER … ALL IN TABLESPACE".into() });
        }
        let if_exists = self.if_exists();
        let (name, only) = self.relation_name()?;
        if self.take_kw(Kw::Rename) {
            return self.rename_relation(kind, name, if_exists);
        }
        if self.take_kws(&[Kw::Set, Kw::Schema]) {
            let object = ObjectReference { kind, name, member: None };
            return Ok(ddl(Ddl::SetSchema { object, if_exists, schema: self.name()? }));
        }
        let actions = self.list(Self::alter_table_action)?;
        Ok(ddl(Ddl::AlterTable(AlterTable { kind, name, if_exists, only, actions })))
    }

    fn rename_relation(&mut self, kind: ObjectKind, name: ObjectName, if_exists: bool) -> SqlResult<Statement> {
        let (kind, member) = if self.take_kw(Kw::To) {
            return Ok(ddl(Ddl::Rename(Rename {
                object: ObjectReference { kind, name, member: None },
                if_exists,
                to: self.name()?,
            })));
        } else if self.take_kw(Kw::Constraint) {
            (ObjectKind::Constraint, self.name()?)
        } else {
            self.take_kw(Kw::Column);
            (ObjectKind::Column, self.name()?)
        };
        self.expect_kw(Kw::To)?;
        let object = ObjectReference { kind, name, member: Some(member) };
        Ok(ddl(Ddl::Rename(Rename { object, if_exists, to: self.name()? })))
    }

    fn alter_table_action(&mut self) -> SqlResult<AlterTableAction> {
        let TokenKind::Keyword(keyword) = self.peek() else {
            if self.is_word("split") {
                return self.split_at();
            }
            return Err(self.unexpected());
        };
        match keyword {
            Kw::Add => {
                self.advance();
                if self.begins_table_constraint() {
                    return self.table_constraint().map(AlterTableAction::AddConstraint);
                }
                self.take_kw(Kw::Column);
                let if_not_exists = self.if_not_exists();
                Ok(AlterTableAction::AddColumn { if_not_exists, column: self.column_definition()? })
            }
            Kw::Drop => self.alter_table_drop(),
            Kw::Alter => self.alter_column_or_constraint(),
            Kw::Validate => {
                self.expect_kws(&[Kw::Validate, Kw::Constraint])?;
                Ok(AlterTableAction::ValidateConstraint { name: self.name()? })
            }
            Kw::Owner => {
                self.expect_kws(&[Kw::Owner, Kw::To])?;
                Ok(AlterTableAction::OwnerTo(self.role()?))
            }
            Kw::Set => self.alter_table_set(),
            Kw::Reset => {
                self.advance();
                Ok(AlterTableAction::ResetOptions(self.settings()?))
            }
            Kw::Cluster => {
                self.expect_kws(&[Kw::Cluster, Kw::On])?;
                self.name()?;
                Ok(AlterTableAction::NoEffect("CLUSTER ON"))
            }
            Kw::Replica => {
                self.expect_kws(&[Kw::Replica, Kw::Identity])?;
                if self.take_kws(&[Kw::Using, Kw::Index]) {
                    self.name()?;
                } else {
                    self.label()?;
                }
                Ok(AlterTableAction::NoEffect("REPLICA IDENTITY"))
            }
            _ => self.alter_table_unsupported(keyword),
        }
    }

    fn alter_table_unsupported(&mut self, keyword: Kw) -> SqlResult<AlterTableAction> {
        let what = match keyword {
            Kw::Attach => "ATTACH PARTITION",
            Kw::Detach => "DETACH PARTITION",
            Kw::Inherit => "INHERIT",
            Kw::No => "NO INHERIT",
            Kw::Enable => "ENABLE",
            Kw::Disable => "DISABLE",
            Kw::Force => "FORCE ROW LEVEL SECURITY",
            Kw::Of => "OF",
            Kw::Not => "NOT OF",
            Kw::Options => "OPTIONS",
            Kw::Depends => "DEPENDS ON EXTENSION",
            _ => return Err(self.unexpected()),
        };
        let mut open = 0;
        loop {
            match self.peek() {
                TokenKind::End | TokenKind::Semicolon => break,
                TokenKind::Comma if open == 0 => break,
                TokenKind::LeftParen => open += 1,
                TokenKind::RightParen => open -= 1,
                _ => {}
            }
            self.advance();
        }
        Ok(AlterTableAction::NotSupported(what))
    }

    fn split_at(&mut self) -> SqlResult<AlterTableAction> {
        self.advance();
        if !self.take_kw(Kw::At) {
            return Err(self.unexpected());
        }
        self.expect_kw(Kw::Values)?;
        let mut rows = vec![self.parenthesized(Self::expression)?];
        while self.peek() == TokenKind::Comma && self.peek_at(1) == TokenKind::LeftParen {
            self.advance();
            rows.push(self.parenthesized(Self::expression)?);
        }
        Ok(AlterTableAction::SplitAt(rows))
    }

    fn alter_table_drop(&mut self) -> SqlResult<AlterTableAction> {
        self.expect_kw(Kw::Drop)?;
        if self.take_kw(Kw::Constraint) {
            let if_exists = self.if_exists();
            let name = self.name()?;
            return Ok(AlterTableAction::DropConstraint { name, if_exists, behavior: self.drop_behavior() });
        }
        self.take_kw(Kw::Column);
        let if_exists = self.if_exists();
        let name = self.name()?;
        Ok(AlterTableAction::DropColumn { name, if_exists, behavior: self.drop_behavior() })
    }

    fn alter_column_or_constraint(&mut self) -> SqlResult<AlterTableAction> {
        self.expect_kw(Kw::Alter)?;
        if self.take_kw(Kw::Constraint) {
            let name = self.name()?;
            return Ok(AlterTableAction::AlterConstraint { name, deferral: self.deferral()? });
        }
        self.take_kw(Kw::Column);
        if self.peek() == TokenKind::Integer {
            // ALTER INDEX … ALTER COLUMN 1 SET STATISTICS n
            let at = self.at();
            let name = Name::new(self.number_text()?, at);
            return Ok(AlterTableAction::AlterColumn { name, change: self.column_change()? });
        }
        let name = self.name()?;
        Ok(AlterTableAction::AlterColumn { name, change: self.column_change()? })
    }

    fn column_change(&mut self) -> SqlResult<ColumnChange> {
        if self.is(Kw::Type) || self.is(Kw::Set) && self.is_at(1, Kw::Data) {
            if self.take_kw(Kw::Set) {
                self.advance();
            }
            self.expect_kw(Kw::Type)?;
            let ty = self.type_name()?;
            let collation = if self.take_kw(Kw::Collate) { Some(self.any_name()?) } else { None };
            let using = if self.take_kw(Kw::Using) { Some(self.source_expression()?) } else { None };
            return Ok(ColumnChange::SetType { ty, collation, using });
        }
        if self.take_kws(&[Kw::Add]) {
            self.expect_kw(Kw::Generated)?;
            let always = self.generated_when()?;
            self.expect_kws(&[Kw::As, Kw::Identity])?;
            return Ok(ColumnChange::AddIdentity { always, options: self.parenthesized_sequence_options()? });
        }
        if self.take_kw(Kw::Drop) {
            return self.column_drop();
        }
        if self.is(Kw::Restart) {
            return self.identity_changes();
        }
        if self.take_kw(Kw::Reset) {
            self.settings()?;
            return Ok(ColumnChange::NoEffect("RESET"));
        }
        if self.is(Kw::Set)
            && self.is_one_of_at(
                1,
                &[
                    Kw::Generated,
                    Kw::Increment,
                    Kw::Minvalue,
                    Kw::Maxvalue,
                    Kw::No,
                    Kw::Start,
                    Kw::Restart,
                    Kw::Cache,
                    Kw::Cycle,
                ],
            )
        {
            return self.identity_changes();
        }
        self.expect_kw(Kw::Set)?;
        if self.take_kw(Kw::Default) {
            return self.source_expression().map(ColumnChange::SetDefault);
        }
        if self.take_kws(&[Kw::Not, Kw::Null]) {
            return Ok(ColumnChange::SetNotNull);
        }
        if self.take_kw(Kw::Statistics) {
            self.signed_integer()?;
            return Ok(ColumnChange::NoEffect("SET STATISTICS"));
        }
        if self.is_one_of(&[Kw::Storage, Kw::Compression]) {
            self.advance();
            self.label()?;
            return Ok(ColumnChange::NoEffect("SET STORAGE"));
        }
        self.settings()?;
        Ok(ColumnChange::NoEffect("SET"))
    }

    fn is_one_of_at(&self, ahead: usize, keywords: &[Kw]) -> bool {
        keywords.iter().any(|&keyword| self.is_at(ahead, keyword))
    }

    fn column_drop(&mut self) -> SqlResult<ColumnChange> {
        if self.take_kw(Kw::Default) {
            return Ok(ColumnChange::DropDefault);
        }
        if self.take_kw(Kw::Identity) {
            return Ok(ColumnChange::DropIdentity { if_exists: self.if_exists() });
        }
        if self.take_kw(Kw::Expression) {
            return Ok(ColumnChange::DropExpression { if_exists: self.if_exists() });
        }
        self.expect_kws(&[Kw::Not, Kw::Null])?;
        Ok(ColumnChange::DropNotNull)
    }

    /// `SET GENERATED …`, `SET increment …`, `RESTART …`, any number of them.
    fn identity_changes(&mut self) -> SqlResult<ColumnChange> {
        let (mut always, mut options) = (None, Vec::new());
        loop {
            if self.is(Kw::Restart) {
                options.extend(self.sequence_option()?);
            } else if self.take_kw(Kw::Set) {
                if self.take_kw(Kw::Generated) {
                    always = Some(self.generated_when()?);
                } else {
                    options.push(self.sequence_option()?.ok_or_else(|| self.unexpected())?);
                }
            } else {
                return Ok(ColumnChange::SetIdentity { always, options });
            }
        }
    }

    fn alter_table_set(&mut self) -> SqlResult<AlterTableAction> {
        self.expect_kw(Kw::Set)?;
        if self.peek() == TokenKind::LeftParen {
            return Ok(AlterTableAction::SetOptions(self.settings()?));
        }
        if self.take_kw(Kw::Tablespace) {
            return Ok(AlterTableAction::SetTablespace(self.name()?));
        }
        if self.take_kw(Kw::Logged) {
            return Ok(AlterTableAction::SetLogged(true));
        }
        if self.take_kw(Kw::Unlogged) {
            return Ok(AlterTableAction::SetLogged(false));
        }
        if self.take_kws(&[Kw::Access, Kw::Method]) {
            self.name()?;
            return Ok(AlterTableAction::NoEffect("SET ACCESS METHOD"));
        }
        self.expect_kw(Kw::Without)?;
        if !self.take_kw(Kw::Cluster) {
            self.expect_kw(Kw::Oids)?;
        }
        Ok(AlterTableAction::NoEffect("SET WITHOUT"))
    }

    fn alter_sequence(&mut self) -> SqlResult<Statement> {
        self.expect_kw(Kw::Sequence)?;
        let if_exists = self.if_exists();
        let name = self.object_name()?;
        if self.is_one_of(&[Kw::Rename, Kw::Owner]) || self.is(Kw::Set) {
            return self.alter_object(ObjectReference { kind: ObjectKind::Sequence, name, member: None }, if_exists);
        }
        let options = self.sequence_options()?;
        if options.is_empty() {
            return Err(self.unexpected());
        }
        Ok(ddl(Ddl::AlterSequence { name, if_exists, options }))
    }

    /// `RENAME TO`, `OWNER TO`, `SET SCHEMA`, which most objects have.
    fn alter_object(&mut self, object: ObjectReference, if_exists: bool) -> SqlResult<Statement> {
        if self.take_kw(Kw::Rename) {
            self.expect_kw(Kw::To)?;
            return Ok(ddl(Ddl::Rename(Rename { object, if_exists, to: self.name()? })));
        }
        if self.take_kw(Kw::Owner) {
            self.expect_kw(Kw::To)?;
            return Ok(ddl(Ddl::OwnerTo { object, owner: self.role()? }));
        }
        self.expect_kw(Kw::Set)?;
        if self.is(Kw::Logged) || self.is(Kw::Unlogged) {
            let options = self.sequence_options()?;
            return Ok(ddl(Ddl::AlterSequence { name: object.name, if_exists, options }));
        }
        self.expect_kw(Kw::Schema)?;
        Ok(ddl(Ddl::SetSchema { object, if_exists, schema: self.name()? }))
    }

    fn alter_named(&mut self, kind: ObjectKind) -> SqlResult<Statement> {
        self.advance();
        let name = self.object_name()?;
        self.alter_object(ObjectReference { kind, name, member: None }, false)
    }

    fn alter_database(&mut self) -> SqlResult<Statement> {
        self.expect_kw(Kw::Database)?;
        let name = self.name()?;
        if self.is_one_of(&[Kw::Rename, Kw::Owner]) {
            let name = ObjectName { database: None, schema: None, name };
            return self.alter_object(ObjectReference { kind: ObjectKind::Database, name, member: None }, false);
        }
        if self.is(Kw::Set) && self.is_at(1, Kw::Tablespace) {
            self.skip_statement();
            return Ok(Statement::NotSupported { what: "ALTER DATABASE SET TABLESPACE".into() });
        }
        if self.is_one_of(&[Kw::Set, Kw::Reset]) {
            let change = DatabaseChange::Set(self.set_or_reset()?);
            return Ok(ddl(Ddl::AlterDatabase { name, change }));
        }
        self.take_kw(Kw::With);
        let change = DatabaseChange::Options(self.database_options()?);
        Ok(ddl(Ddl::AlterDatabase { name, change }))
    }

    fn alter_role(&mut self) -> SqlResult<Statement> {
        let is_group = self.is(Kw::Group);
        self.advance();
        let name = if self.is(Kw::All) {
            let at = self.at();
            self.advance();
            RoleName::Named(Name::new("all", at))
        } else {
            self.role()?
        };
        if is_group && self.is_one_of(&[Kw::Add, Kw::Drop]) {
            self.skip_statement();
            return Ok(Statement::NotSupported { what: "ALTER GROUP".into() });
        }
        if self.take_kw(Kw::Rename) {
            self.expect_kw(Kw::To)?;
            let RoleName::Named(name) = name else { return Err(self.unexpected()) };
            let name = ObjectName { database: None, schema: None, name };
            let object = ObjectReference { kind: ObjectKind::Role, name, member: None };
            return Ok(ddl(Ddl::Rename(Rename { object, if_exists: false, to: self.non_reserved()? })));
        }
        let database = if self.take_kws(&[Kw::In, Kw::Database]) { Some(self.name()?) } else { None };
        if database.is_some() || self.is_one_of(&[Kw::Set, Kw::Reset]) {
            let change = RoleChange::Set { database, variable: self.set_or_reset()? };
            return Ok(ddl(Ddl::AlterRole(AlterRole { name, change })));
        }
        self.take_kw(Kw::With);
        let change = RoleChange::Options(self.role_options()?);
        Ok(ddl(Ddl::AlterRole(AlterRole { name, change })))
    }

    fn alter_type(&mut self) -> SqlResult<Statement> {
        let kind = self.object_kind()?;
        let name = self.object_name()?;
        if self.take_kws(&[Kw::Add, Kw::Value]) {
            return self.add_enum_value(name);
        }
        if self.take_kws(&[Kw::Rename, Kw::Value]) {
            let from = self.string()?;
            self.expect_kw(Kw::To)?;
            let change = EnumChange::Rename { from, to: self.string()? };
            return Ok(ddl(Ddl::AlterEnum(AlterEnum { name, change })));
        }
        let simple = self.is(Kw::Owner)
            || self.is(Kw::Rename) && self.is_at(1, Kw::To)
            || self.is(Kw::Set) && self.is_at(1, Kw::Schema);
        if simple {
            return self.alter_object(ObjectReference { kind, name, member: None }, false);
        }
        self.skip_statement();
        let what = if kind == ObjectKind::Type { "ALTER TYPE of a composite type" } else { "ALTER DOMAIN" };
        Ok(Statement::NotSupported { what: what.into() })
    }

    fn add_enum_value(&mut self, name: ObjectName) -> SqlResult<Statement> {
        let if_not_exists = self.if_not_exists();
        let label = self.string()?;
        let before = if self.take_kw(Kw::Before) { Some(self.string()?) } else { None };
        let after = if before.is_none() && self.take_kw(Kw::After) { Some(self.string()?) } else { None };
        let change = EnumChange::Add { label, if_not_exists, before, after };
        Ok(ddl(Ddl::AlterEnum(AlterEnum { name, change })))
    }

    fn alter_default_privileges(&mut self) -> SqlResult<Statement> {
        self.expect_kws(&[Kw::Default, Kw::Privileges])?;
        loop {
            if self.take_kw(Kw::For) {
                let _ = self.take_kw(Kw::Role) || self.take_kw(Kw::User);
                self.list(Self::role)?;
            } else if self.take_kws(&[Kw::In, Kw::Schema]) {
                self.name_list()?;
            } else {
                break;
            }
        }
        let revoke = !self.take_kw(Kw::Grant);
        if revoke {
            self.expect_kw(Kw::Revoke)?;
        }
        let grant = self.grant_body(revoke, true)?;
        Ok(ddl(Ddl::Grant(grant)))
    }
}
