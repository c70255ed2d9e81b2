//! Steps into a document: `-> 'key'`, `-> 2`, `#> '{a,0}'`.

use super::{Jsonb, Node, NodeKind};

/// The position of `index` among `len` elements, from the end where negative.
pub(crate) fn array_index(index: i64, len: usize) -> Option<usize> {
    let at = if index < 0 { index.checked_add(i64::try_from(len).ok()?)? } else { index };
    usize::try_from(at).ok().filter(|at| *at < len)
}

/// A step of a path is a key in objects and a position in arrays.
pub(crate) fn value_at<'a>(document: &'a Jsonb, path: &[&str]) -> Option<&'a Jsonb> {
    path.iter().try_fold(document, |value, step| match value {
        Jsonb::Object(_) => value.field(step),
        Jsonb::Array(_) => value.element(step.trim().parse().ok()?),
        _ => None,
    })
}

/// The same in the text of a document. Of equal keys the last one counts.
pub(crate) fn node_at<'n, 'a>(document: &'n Node<'a>, path: &[&str]) -> Option<&'n Node<'a>> {
    path.iter().try_fold(document, |node, step| match &node.kind {
        NodeKind::Object(pairs) => pairs.iter().rev().find(|(key, _)| key == step).map(|(_, value)| value),
        NodeKind::Array(elements) => elements.get(array_index(step.trim().parse().ok()?, elements.len())?),
        _ => None,
    })
}
