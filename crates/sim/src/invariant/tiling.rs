//! The ranges tile the key space: no gap, no overlap, from the first key to the last.

use keyspace::Key;
use rpc::cluster::Survey;

use crate::World;

pub fn check_tiling(world: &World, survey: &Survey) {
    if let Some(what) = gap(survey) {
        world.violation("ranges_tile", what);
    }
}

/// Where the ranges do not tile. For a moment after a split the right side may not have reported yet.
pub fn gap(survey: &Survey) -> Option<String> {
    let mut spans: Vec<_> =
        survey.ranges.iter().map(|range| (range.descriptor.span.clone(), range.descriptor.id)).collect();
    spans.sort_by(|a, b| a.0.start.cmp(&b.0.start));
    let mut end = Key::MIN;
    for (span, range) in spans {
        if span.start != end {
            return Some(format!("{range} begins at {}, what is before it ends at {end}", span.start));
        }
        end = span.end;
    }
    (end != Key::MAX).then(|| format!("nothing covers what follows {end}"))
}
