//! DISCARD: what a connection pool says before it gives a connection to somebody else.

use crate::SqlResult;
use crate::parse::ast::Discard;
use crate::session::Session;
use crate::session::run::Outcome;

impl Session {
    pub(super) async fn discard(&mut self, what: Discard) -> SqlResult<Outcome> {
        let tag = match what {
            Discard::All => {
                self.forbid_block("DISCARD ALL")?;
                self.portals.clear();
                self.state.advisory.unlock_all(&self.server).await?;
                self.statements.clear();
                self.state.set_role(self.state.user.clone());
                let user = self.state.user.name.clone();
                self.state.settings(|settings| {
                    settings.reset_all();
                    settings.reset_identity(&user);
                });
                self.state.forget_sequences();
                "DISCARD ALL"
            }
            Discard::Plans => {
                for statement in self.statements.values() {
                    statement.prepared.forget_plan();
                }
                "DISCARD PLANS"
            }
            Discard::Sequences => {
                self.state.forget_sequences();
                "DISCARD SEQUENCES"
            }
            Discard::Temporary => "DISCARD TEMP",
        };
        Ok(Outcome::done(tag))
    }
}
