//! SET, RESET and SHOW.

use super::{send_texts, text_field};
use crate::parse::ast::SetVariable;
use crate::plan::Field;
use crate::session::Session;
use crate::session::answer::Answer;
use crate::session::block::warning;
use crate::session::run::{Limit, Outcome};
use crate::session::settings::{self, SettingId, Value};
use crate::session::state::Identity;
use crate::{SqlError, SqlResult};

impl Session {
    pub(super) async fn set_variable(&mut self, variable: &SetVariable, limit: &Limit) -> SqlResult<()> {
        let SetVariable { local, name, value } = variable;
        let in_block = self.block.as_ref().is_some_and(|block| block.explicit);
        if *local && !in_block {
            self.state.notice(warning("25P01", "SET LOCAL can only be used in transaction blocks"));
            return Ok(());
        }
        let Some(values) = value else { return self.reset_one(name, *local, limit).await };
        let text = settings::set_text(name, values)?;
        self.set_text(name, &text, *local, limit).await
    }

    /// As SET does, with the value as text.
    pub(in crate::session) async fn set_text(
        &mut self,
        name: &str,
        text: &str,
        local: bool,
        limit: &Limit,
    ) -> SqlResult<()> {
        if let Some(mode) = Session::as_transaction_mode(name, text)? {
            return self.set_transaction(&[mode]);
        }
        match name {
            "role" if text == "none" => self.become_role(None, local),
            "role" => {
                let role = self.find_role(text, limit).await?;
                self.become_role(Some(role), local);
            }
            "session_authorization" => {
                let role = self.find_role(text, limit).await?;
                let value = Value::Text(role.name.clone());
                self.state.settings(|settings| settings.put(SettingId::of(name), Some(value), local));
                self.state.set_role(role);
            }
            _ => self.state.settings(|settings| settings.set(name, text, local))?,
        }
        Ok(())
    }

    async fn reset_one(&mut self, name: &str, local: bool, limit: &Limit) -> SqlResult<()> {
        match name {
            "role" => self.become_role(None, local),
            "session_authorization" => {
                let user = self.state.user.name.to_string();
                self.set_text(name, &user, local, limit).await?;
            }
            "transaction_isolation" | "transaction_read_only" | "transaction_deferrable" => {
                return Err(SqlError::new("42704", format!("parameter \"{name}\" cannot be reset")));
            }
            _ => self.state.settings(|settings| settings.reset(name, local))?,
        }
        Ok(())
    }

    fn become_role(&mut self, role: Option<Identity>, local: bool) {
        let shown = role.as_ref().map_or_else(|| "none".into(), |role| role.name.clone());
        self.state.set_role(role.unwrap_or_else(|| self.state.user.clone()));
        let value = Some(Value::Text(shown));
        self.state.settings(|settings| settings.put(SettingId::of("role"), value, local));
    }

    async fn find_role(&mut self, name: &str, limit: &Limit) -> SqlResult<Identity> {
        let (_, catalog) = self.start_statement(limit).await?;
        match catalog.role(name) {
            Some(role) => Ok(Identity { oid: role.oid, name: role.name.as_str().into() }),
            None => Err(SqlError::new("22023", format!("role \"{name}\" does not exist"))),
        }
    }

    pub(super) async fn reset_variable(&mut self, name: Option<&str>, limit: &Limit) -> SqlResult<()> {
        match name {
            Some(name) => self.reset_one(name, false, limit).await,
            None => {
                self.state.settings(|settings| settings.reset_all());
                Ok(())
            }
        }
    }

    pub(super) async fn show_variable(&mut self, name: Option<&str>, answer: &mut Answer<'_>) -> SqlResult<Outcome> {
        let fields = self.fields_of_show(name)?;
        let rows = match name {
            Some(name) => vec![vec![self.setting(name)?]],
            None => self.all_settings(),
        };
        send_texts(answer, fields, rows, "SHOW").await
    }

    /// The value of a setting as SHOW has it.
    pub(in crate::session) fn setting(&self, name: &str) -> SqlResult<String> {
        match self.transaction_setting(name) {
            Some(value) => Ok(value),
            None => self.state.settings(|settings| settings.show(name)),
        }
    }

    pub(super) fn fields_of_show(&self, name: Option<&str>) -> SqlResult<Vec<Field>> {
        let Some(name) = name else {
            return Ok(["name", "setting", "description"].map(text_field).to_vec());
        };
        let known = settings::find(name).map(|id| id.definition().name);
        match known {
            Some(known) => Ok(vec![text_field(known)]),
            None => {
                self.setting(name)?;
                Ok(vec![text_field(name)])
            }
        }
    }

    fn all_settings(&self) -> Vec<Vec<String>> {
        let shown = settings::definitions().iter().filter(|definition| !definition.hidden);
        let value = |name: &str| self.setting(name).unwrap_or_default();
        shown.map(|definition| vec![definition.name.to_owned(), value(definition.name), String::new()]).collect()
    }
}
