//! Statements that change the catalog.

use super::{At, Direction, DropBehavior, Expr, Name, ObjectName, Setting, SourceExpr, SourceQuery, TypeName};
pub use crate::catalog::ReferentialAction;

#[derive(Clone, Debug)]
pub enum Ddl {
    CreateTable(CreateTable),
    CreateTableAs(CreateTableAs),
    CreateIndex(CreateIndex),
    CreateView(CreateView),
    CreateSequence(CreateSequence),
    CreateSchema(CreateSchema),
    CreateDatabase(CreateDatabase),
    CreateRole(CreateRole),
    CreateExtension { name: Name, if_not_exists: bool },
    CreateEnum { name: ObjectName, labels: Vec<String> },
    CreateDomain(CreateDomain),
    AlterTable(AlterTable),
    AlterSequence { name: ObjectName, if_exists: bool, options: Vec<SequenceOption> },
    AlterDatabase { name: Name, change: DatabaseChange },
    AlterRole(AlterRole),
    AlterEnum(AlterEnum),
    Rename(Rename),
    SetSchema { object: ObjectReference, if_exists: bool, schema: Name },
    OwnerTo { object: ObjectReference, owner: RoleName },
    Drop(DropObjects),
    Truncate(Truncate),
    Comment { object: ObjectReference, text: Option<String> },
    Grant(Grant),
    RefreshMaterializedView { name: ObjectName, concurrently: bool, with_data: bool },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    #[default]
    Permanent,
    Temporary,
    Unlogged,
}

