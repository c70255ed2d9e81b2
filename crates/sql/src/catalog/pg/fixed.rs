//! Relations whose rows PostgreSQL 15 starts with, and those that could have no rows here.

use std::sync::LazyLock;

use expr::functions::{self, FunctionEntry, FunctionKind};
use expr::{CastMethod, Oid, Row, aggregates, casts, operators};

use super::relations::{VirtualRelation, by_name, lines, number};
use super::row::{Equal, Fixed, OidVector, row};
use crate::catalog::builtin::{PG_CATALOG, ROOT};
use crate::{SqlError, SqlResult};

pub(super) const OPCLASS: &str = include_str!("data/opclass.tsv");

/// Of things that there are not, or not yet: no rows is the truth.
const EMPTY: &[&str] = &[
    "pg_conversion",
    "pg_default_acl",
    "pg_enum",
    "pg_event_trigger",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_inherits",
    "pg_init_privs",
    "pg_largeobject",
    "pg_largeobject_metadata",
    "pg_matviews",
    "pg_parameter_acl",
    "pg_partitioned_table",
    "pg_policies",
    "pg_policy",
    "pg_prepared_xacts",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_publication_tables",
    "pg_replication_origin",
    "pg_replication_origin_status",
    "pg_replication_slots",
    "pg_rules",
    "pg_seclabel",
    "pg_seclabels",
    "pg_shdepend",
    "pg_shseclabel",
    "pg_stat_replication",
    "pg_stat_replication_slots",
    "pg_stat_subscription",
    "pg_stat_subscription_stats",
    "pg_stat_wal_receiver",
    "pg_statistic",
    "pg_statistic_ext",
    "pg_statistic_ext_data",
    "pg_stats",
    "pg_stats_ext",
    "pg_stats_ext_exprs",
    "pg_subscription",
    "pg_subscription_rel",
    "pg_transform",
    "pg_trigger",
    "pg_ts_config",
    "pg_ts_config_map",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
    "pg_user_mapping",
    "pg_user_mappings",
];

