//! Push-down programs: what a range does to the rows of a scan before it sends them.
//!
//! A program carries everything it needs: where columns are found, the filter, which columns to send, and the context of
//! the statement (parameters, times, settings). To everyone between `sql` and `ranges` it is an opaque byte string with a
//! version in front; a range that does not know the version says so, and the scan is done without it.

mod tree;

use crate::context::Settings;
use crate::keys::KeyColumn;
use crate::rows::{self, Layout};
use crate::stored::{self, Malformed, take_count, take_u8};
use crate::{
    ByteaOutput, CastMethod, DateStyle, Datum, EvalContext, EvalError, EvalResult, Expr, IntervalStyle, NoEnvironment,
    Row, SqlType, TimeZone, operators,
};

const VERSION: u8 = 1;

/// Filters rows and sends some of their columns, as a tuple ([`rows::take_tuple`]).
#[derive(Clone, Debug)]
pub struct Program {
    pub layout: Layout,
    /// Over the layout's row.
    pub filter: Option<Expr>,
    /// The columns to send, by their place in the layout's row.
    pub output: Vec<usize>,
    pub params: Vec<Datum>,
    pub statement_time: i64,
    pub transaction_time: i64,
    pub settings: Settings,
}

/// A program with the buffers it runs in.
pub struct Runner {
    program: Program,
    row: Row,
}

impl Runner {
    pub fn new(program: Program) -> Runner {
        Runner { program, row: Row::new() }
    }

    /// Appends the tuple of a row that passes the filter; false where it does not.
    pub fn run(&mut self, key: &[u8], value: &[u8], out: &mut Vec<u8>) -> EvalResult<bool> {
        let program = &self.program;
        program.layout.decode(key, value, &mut self.row).map_err(|error| EvalError::new("XX001", error.to_string()))?;
        if let Some(filter) = &program.filter {
            let context = EvalContext::new(&program.settings, &NoEnvironment)
                .with_params(&program.params)
                .with_times(program.statement_time, program.transaction_time);
            if !matches!(filter.eval(&self.row, &context)?, Datum::Bool(true)) {
                return Ok(false);
            }
        }
        program.output.iter().for_each(|place| stored::put(out, &self.row[*place]));
        Ok(true)
    }
}

/// Can a range evaluate this without the session? What might ask for the catalog, a sequence or dice stays behind.
pub fn can_push_down(expr: &Expr) -> bool {
    match expr {
        Expr::Const { .. } | Expr::Column { .. } | Expr::Param { .. } => true,
        Expr::Call { function, args, .. } => {
            operators::by_function(*function).is_some() && args.iter().all(can_push_down)
        }
        Expr::Cast { arg, method, ty, .. } => {
            let through_catalog = *method == CastMethod::InOut && (is_reg(*ty) || is_reg(tree::type_of(arg)));
            !through_catalog && can_push_down(arg)
        }
        Expr::And(list) | Expr::Or(list) | Expr::Coalesce { args: list, .. } => list.iter().all(can_push_down),
        Expr::Not(arg) | Expr::IsNull { arg, .. } | Expr::IsBool { arg, .. } => can_push_down(arg),
        Expr::IsDistinct { left, right, .. } => can_push_down(left) && can_push_down(right),
        Expr::InList { left, list, .. } => can_push_down(left) && list.iter().all(can_push_down),
        Expr::AnyAll { left, array, .. } => can_push_down(left) && can_push_down(array),
        Expr::Case { whens, otherwise, .. } => {
            whens.iter().all(|(when, then)| can_push_down(when) && can_push_down(then))
                && otherwise.as_deref().is_none_or(can_push_down)
        }
        _ => false,
    }
}

fn is_reg(ty: SqlType) -> bool {
    ty.oid.0 == 24 || (2202..=2206).contains(&ty.oid.0) || matches!(ty.oid.0, 4089 | 4096 | 3734 | 3769 | 4191)
}

