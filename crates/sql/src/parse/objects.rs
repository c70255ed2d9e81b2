//! Statements about objects of any kind: DROP, TRUNCATE, COMMENT, GRANT.

use super::ast::*;
use super::cursor::Parser;
use super::ddl::{ddl, not_supported};
use super::keyword::Kw;
use super::lexer::TokenKind;
use crate::SqlResult;

impl Parser<'_> {
    pub(super) fn drop_statement(&mut self) -> SqlResult<Statement> {
        self.expect_kw(Kw::Drop)?;
        if self.is(Kw::Owned) {
            self.skip_statement();
            return Ok(not_supported("DROP OWNED"));
        }
        let kind = self.object_kind()?;
        if kind == ObjectKind::Role && self.is(Kw::Mapping) {
            self.skip_statement();
            return Ok(not_supported("DROP USER MAPPING"));
        }
        if matches!(
            kind,
            ObjectKind::Cast
                | ObjectKind::Operator
                | ObjectKind::OperatorClass
                | ObjectKind::OperatorFamily
                | ObjectKind::Transform
                | ObjectKind::TextSearch
        ) {
            self.skip_statement();
            return Ok(not_supported("DROP of this kind of object"));
        }
        let concurrently = kind == ObjectKind::Index && self.take_kw(Kw::Concurrently);
        let if_exists = self.if_exists();
        let mut drop = DropObjects {
            kind,
            names: Vec::new(),
            member: None,
            if_exists,
            concurrently,
            behavior: DropBehavior::Restrict,
            force: false,
        };
        if matches!(kind, ObjectKind::Trigger | ObjectKind::Rule | ObjectKind::Policy) {
            drop.member = Some(self.name()?);
            self.expect_kw(Kw::On)?;
            drop.names = vec![self.object_name()?];
        } else {
            drop.names = self.list(|parser| {
                let name = parser.object_name()?;
                parser.routine_arguments(kind)?;
                Ok(name)
            })?;
        }
        if self.is(Kw::With) || self.peek() == TokenKind::LeftParen {
            self.take_kw(Kw::With);
            drop.force = self.parenthesized(Self::label)?.iter().any(|option| option.text == "force");
        }
        drop.behavior = self.drop_behavior();
        Ok(ddl(Ddl::Drop(drop)))
    }

    /// `(int, text)` after the name of a function: skipped.
    pub(super) fn routine_arguments(&mut self, kind: ObjectKind) -> SqlResult<()> {
        let is_routine =
            matches!(kind, ObjectKind::Function | ObjectKind::Procedure | ObjectKind::Aggregate | ObjectKind::Routine);
        if !is_routine || !self.take(TokenKind::LeftParen) {
            return Ok(());
        }
        let mut open = 1;
        while open > 0 {
            match self.advance().kind {
                TokenKind::LeftParen => open += 1,
                TokenKind::RightParen => open -= 1,
                TokenKind::End => return Err(self.unexpected()),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn drop_behavior(&mut self) -> DropBehavior {
        if self.take_kw(Kw::Cascade) {
            return DropBehavior::Cascade;
        }
        self.take_kw(Kw::Restrict);
        DropBehavior::Restrict
    }

    /// TABLE, MATERIALIZED VIEW, …
    pub(super) fn object_kind(&mut self) -> SqlResult<ObjectKind> {
        let TokenKind::Keyword(keyword) = self.peek() else { return Err(self.unexpected()) };
        let kind = match keyword {
            Kw::Table => ObjectKind::Table,
            Kw::View => ObjectKind::View,
            Kw::Materialized => {
                self.advance();
                ObjectKind::MaterializedView
            }
            Kw::Foreign if self.is_at(1, Kw::Data) => {
                self.expect_kws(&[Kw::Foreign, Kw::Data])?;
                ObjectKind::ForeignDataWrapper
            }
            Kw::Foreign => {
                self.advance();
                ObjectKind::ForeignTable
            }
            Kw::Index => ObjectKind::Index,
            Kw::Sequence => ObjectKind::Sequence,
            Kw::Schema => ObjectKind::Schema,
            Kw::Database => ObjectKind::Database,
            Kw::Role | Kw::User | Kw::Group => ObjectKind::Role,
            Kw::Type => ObjectKind::Type,
            Kw::Domain => ObjectKind::Domain,
            Kw::Extension => ObjectKind::Extension,
            Kw::Function => ObjectKind::Function,
            Kw::Procedure => ObjectKind::Procedure,
            Kw::Aggregate => ObjectKind::Aggregate,
            Kw::Routine => ObjectKind::Routine,
            Kw::Trigger => ObjectKind::Trigger,
            Kw::Rule => ObjectKind::Rule,
            Kw::Policy => ObjectKind::Policy,
            Kw::Column => ObjectKind::Column,
            Kw::Constraint => ObjectKind::Constraint,
            Kw::Cast => ObjectKind::Cast,
            Kw::Collation => ObjectKind::Collation,
            Kw::Conversion => ObjectKind::Conversion,
            Kw::Operator if self.is_at(1, Kw::Class) => {
                self.advance();
                ObjectKind::OperatorClass
            }
            Kw::Operator if self.is_at(1, Kw::Family) => {
                self.advance();
                ObjectKind::OperatorFamily
            }
            Kw::Operator => ObjectKind::Operator,
            Kw::Procedural => {
                self.advance();
                ObjectKind::Language
            }
            Kw::Language => ObjectKind::Language,
            Kw::Tablespace => ObjectKind::Tablespace,
            Kw::Publication => ObjectKind::Publication,
            Kw::Subscription => ObjectKind::Subscription,
            Kw::Statistics => ObjectKind::Statistics,
            Kw::Event => {
                self.advance();
                ObjectKind::EventTrigger
            }
            Kw::Access => {
                self.advance();
                ObjectKind::AccessMethod
            }
            Kw::Server => ObjectKind::Server,
            Kw::Transform => ObjectKind::Transform,
            Kw::Text => {
                self.expect_kws(&[Kw::Text, Kw::Search])?;
                ObjectKind::TextSearch
            }
            Kw::Large => {
                self.advance();
                ObjectKind::LargeObject
            }
            _ => return Err(self.unexpected()),
        };
        self.advance();
        Ok(kind)
    }

    pub(super) fn truncate(&mut self) -> SqlResult<Statement> {
        self.expect_kw(Kw::Truncate)?;
        self.take_kw(Kw::Table);
        let tables = self.list(|parser| parser.relation_name().map(|(name, _)| name))?;
        let restart_identity = self.take_kws(&[Kw::Restart, Kw::Identity]);
        if !restart_identity {
            self.take_kws(&[Kw::Continue, Kw::Identity]);
        }
        Ok(ddl(Ddl::Truncate(Truncate { tables, restart_identity, behavior: self.drop_behavior() })))
    }

    pub(super) fn comment(&mut self) -> SqlResult<Statement> {
        self.expect_kws(&[Kw::Comment, Kw::On])?;
        let object = self.object_reference()?;
        self.expect_kw(Kw::Is)?;
        let text = if self.take_kw(Kw::Null) { None } else { Some(self.string()?) };
        Ok(ddl(Ddl::Comment { object, text }))
    }

    /// `TABLE t`, `COLUMN t.c`, `CONSTRAINT c ON t`, …
    pub(super) fn object_reference(&mut self) -> SqlResult<ObjectReference> {
        let kind = self.object_kind()?;
        let mut member = None;
        let name = match kind {
            ObjectKind::Column => {
                let mut names = self.any_name()?;
                member = names.pop();
                if names.is_empty() {
                    return Err(self.error_at("column name must be qualified", self.at()));
                }
                self.object_name_from(names)?
            }
            ObjectKind::Constraint | ObjectKind::Trigger | ObjectKind::Rule | ObjectKind::Policy => {
                member = Some(self.name()?);
                self.expect_kw(Kw::On)?;
                if self.take_kw(Kw::Domain) {
                    let name = self.object_name()?;
                    return Ok(ObjectReference { kind: ObjectKind::DomainConstraint, name, member });
                }
                self.object_name()?
            }
            ObjectKind::Cast
            | ObjectKind::Operator
            | ObjectKind::OperatorClass
            | ObjectKind::OperatorFamily
            | ObjectKind::Transform => {
                let at = self.at();
                while !self.at_end() && !self.is(Kw::Is) && self.peek() != TokenKind::Semicolon {
                    self.advance();
                }
                ObjectName { database: None, schema: None, name: Name::new("", at) }
            }
            ObjectKind::LargeObject => {
                let at = self.at();
                ObjectName { database: None, schema: None, name: Name::new(self.number_text()?, at) }
            }
            _ => self.object_name()?,
        };
        self.routine_arguments(kind)?;
        Ok(ObjectReference { kind, name, member })
    }

    pub(super) fn grant(&mut self) -> SqlResult<Statement> {
        let revoke = !self.take_kw(Kw::Grant);
        if revoke {
            self.expect_kw(Kw::Revoke)?;
        }
        self.grant_body(revoke, false).map(|grant| ddl(Ddl::Grant(grant)))
    }

    /// After GRANT or REVOKE; `defaults`: in ALTER DEFAULT PRIVILEGES, whose objects are kinds.
    pub(super) fn grant_body(&mut self, revoke: bool, defaults: bool) -> SqlResult<Grant> {
        let mut grant = Grant {
            revoke,
            grant_option: false,
            privileges: Vec::new(),
            objects: None,
            grantees: Vec::new(),
            behavior: DropBehavior::Restrict,
        };
        if revoke {
            grant.grant_option =
                self.take_kws(&[Kw::Grant, Kw::Option, Kw::For]) || self.take_kws(&[Kw::Admin, Kw::Option, Kw::For]);
        }
        if self.take_kw(Kw::All) {
            self.take_kw(Kw::Privileges);
            if self.peek() == TokenKind::LeftParen {
                grant.privileges.push(("all".to_owned(), self.parenthesized_names()?));
            }
        } else {
            grant.privileges = self.list(|parser| {
                let mut privilege = parser.label()?.text;
                if privilege == "alter" && parser.take_kw(Kw::System) {
                    privilege.push_str(" system");
                }
                let columns =
                    if parser.peek() == TokenKind::LeftParen { parser.parenthesized_names()? } else { Vec::new() };
                Ok((privilege, columns))
            })?;
        }
        if self.take_kw(Kw::On) {
            grant.objects =
                Some(if defaults { GrantObjects::Default(self.plural_kind()?) } else { self.grant_objects()? });
        }
        self.expect_kw(if revoke { Kw::From } else { Kw::To })?;
        grant.grantees = self.list(|parser| {
            parser.take_kw(Kw::Group);
            parser.role()
        })?;
        if !revoke {
            grant.grant_option =
                self.take_kws(&[Kw::With, Kw::Grant, Kw::Option]) || self.take_kws(&[Kw::With, Kw::Admin, Kw::Option]);
        }
        if self.take_kws(&[Kw::Granted, Kw::By]) {
            self.role()?;
        }
        grant.behavior = self.drop_behavior();
        Ok(grant)
    }

    pub(super) fn plural_kind(&mut self) -> SqlResult<ObjectKind> {
        let kind = match self.peek() {
            TokenKind::Keyword(Kw::Tables) => ObjectKind::Table,
            TokenKind::Keyword(Kw::Sequences) => ObjectKind::Sequence,
            TokenKind::Keyword(Kw::Functions) => ObjectKind::Function,
            TokenKind::Keyword(Kw::Procedures) => ObjectKind::Procedure,
            TokenKind::Keyword(Kw::Routines) => ObjectKind::Routine,
            TokenKind::Keyword(Kw::Types) => ObjectKind::Type,
            TokenKind::Keyword(Kw::Schemas) => ObjectKind::Schema,
            _ => return Err(self.unexpected()),
        };
        self.advance();
        Ok(kind)
    }

    pub(super) fn grant_objects(&mut self) -> SqlResult<GrantObjects> {
        if self.take_kw(Kw::All) {
            let kind = self.plural_kind()?;
            self.expect_kws(&[Kw::In, Kw::Schema])?;
            return Ok(GrantObjects::AllInSchema(kind, self.name_list()?));
        }
        let explicit = self.is_one_of(&[
            Kw::Table,
            Kw::Sequence,
            Kw::Database,
            Kw::Domain,
            Kw::Foreign,
            Kw::Function,
            Kw::Procedure,
            Kw::Routine,
            Kw::Language,
            Kw::Large,
            Kw::Schema,
            Kw::Tablespace,
            Kw::Type,
        ]);
        let kind = if explicit { self.object_kind()? } else { ObjectKind::Table };
        if kind == ObjectKind::ForeignTable {
            self.expect_kw(Kw::Server)?;
        }
        let names = self.list(|parser| {
            if kind == ObjectKind::LargeObject {
                let at = parser.at();
                return Ok(ObjectName { database: None, schema: None, name: Name::new(parser.number_text()?, at) });
            }
            let name = parser.object_name()?;
            parser.routine_arguments(kind)?;
            Ok(name)
        })?;
        Ok(GrantObjects::Named(kind, names))
    }
}
