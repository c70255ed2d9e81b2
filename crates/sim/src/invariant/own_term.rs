//! A command is in the log under the term in which it was evaluated: proposals do not travel to another leader (rule 6).

use ranges::command::term_of;
use ranges::consensus::command_in;
use storage::LogEntry;

/// Looks at entries of one replica's log.
pub fn check_own_term<'e>(entries: impl IntoIterator<Item = &'e LogEntry>) -> Result<(), String> {
    for entry in entries {
        let evaluated = command_in(entry).and_then(term_of);
        if let Some(evaluated) = evaluated.filter(|evaluated| *evaluated != entry.term) {
            return Err(format!("entry {} of term {} was evaluated in term {evaluated}", entry.index, entry.term));
        }
    }
    Ok(())
}