impl Program {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        put_layout(&mut out, &self.layout);
        out.push(u8::from(self.filter.is_some()));
        if let Some(filter) = &self.filter {
            tree::put(&mut out, filter);
        }
        stored::put_uint(&mut out, self.output.len() as u64);
        self.output.iter().for_each(|place| stored::put_uint(&mut out, *place as u64));
        stored::put_uint(&mut out, self.params.len() as u64);
        rows::put_tuple(&mut out, &self.params);
        stored::put_int(&mut out, self.statement_time);
        stored::put_int(&mut out, self.transaction_time);
        put_settings(&mut out, &self.settings);
        out
    }

    /// `None` for a version this build does not know; an error for bytes that are no program.
    pub fn decode(bytes: &[u8]) -> Result<Option<Program>, Malformed> {
        let (version, mut input) = bytes.split_first().ok_or(Malformed)?;
        if *version != VERSION {
            return Ok(None);
        }
        let input = &mut input;
        let layout = take_layout(input)?;
        let filter = match take_u8(input)? {
            0 => None,
            _ => Some(tree::take(input, 0)?),
        };
        let output = (0..take_count(input)?).map(|_| place(input, layout.width)).collect::<Result<_, _>>()?;
        let params = (0..take_count(input)?).map(|_| stored::take(input)).collect::<Result<Vec<Datum>, _>>()?;
        let (statement_time, transaction_time) = (stored::take_int(input)?, stored::take_int(input)?);
        let settings = take_settings(input)?;
        if !input.is_empty() || filter.as_ref().is_some_and(|filter| !tree::fits(filter, layout.width, params.len())) {
            return Err(Malformed);
        }
        Ok(Some(Program { layout, filter, output, params, statement_time, transaction_time, settings }))
    }
}

fn put_layout(out: &mut Vec<u8>, layout: &Layout) {
    stored::put_uint(out, layout.width as u64);
    stored::put_uint(out, layout.key.len() as u64);
    for (column, place) in &layout.key {
        stored::put_type(out, column.ty);
        out.push(u8::from(column.descending) | u8::from(column.nulls_first) << 1);
        stored::put_uint(out, place.map_or(0, |place| place as u64 + 1));
    }
    stored::put_uint(out, layout.value.len() as u64);
    for (id, place, missing) in &layout.value {
        stored::put_uint(out, u64::from(*id));
        stored::put_uint(out, *place as u64);
        stored::put(out, missing);
    }
}

fn take_layout(input: &mut &[u8]) -> Result<Layout, Malformed> {
    let width = usize::try_from(stored::take_uint(input)?).map_err(|_| Malformed)?;
    if width > 10_000 {
        return Err(Malformed);
    }
    let mut key = Vec::new();
    for _ in 0..take_count(input)? {
        let (ty, flags) = (stored::take_type(input)?, take_u8(input)?);
        let at = match usize::try_from(stored::take_uint(input)?).map_err(|_| Malformed)? {
            0 => None,
            at if at <= width => Some(at - 1),
            _ => return Err(Malformed),
        };
        key.push((KeyColumn { ty, descending: flags & 1 != 0, nulls_first: flags & 2 != 0 }, at));
    }
    let mut value = Vec::new();
    for _ in 0..take_count(input)? {
        let id = u32::try_from(stored::take_uint(input)?).map_err(|_| Malformed)?;
        value.push((id, place(input, width)?, stored::take(input)?));
    }
    Ok(Layout { key, value, width })
}

fn place(input: &mut &[u8], width: usize) -> Result<usize, Malformed> {
    match usize::try_from(stored::take_uint(input)?) {
        Ok(place) if place < width => Ok(place),
        _ => Err(Malformed),
    }
}

fn put_settings(out: &mut Vec<u8>, settings: &Settings) {
    stored::put_body(out, settings.time_zone.name().as_bytes());
    out.push(settings.date_style.format as u8);
    out.push(settings.date_style.order as u8);
    out.push(settings.interval_style as u8);
    out.push(u8::from(settings.bytea_output == ByteaOutput::Escape));
    stored::put_int(out, i64::from(settings.extra_float_digits));
}

