//! The expressions right below an expression.

use crate::Expr;

impl Expr {
    /// In the order in which they are written.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Const { .. } | Expr::Column { .. } | Expr::Param { .. } => Vec::new(),
            Expr::Call { args, .. }
            | Expr::And(args)
            | Expr::Or(args)
            | Expr::Coalesce { args, .. }
            | Expr::Extreme { args, .. } => args.iter().collect(),
            Expr::Array { elements, .. } => elements.iter().collect(),
            Expr::Row { fields, .. } => fields.iter().collect(),
            Expr::Cast { arg, .. }
            | Expr::Not(arg)
            | Expr::IsNull { arg, .. }
            | Expr::IsBool { arg, .. }
            | Expr::Field { arg, .. } => vec![arg],
            Expr::IsDistinct { left, right, .. } | Expr::NullIf { left, right, .. } => vec![left, right],
            Expr::Case { whens, otherwise, .. } => {
                let branches = whens.iter().flat_map(|(when, then)| [when, then]);
                branches.chain(otherwise.as_deref()).collect()
            }
            Expr::AnyAll { left, array, .. } => vec![left, array],
            Expr::InList { left, list, .. } => std::iter::once(&**left).chain(list).collect(),
            Expr::Subscript { array, indexes, .. } => std::iter::once(&**array).chain(indexes).collect(),
            Expr::Slice { array, bounds, .. } => {
                let bounds = bounds.iter().flat_map(|(lower, upper)| [lower, upper]).flatten();
                std::iter::once(&**array).chain(bounds).collect()
            }
        }
    }
}