#[derive(Clone, Debug)]
pub struct CreateTable {
    pub name: ObjectName,
    pub if_not_exists: bool,
    pub persistence: Persistence,
    pub elements: Vec<TableElement>,
    pub inherits: Vec<ObjectName>,
    /// `PARTITION BY …`, `PARTITION OF …`, `OF type`: not supported; what it was.
    pub unsupported: Option<&'static str>,
    /// `WITH (…)`
    pub options: Vec<Setting>,
    pub on_commit: Option<OnCommit>,
    pub tablespace: Option<Name>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCommit {
    PreserveRows,
    DeleteRows,
    Drop,
}

#[derive(Clone, Debug)]
pub enum TableElement {
    Column(ColumnDefinition),
    Constraint(TableConstraint),
    Like { table: ObjectName, including: Vec<String>, excluding: Vec<String> },
}

#[derive(Clone, Debug)]
pub struct ColumnDefinition {
    pub name: Name,
    pub ty: TypeName,
    pub collation: Option<Vec<Name>>,
    pub constraints: Vec<ColumnConstraint>,
}

#[derive(Clone, Debug)]
pub struct ColumnConstraint {
    pub name: Option<Name>,
    pub kind: ColumnConstraintKind,
    pub deferral: Deferral,
    pub at: At,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deferral {
    pub deferrable: bool,
    pub initially_deferred: bool,
}

#[derive(Clone, Debug)]
pub enum ColumnConstraintKind {
    NotNull,
    Null,
    Default(SourceExpr),
    GeneratedStored(SourceExpr),
    Identity { always: bool, options: Vec<SequenceOption> },
    Check { condition: SourceExpr, no_inherit: bool },
    PrimaryKey { options: Vec<Setting> },
    Unique { nulls_not_distinct: bool, options: Vec<Setting> },
    References(References),
}

#[derive(Clone, Debug)]
pub struct References {
    pub table: ObjectName,
    pub columns: Vec<Name>,
    pub match_full: bool,
    pub on_delete: ReferentialAction,
    pub on_update: ReferentialAction,
}

#[derive(Clone, Debug)]
pub struct TableConstraint {
    pub name: Option<Name>,
    pub kind: TableConstraintKind,
    pub deferral: Deferral,
    pub not_valid: bool,
    pub at: At,
}

#[derive(Clone, Debug)]
pub enum TableConstraintKind {
    Check { condition: SourceExpr, no_inherit: bool },
    PrimaryKey { columns: Vec<Name>, include: Vec<Name>, options: Vec<Setting> },
    Unique { columns: Vec<Name>, include: Vec<Name>, nulls_not_distinct: bool, options: Vec<Setting> },
    UsingIndex { primary: bool, index: Name },
    ForeignKey { columns: Vec<Name>, references: References },
    Exclude,
}

#[derive(Clone, Debug)]
pub struct CreateTableAs {
    pub name: ObjectName,
    pub if_not_exists: bool,
    pub persistence: Persistence,
    pub materialized: bool,
    pub columns: Vec<Name>,
    pub options: Vec<Setting>,
    pub on_commit: Option<OnCommit>,
    pub query: SourceQuery,
    pub with_data: bool,
}

#[derive(Clone, Debug)]
pub struct CreateIndex {
    pub name: Option<Name>,
    pub if_not_exists: bool,
    pub unique: bool,
    pub concurrently: bool,
    pub table: ObjectName,
    pub only: bool,
    /// `btree` unless said otherwise.
    pub method: Option<Name>,
    pub columns: Vec<IndexElement>,
    pub include: Vec<Name>,
    pub nulls_not_distinct: bool,
    pub options: Vec<Setting>,
    pub tablespace: Option<Name>,
    pub filter: Option<SourceExpr>,
}

#[derive(Clone, Debug)]
pub struct IndexElement {
    pub expr: IndexExpr,
    pub collation: Option<Vec<Name>>,
    pub operator_class: Option<Vec<Name>>,
    pub direction: Direction,
    pub nulls_first: Option<bool>,
    pub at: At,
}

#[derive(Clone, Debug)]
pub enum IndexExpr {
    Column(Name),
    Expr(SourceExpr),
}

#[derive(Clone, Debug)]
pub struct CreateView {
    pub name: ObjectName,
    pub or_replace: bool,
    pub persistence: Persistence,
    pub recursive: bool,
    pub columns: Vec<Name>,
    pub options: Vec<Setting>,
    pub query: SourceQuery,
    /// `WITH [LOCAL | CASCADED] CHECK OPTION`
    pub check_option: bool,
}

#[derive(Clone, Debug)]
pub struct CreateSequence {
    pub name: ObjectName,
    pub if_not_exists: bool,
    pub persistence: Persistence,
    pub options: Vec<SequenceOption>,
}

#[derive(Clone, Debug)]
pub enum SequenceOption {
    As(TypeName),
    Increment(i64),
    /// `None`: NO MINVALUE.
    MinValue(Option<i64>),
    MaxValue(Option<i64>),
    Start(i64),
    /// `None`: RESTART without a number.
    Restart(Option<i64>),
    Cache(i64),
    Cycle(bool),
    /// `None`: OWNED BY NONE. Else table and column.
    OwnedBy(Option<(ObjectName, Name)>),
    SequenceName(ObjectName),
    Logged(bool),
}

#[derive(Clone, Debug)]
pub struct CreateSchema {
    pub name: Option<Name>,
    pub if_not_exists: bool,
    pub owner: Option<RoleName>,
    pub elements: Vec<super::Statement>,
}

#[derive(Clone, Debug)]
pub struct CreateDatabase {
    pub name: Name,
    /// `TEMPLATE`, `ENCODING`, `LC_COLLATE`, `OWNER`, … lower case.
    pub options: Vec<(String, SettingValueOrDefault)>,
}

/// `None` is DEFAULT.
pub type SettingValueOrDefault = Option<super::SettingValue>;

#[derive(Clone, Debug)]
pub enum DatabaseChange {
    Options(Vec<(String, SettingValueOrDefault)>),
    Set(super::SetVariable),
}

#[derive(Clone, Debug)]
pub enum RoleName {
    Named(Name),
    CurrentUser,
    SessionUser,
    Public,
}

#[derive(Clone, Debug)]
pub struct CreateRole {
    pub name: Name,
    /// CREATE USER implies LOGIN.
    pub login: bool,
    pub options: Vec<RoleOption>,
}

#[derive(Clone, Debug)]
pub enum RoleOption {
    Superuser(bool),
    CreateDb(bool),
    CreateRole(bool),
    Inherit(bool),
    Login(bool),
    Replication(bool),
    BypassRls(bool),
    ConnectionLimit(i64),
    /// `None`: PASSWORD NULL.
    Password(Option<String>),
    ValidUntil(String),
    InRole(Vec<RoleName>),
    Role(Vec<RoleName>),
    Admin(Vec<RoleName>),
}

#[derive(Clone, Debug)]
pub struct AlterRole {
    pub name: RoleName,
    pub change: RoleChange,
}

#[derive(Clone, Debug)]
pub enum RoleChange {
    Options(Vec<RoleOption>),
    Set { database: Option<Name>, variable: super::SetVariable },
}

#[derive(Clone, Debug)]
pub struct CreateDomain {
    pub name: ObjectName,
    pub ty: TypeName,
    pub constraints: Vec<ColumnConstraint>,
}

#[derive(Clone, Debug)]
pub struct AlterEnum {
    pub name: ObjectName,
    pub change: EnumChange,
}

#[derive(Clone, Debug)]
pub enum EnumChange {
    Add { label: String, if_not_exists: bool, before: Option<String>, after: Option<String> },
    Rename { from: String, to: String },
}

#[derive(Clone, Debug)]
pub struct AlterTable {
    pub kind: ObjectKind,
    pub name: ObjectName,
    pub if_exists: bool,
    pub only: bool,
    pub actions: Vec<AlterTableAction>,
}

#[derive(Clone, Debug)]
pub enum AlterTableAction {
    AddColumn {
        if_not_exists: bool,
        column: ColumnDefinition,
    },
    DropColumn {
        name: Name,
        if_exists: bool,
        behavior: DropBehavior,
    },
    AlterColumn {
        name: Name,
        change: ColumnChange,
    },
    AddConstraint(TableConstraint),
    DropConstraint {
        name: Name,
        if_exists: bool,
        behavior: DropBehavior,
    },
    ValidateConstraint {
        name: Name,
    },
    AlterConstraint {
        name: Name,
        deferral: Deferral,
    },
    SetOptions(Vec<Setting>),
    ResetOptions(Vec<Setting>),
    OwnerTo(RoleName),
    SetTablespace(Name),
    SetLogged(bool),
    /// `CLUSTER ON`, `SET WITHOUT OIDS`, `REPLICA IDENTITY …`: nothing to do here.
    NoEffect(&'static str),
    NotSupported(&'static str),
    /// `SPLIT AT VALUES (…), (…)`: cuts the table's range at these keys.
    SplitAt(Vec<Vec<Expr>>),
}

#[derive(Clone, Debug)]
pub enum ColumnChange {
    SetDefault(SourceExpr),
    DropDefault,
    SetNotNull,
    DropNotNull,
    SetType {
        ty: TypeName,
        collation: Option<Vec<Name>>,
        using: Option<SourceExpr>,
    },
    AddIdentity {
        always: bool,
        options: Vec<SequenceOption>,
    },
    /// `SET GENERATED …` and sequence options.
    SetIdentity {
        always: Option<bool>,
        options: Vec<SequenceOption>,
    },
    DropIdentity {
        if_exists: bool,
    },
    DropExpression {
        if_exists: bool,
    },
    /// `SET STATISTICS`, `SET STORAGE`, `SET (…)`, `SET COMPRESSION`: nothing to do here.
    NoEffect(&'static str),
}

/// What a DROP, COMMENT, RENAME or ALTER … is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectKind {
    Table,
    View,
    MaterializedView,
    ForeignTable,
    Index,
    Sequence,
    Schema,
    Database,
    Role,
    Type,
    Domain,
    Extension,
    Function,
    Procedure,
    Aggregate,
    Routine,
    Trigger,
    Rule,
    Policy,
    Column,
    Constraint,
    DomainConstraint,
    Cast,
    Collation,
    Conversion,
    Operator,
    OperatorClass,
    OperatorFamily,
    Language,
    Tablespace,
    Publication,
    Subscription,
    Statistics,
    EventTrigger,
    AccessMethod,
    Server,
    ForeignDataWrapper,
    UserMapping,
    TextSearch,
    Transform,
    LargeObject,
}

#[derive(Clone, Debug)]
pub struct ObjectReference {
    pub kind: ObjectKind,
    /// `[schema.]name`; of a column, constraint, trigger, rule or policy: its table, whose `member` it is.
    pub name: ObjectName,
    pub member: Option<Name>,
}

#[derive(Clone, Debug)]
pub struct Rename {
    pub object: ObjectReference,
    pub if_exists: bool,
    pub to: Name,
}

#[derive(Clone, Debug)]
pub struct DropObjects {
    pub kind: ObjectKind,
    pub names: Vec<ObjectName>,
    /// The trigger, rule or policy on the (one) table in `names`.
    pub member: Option<Name>,
    pub if_exists: bool,
    pub concurrently: bool,
    pub behavior: DropBehavior,
    /// DROP DATABASE … WITH (FORCE)
    pub force: bool,
}

#[derive(Clone, Debug)]
pub struct Truncate {
    pub tables: Vec<ObjectName>,
    pub restart_identity: bool,
    pub behavior: DropBehavior,
}

/// GRANT and REVOKE.
#[derive(Clone, Debug)]
pub struct Grant {
    pub revoke: bool,
    /// REVOKE GRANT OPTION FOR / WITH GRANT OPTION / WITH ADMIN OPTION.
    pub grant_option: bool,
    /// Empty: ALL. With column lists; `all` where ALL has one.
    pub privileges: Vec<(String, Vec<Name>)>,
    /// `None`: membership in the roles named as privileges.
    pub objects: Option<GrantObjects>,
    pub grantees: Vec<RoleName>,
    pub behavior: DropBehavior,
}

#[derive(Clone, Debug)]
pub enum GrantObjects {
    Named(ObjectKind, Vec<ObjectName>),
    AllInSchema(ObjectKind, Vec<Name>),
    /// ALTER DEFAULT PRIVILEGES
    Default(ObjectKind),
}