fn take_settings(input: &mut &[u8]) -> Result<Settings, Malformed> {
    use crate::{DateFormat, DateOrder};
    let zone = std::str::from_utf8(stored::take_body(input)?).map_err(|_| Malformed)?;
    let time_zone = TimeZone::named(zone).map_err(|_| Malformed)?;
    let one_of = |input: &mut &[u8], count: u8| {
        take_u8(input).and_then(|number| if number < count { Ok(usize::from(number)) } else { Err(Malformed) })
    };
    let format = [DateFormat::Iso, DateFormat::Sql, DateFormat::Postgres, DateFormat::German][one_of(input, 4)?];
    let order = [DateOrder::Mdy, DateOrder::Dmy, DateOrder::Ymd][one_of(input, 3)?];
    let styles =
        [IntervalStyle::Postgres, IntervalStyle::PostgresVerbose, IntervalStyle::SqlStandard, IntervalStyle::Iso8601];
    let interval_style = styles[one_of(input, 4)?];
    let bytea_output = [ByteaOutput::Hex, ByteaOutput::Escape][one_of(input, 2)?];
    let extra_float_digits = i32::try_from(stored::take_int(input)?).map_err(|_| Malformed)?;
    Ok(Settings {
        time_zone,
        date_style: DateStyle { format, order },
        interval_style,
        bytea_output,
        extra_float_digits,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FunctionId;
    use keyspace::encoding;
    use proptest::prelude::*;

    /// `id = 42 or name = 'x'`, sending the name.
    fn program() -> Program {
        let id = KeyColumn { ty: SqlType::INT4, descending: false, nulls_first: false };
        let layout = Layout { key: vec![(id, Some(0))], value: vec![(2, 1, Datum::Null)], width: 2 };
        let equal = |function, column, ty, value| Expr::Call {
            function: FunctionId(function),
            args: vec![Expr::Column { index: column, ty }, value],
            ty: SqlType::BOOL,
        };
        let filter = Expr::Or(vec![
            equal(65, 0, SqlType::INT4, Expr::Param { index: 0, ty: SqlType::INT4 }),
            equal(67, 1, SqlType::TEXT, Expr::Const { value: Datum::text("x"), ty: SqlType::TEXT }),
        ]);
        assert!(can_push_down(&filter));
        let settings = Settings { time_zone: TimeZone::named("Europe/Oslo").unwrap(), ..Settings::default() };
        Program {
            layout,
            filter: Some(filter),
            output: vec![1],
            params: vec![Datum::Int4(42)],
            statement_time: 5,
            transaction_time: -5,
            settings,
        }
    }

    fn run(id: i64, name: &str) -> Option<Vec<u8>> {
        let (mut key, mut value, mut out) = (Vec::new(), Vec::new(), Vec::new());
        encoding::put_uint(&mut key, 1000);
        encoding::put_uint(&mut key, 1);
        encoding::put_int(&mut key, id);
        rows::start(&mut value);
        rows::put_column(&mut value, 2, &Datum::text(name));
        let decoded = Program::decode(&program().encode()).unwrap().unwrap();
        Runner::new(decoded).run(&key, &value, &mut out).unwrap().then_some(out)
    }

    #[test]
    fn a_program_filters_and_projects_after_its_journey() {
        let row = |out: Option<Vec<u8>>| out.map(|tuple| format!("{:?}", rows::take_tuple(&tuple, 1).unwrap()));
        assert_eq!(row(run(42, "y")).as_deref(), Some(r#"[Text("y")]"#));
        assert_eq!(row(run(1, "x")).as_deref(), Some(r#"[Text("x")]"#));
        assert_eq!(row(run(1, "y")), None);
    }

    #[test]
    fn another_version_is_not_an_error_but_no_program() {
        let mut bytes = program().encode();
        bytes[0] = 99;
        assert!(Program::decode(&bytes).unwrap().is_none());
        let bytes = program().encode();
        for cut in 0..bytes.len() {
            assert!(!matches!(Program::decode(&bytes[..cut]), Ok(Some(_))), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn garbage_is_no_program(mut bytes: Vec<u8>) {
            bytes.insert(0, VERSION);
            let _ = Program::decode(&bytes);
        }
    }
}
