//! The ranges tile the key space: no gap, no overlap, from the first key to the last.

use keyspace::Key;
use rpc::cluster::Survey;

use crate::World;

pub fn check_tiling(world: &World, survey: &Survey) {
    let mut spans: Vec<_> =
        survey.ranges.iter().map(|range| (range.descriptor.span.clone(), range.descriptor.id)).collect();
    spans.sort_by(|a, b| a.0.start.cmp(&b.0.start));
    let mut end = Key::MIN;
    for (span, range) in spans {
        if span.start != end {
            world
                .violation("ranges_tile", format!("{range} begins at {}, what is before it ends at {end}", span.start));
        }
        end = span.end;
    }
    if end != Key::MAX {
        world.violation("ranges_tile", format!("nothing covers what follows {end}"));
    }
}
