//! Is an index what its table says? Rows of a table, and what was found by an index, both read in one transaction.

use crate::Map;

/// Differences that are told.
const TOLD: usize = 5;

/// Rows that one side has more often than the other, explained; nothing if there are none. The order of the rows does not matter.
pub fn compare(table: &[Vec<String>], index: &[Vec<String>]) -> Vec<String> {
    let mut balance: Map<&[String], i64> = Map::default();
    for row in table {
        *balance.entry(row).or_default() += 1;
    }
    for row in index {
        *balance.entry(row).or_default() -= 1;
    }
    let mut wrong: Vec<(&[String], i64)> = balance.into_iter().filter(|(_, count)| *count != 0).collect();
    wrong.sort_unstable();
    let hidden = wrong.len().saturating_sub(TOLD);
    let told = wrong.into_iter().take(TOLD).map(|(row, count)| {
        let what = if count > 0 {
            "the table has, and the index does not lead to"
        } else {
            "the index leads to, and the table does not have"
        };
        format!("{what}: ({})", row.join(", "))
    });
    told.chain((hidden > 0).then(|| format!("and {hidden} more"))).collect()
}

#[cfg(test)]
mod tests {
    use super::compare;

    fn rows(texts: &[&str]) -> Vec<Vec<String>> {
        texts.iter().map(|text| text.split(' ').map(str::to_owned).collect()).collect()
    }

    #[test]
    fn lost_stale_and_doubled_entries_are_told() {
        let table = rows(&["1 a", "2 b", "3 c"]);
        assert!(compare(&table, &rows(&["3 c", "1 a", "2 b"])).is_empty());
        let told = compare(&table, &rows(&["1 a", "2 old", "3 c", "3 c"]));
        assert_eq!(
            told,
            [
                "the table has, and the index does not lead to: (2, b)",
                "the index leads to, and the table does not have: (2, old)",
                "the index leads to, and the table does not have: (3, c)",
            ]
        );
        assert_eq!(compare(&rows(&["1", "2", "3", "4", "5", "6", "7"]), &[]).last().unwrap(), "and 2 more");
    }
}