pub(super) fn rows(name: &str, equal: &Equal<'_>) -> SqlResult<Vec<Row>> {
    if EMPTY.contains(&name) {
        return Ok(Vec::new());
    }
    /// One set of rows per relation, made when it is first asked for.
    macro_rules! fixed {
        ($($relation:literal => $make:expr;)*) => {
            match name {
                $($relation => {
                    static ROWS: LazyLock<Fixed> = LazyLock::new(|| {
                        let relation = by_name(PG_CATALOG, $relation).expect("it is one of PostgreSQL's");
                        let make: fn(&'static VirtualRelation) -> Vec<Row> = $make;
                        Fixed::new(make(relation))
                    });
                    Some(ROWS.rows(equal.pairs))
                })*
                _ => None,
            }
        };
    }
    let rows = fixed! {
        "pg_proc" => procedures;
        "pg_operator" => pg_operator;
        "pg_cast" => pg_cast;
        "pg_aggregate" => pg_aggregate;
        "pg_am" => |r| data(include_str!("data/am.tsv"), |line| row! { r;
            oid: oid(line[0]), amname: line[1], amhandler: oid(line[2]), amtype: line[3] });
        "pg_collation" => |r| data(include_str!("data/collation.tsv"), |line| row! { r;
            oid: oid(line[0]), collname: line[1], collnamespace: oid(line[2]), collowner: oid(line[3]),
            collprovider: line[4], collisdeterministic: line[5] == "1", collencoding: number::<i32>(line[6]),
            collcollate: not_null(line[7]), collctype: not_null(line[8]) });
        "pg_language" => |r| data(include_str!("data/language.tsv"), |line| row! { r;
            oid: oid(line[0]), lanname: line[1], lanowner: oid(line[2]), lanispl: line[3] == "1",
            lanpltrusted: line[4] == "1", lanplcallfoid: oid(line[5]), laninline: oid(line[6]), lanvalidator: oid(line[7]) });
        "pg_tablespace" => |r| data(include_str!("data/tablespace.tsv"), |line| row! { r;
            oid: oid(line[0]), spcname: line[1], spcowner: oid(line[2]) });
        "pg_opfamily" => |r| data(include_str!("data/opfamily.tsv"), |line| row! { r;
            oid: oid(line[0]), opfmethod: oid(line[1]), opfname: line[2], opfnamespace: oid(line[3]), opfowner: oid(line[4]) });
        "pg_opclass" => |r| data(OPCLASS, |line| row! { r;
            oid: oid(line[0]), opcmethod: oid(line[1]), opcname: line[2], opcnamespace: oid(line[3]), opcowner: oid(line[4]),
            opcfamily: oid(line[5]), opcintype: oid(line[6]), opcdefault: line[7] == "1", opckeytype: oid(line[8]) });
        "pg_amop" => |r| data(include_str!("data/amop.tsv"), |line| row! { r;
            oid: oid(line[0]), amopfamily: oid(line[1]), amoplefttype: oid(line[2]), amoprighttype: oid(line[3]),
            amopstrategy: number::<i16>(line[4]), amoppurpose: line[5], amopopr: oid(line[6]), amopmethod: oid(line[7]),
            amopsortfamily: oid(line[8]) });
        "pg_amproc" => |r| data(include_str!("data/amproc.tsv"), |line| row! { r;
            oid: oid(line[0]), amprocfamily: oid(line[1]), amproclefttype: oid(line[2]), amprocrighttype: oid(line[3]),
            amprocnum: number::<i16>(line[4]), amproc: oid(line[5]) });
    };
    rows.ok_or_else(|| SqlError::not_supported(format!("relation \"{name}\"")))
}

fn oid(text: &str) -> Oid {
    Oid(number(text))
}

fn not_null(text: &'static str) -> Option<&'static str> {
    (text != "\\N").then_some(text)
}

fn data(text: &'static str, make: impl Fn(Vec<&'static str>) -> Row) -> Vec<Row> {
    lines(text).map(make).collect()
}

fn procedures(relation: &'static VirtualRelation) -> Vec<Row> {
    let mut entries: Vec<&FunctionEntry> = functions::all().iter().collect();
    entries.sort_by_key(|entry| entry.id);
    entries.into_iter().map(|entry| procedure(relation, entry)).collect()
}

fn procedure(relation: &VirtualRelation, entry: &FunctionEntry) -> Row {
    let is_sql = entry.source.starts_with("sql") && entry.source[3..].parse::<u32>().is_ok();
    let modes: Vec<char> = entry.arg_modes.iter().map(|mode| mode.letter()).collect();
    let names: Vec<String> = entry.arg_names.iter().map(|name| (*name).to_owned()).collect();
    let is_aggregate = entry.kind == FunctionKind::Aggregate;
    row! { relation;
        oid: Oid(entry.id.0),
        proname: entry.name,
        pronamespace: PG_CATALOG,
        proowner: ROOT,
        prolang: Oid(if is_sql { 14 } else { 12 }),
        procost: 1.0_f32,
        prorows: if entry.returns_set { 1000.0_f32 } else { 0.0 },
        provariadic: entry.variadic.unwrap_or_default(),
        prosupport: Oid(0),
        prokind: entry.kind.letter(),
        prosecdef: false,
        proleakproof: entry.leakproof,
        proisstrict: entry.strict,
        proretset: entry.returns_set,
        provolatile: entry.volatility.letter(),
        proparallel: entry.parallel,
        pronargs: entry.args.len() as i16,
        pronargdefaults: entry.defaults.len() as i16,
        prorettype: entry.result,
        proargtypes: OidVector(entry.args.to_vec()),
        proallargtypes: (!entry.all_args.is_empty()).then(|| entry.all_args.to_vec()),
        proargmodes: (!modes.is_empty()).then_some(modes),
        proargnames: (!names.is_empty()).then_some(names),
        proargdefaults: (!entry.defaults.is_empty()).then(|| entry.defaults.join(", ")),
        prosrc: if is_aggregate { "aggregate_dummy" } else { entry.source },
    }
}

fn pg_operator(relation: &'static VirtualRelation) -> Vec<Row> {
    let function = |name: &str| match functions::by_name(name) {
        [first, ..] => Oid(first.id.0),
        [] => Oid(0),
    };
    let mut entries: Vec<_> = operators::all().iter().collect();
    entries.sort_by_key(|entry| entry.oid);
    let make = |entry: &operators::OperatorEntry| {
        row! { relation;
            oid: entry.oid,
            oprname: entry.name,
            oprnamespace: PG_CATALOG,
            oprowner: ROOT,
            oprkind: if entry.left.is_some() { 'b' } else { 'l' },
            oprcanmerge: entry.can_merge,
            oprcanhash: entry.can_hash,
            oprleft: entry.left.unwrap_or_default(),
            oprright: entry.right,
            oprresult: entry.result,
            oprcom: entry.commutator.unwrap_or_default(),
            oprnegate: entry.negator.unwrap_or_default(),
            oprcode: Oid(entry.function.0),
            oprrest: function(entry.restrict),
            oprjoin: function(entry.join),
        }
    };
    entries.into_iter().map(make).collect()
}

fn pg_cast(relation: &'static VirtualRelation) -> Vec<Row> {
    let make = |entry: &casts::CastEntry| {
        row! { relation;
            oid: entry.oid,
            castsource: entry.from,
            casttarget: entry.to,
            castfunc: Oid(entry.function.map_or(0, |function| function.0)),
            castcontext: entry.context.letter(),
            castmethod: match entry.method {
                CastMethod::Function => 'f',
                CastMethod::InOut => 'i',
                CastMethod::Relabel | CastMethod::Array => 'b',
            },
        }
    };
    casts::all().into_iter().map(make).collect()
}

fn pg_aggregate(relation: &'static VirtualRelation) -> Vec<Row> {
    let make = |entry: &aggregates::AggregateEntry| {
        let initial = Some(entry.initial).filter(|initial| !initial.is_empty());
        row! { relation;
            aggfnoid: Oid(entry.id.0),
            aggkind: entry.kind,
            aggnumdirectargs: entry.direct_args as i16,
            aggtransfn: Oid(entry.transition.0),
            aggfinalfn: Oid(entry.finish.map_or(0, |function| function.0)),
            aggcombinefn: Oid(0),
            aggserialfn: Oid(0),
            aggdeserialfn: Oid(0),
            aggmtransfn: Oid(0),
            aggminvtransfn: Oid(0),
            aggmfinalfn: Oid(0),
            aggfinalextra: false,
            aggmfinalextra: false,
            aggfinalmodify: 'r',
            aggmfinalmodify: 'r',
            aggsortop: entry.sort_operator.unwrap_or_default(),
            aggtranstype: entry.state,
            aggtransspace: 0,
            aggmtranstype: Oid(0),
            aggmtransspace: 0,
            agginitval: initial,
        }
    };
    aggregates::all().into_iter().map(make).collect()
}

/// What a comment on a built-in object says, as `pg_description` has it: object, class, text.
pub(super) fn descriptions() -> impl Iterator<Item = (Oid, Oid, &'static str)> {
    lines(include_str!("data/description.tsv")).map(|line| (oid(line[0]), oid(line[1]), line[3]))
}
