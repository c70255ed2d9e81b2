//! BEGIN, COMMIT, ROLLBACK, SAVEPOINT and their relatives.

use std::sync::Arc;

use expr::{EvalContext, NoEnvironment};
use keyspace::Key;
use txn::TxnError;

use super::Session;
use super::block::{self, Block, Kept, Modes, warning};
use super::settings::{SettingId, Value};
use crate::catalog::Catalog;
use crate::catalog::rows::parse_table_lock_key;
use crate::exec::write::NamedKey;
use crate::parse::ast::TransactionMode;
use crate::{SqlError, SqlResult};

impl Session {
    pub(super) fn begin(&mut self, modes: &[TransactionMode]) -> SqlResult<()> {
        match &mut self.block {
            Some(block) if block.explicit => {
                self.state.notice(warning("25001", "there is already a transaction in progress"));
                block.set_modes(modes)
            }
            // Statements before BEGIN in the same message become part of the block.
            Some(block) => {
                block.explicit = true;
                block.set_modes(modes)
            }
            None => {
                let mut all = Modes::of(&self.state.active());
                all.apply(modes);
                self.begin_block(true, all);
                Ok(())
            }
        }
    }

    /// Gives the tag: a failed block that is committed is rolled back, and says so.
    pub(super) async fn commit(&mut self, chain: bool) -> SqlResult<&'static str> {
        let Some(block) = self.explicit_block("COMMIT AND CHAIN", chain)? else {
            // Outside a block, COMMIT ends the implicit transaction of the message with a warning.
            self.state.notice(warning("25P01", "there is no transaction in progress"));
            self.commit_block().await?;
            return Ok("COMMIT");
        };
        let (modes, failed) = (block.modes, block.failed);
        if failed {
            self.end_block_badly().await;
        } else {
            self.commit_block().await?;
        }
        if chain {
            self.begin_block(true, modes);
        }
        Ok(if failed { "ROLLBACK" } else { "COMMIT" })
    }

    pub(super) async fn rollback(&mut self, chain: bool) -> SqlResult<()> {
        let modes = match self.explicit_block("ROLLBACK AND CHAIN", chain)? {
            Some(block) => block.modes,
            None => {
                self.state.notice(warning("25P01", "there is no transaction in progress"));
                Modes::of(&self.state.active())
            }
        };
        self.end_block_badly().await;
        if chain {
            self.begin_block(true, modes);
        }
        Ok(())
    }

    fn explicit_block(&self, what: &str, chain: bool) -> SqlResult<Option<&Block>> {
        let block = self.block.as_ref().filter(|block| block.explicit);
        if block.is_none() && chain {
            return Err(SqlError::new("25P01", format!("{what} can only be used in transaction blocks")));
        }
        Ok(block)
    }

    /// Commits whatever is open. On an error the transaction is over as well.
    pub(super) async fn commit_block(&mut self) -> SqlResult<()> {
        if self.block.is_none() {
            return Ok(());
        }
        if let Err(error) = self.keep_held_cursors().await {
            self.end_block_badly().await;
            return Err(error);
        }
        self.close_portals_of_block();
        let Some(mut block) = self.block.take() else { unreachable!("it was just there") };
        let Some(open) = block.take_open() else {
            self.end_advisory_locks().await;
            self.state.settings(|settings| settings.end_transaction());
            self.carry_out(&block.after_commit);
            return Ok(());
        };
        let changes_catalog = open.txn.changes_catalog();
        let txn = Arc::into_inner(open.txn);
        let txn = txn.unwrap_or_else(|| unreachable!("portals and statements of the block are gone"));
        let committed = txn.commit().await;
        self.end_advisory_locks().await;
        if changes_catalog {
            // What the session has is the transaction's own view.
            self.catalog = None;
        }
        match committed {
            Ok(_) => {
                self.state.settings(|settings| settings.end_transaction());
                self.carry_out(&block.after_commit);
                self.follow_up(block.after_commit.ddl).await;
                Ok(())
            }
            Err(error) => {
                self.state.settings(|settings| settings.restore(block.settings().clone()));
                Err(self.commit_error(error))
            }
        }
    }

    fn commit_error(&self, error: TxnError) -> SqlError {
        // A key that another transaction wrote first is named as the row's own statement would have named it.
        let duplicate = match &error {
            TxnError::KeyExists { key } => self.with_key(key, |catalog, named| named.duplicate(catalog)),
            _ => None,
        };
        duplicate.unwrap_or_else(|| self.name_place(error.into()))
    }

    /// Says in terms of tables and rows where two transactions met.
    pub(super) fn name_place(&self, mut error: SqlError) -> SqlError {
        let Some(key) = error.0.key.take() else { return error };
        let locked = parse_table_lock_key(&key).and_then(|table| self.catalog.as_ref()?.table(table));
        if let Some(table) = locked {
            let detail = error.0.detail.take().into_iter().chain([format!("Lock of table \"{}\".", table.name)]);
            error.0.detail = Some(detail.collect::<Vec<_>>().join(" "));
            return error;
        }
        let named = self.with_key(&key, |catalog, named| {
            let schema = catalog.schema_by_oid(named.table.schema).map_or("", |schema| &schema.name);
            (schema.to_owned(), named.table.name.clone(), named.text())
        });
        let Some((schema, table, row)) = named else { return error };
        let detail = error.0.detail.take().into_iter().chain(row.map(|row| format!("{row} of table \"{table}\".")));
        error.0.detail = Some(detail.collect::<Vec<_>>().join(" "));
        if error.state() == "55P03" {
            error.0.message = format!("could not obtain lock on row in relation \"{table}\"");
        }
        error.on_table(&schema, &table)
    }

    fn with_key<T>(&self, key: &Key, tell: impl FnOnce(&Catalog, NamedKey<'_>) -> T) -> Option<T> {
        let catalog = self.catalog.as_ref()?;
        let active = self.state.active();
        let eval = EvalContext::new(&active.eval, &NoEnvironment);
        let named = NamedKey::of(catalog.relations(self.state.database.oid), key, &eval)?;
        Some(tell(catalog, named))
    }

    pub(super) async fn savepoint(&mut self, name: &str) -> SqlResult<()> {
        let settings = self.state.settings(|settings| settings.mark());
        let advisory = self.state.advisory.at_savepoint().await;
        let catalog = self.catalog.clone();
        self.block_for("SAVEPOINT")?.savepoint(name, Kept { settings, advisory, catalog });
        Ok(())
    }

    pub(super) fn release(&mut self, name: &str) -> SqlResult<()> {
        self.block_for("RELEASE SAVEPOINT")?.release(name)
    }

    pub(super) async fn rollback_to(&mut self, name: &str) -> SqlResult<()> {
        let block = self.block_for("ROLLBACK TO SAVEPOINT")?;
        let kept = block.rollback_to(name).await?;
        let depth = block.depth();
        self.state.advisory.rollback_to(&self.server, &kept.advisory).await?;
        self.portals.retain(|_, portal| portal.depth() <= depth);
        self.state.settings(|now| now.restore(kept.settings));
        // DDL since the savepoint is undone, and what was before it stays.
        self.catalog = kept.catalog;
        Ok(())
    }

    fn block_for(&mut self, what: &str) -> SqlResult<&mut Block> {
        let block = self.block.as_mut().filter(|block| block.explicit);
        block.ok_or_else(|| SqlError::new("25P01", format!("{what} can only be used in transaction blocks")))
    }

    pub(super) fn set_transaction(&mut self, modes: &[TransactionMode]) -> SqlResult<()> {
        match self.block.as_mut().filter(|block| block.explicit) {
            Some(block) => block.set_modes(modes),
            None => {
                self.state.notice(warning("25P01", "SET TRANSACTION can only be used in transaction blocks"));
                Ok(())
            }
        }
    }

    /// `SET SESSION CHARACTERISTICS`: the defaults of the transactions to come.
    pub(super) fn set_characteristics(&mut self, modes: &[TransactionMode]) {
        self.state.settings(|settings| {
            for mode in modes {
                let (name, value) = match mode {
                    TransactionMode::Isolation(level) => {
                        ("default_transaction_isolation", Value::Text(level.sql().into()))
                    }
                    TransactionMode::ReadOnly(read_only) => ("default_transaction_read_only", Value::Bool(*read_only)),
                    TransactionMode::Deferrable(deferrable) => {
                        ("default_transaction_deferrable", Value::Bool(*deferrable))
                    }
                };
                settings.put(SettingId::of(name), Some(value), false);
            }
        });
    }

    /// `transaction_isolation` and its relatives are the block's; outside one, what the next would have.
    pub(super) fn transaction_setting(&self, name: &str) -> Option<String> {
        let modes = match &self.block {
            Some(block) => block.modes,
            None => Modes::of(&self.state.active()),
        };
        let flag = |on: bool| if on { "on" } else { "off" }.to_owned();
        match name.to_ascii_lowercase().as_str() {
            "transaction_isolation" => Some(modes.isolation.sql().to_owned()),
            "transaction_read_only" => Some(flag(modes.read_only)),
            "transaction_deferrable" => Some(flag(modes.deferrable)),
            _ => None,
        }
    }

    /// `SET transaction_isolation = …` is `SET TRANSACTION`. `None`: another setting.
    pub(super) fn as_transaction_mode(name: &str, text: &str) -> SqlResult<Option<TransactionMode>> {
        let Some(id) = super::settings::find(name) else { return Ok(None) };
        let value = |id: SettingId| Value::parse(id.definition(), text);
        Ok(Some(match id.definition().name {
            "transaction_isolation" => TransactionMode::Isolation(super::settings::isolation(&value(id)?.setting())),
            "transaction_read_only" => TransactionMode::ReadOnly(value(id)? == Value::Bool(true)),
            "transaction_deferrable" => TransactionMode::Deferrable(value(id)? == Value::Bool(true)),
            _ => return Ok(None),
        }))
    }

    /// VACUUM and others that cannot be part of anything larger.
    pub(super) fn forbid_block(&self, what: &str) -> SqlResult<()> {
        match &self.block {
            Some(block) if block.explicit || block.has_read => {
                Err(SqlError::new("25001", format!("{what} cannot run inside a transaction block")))
            }
            _ => Ok(()),
        }
    }

    /// 25P01 for statements that make sense only inside a block.
    pub(super) fn require_block(&self, what: &str) -> SqlResult<()> {
        match &self.block {
            Some(block) if block.explicit => Ok(()),
            _ => Err(SqlError::new("25P01", format!("{what} can only be used in transaction blocks"))),
        }
    }

    /// A statement failed.
    ///
    /// An implicit transaction ends. A block has failed; without a savepoint to go back to, nothing in it is of use any
    /// more and its locks go at once.
    pub(super) async fn statement_failed(&mut self) {
        match &mut self.block {
            Some(block) if block.explicit => {
                block.failed = true;
                if !block.has_savepoints() {
                    let open = block.take_open();
                    self.close_portals_of_block();
                    if let Some(open) = open {
                        block::end(open).await;
                    }
                    self.end_advisory_locks().await;
                }
            }
            Some(_) => self.end_block_badly().await,
            None => {}
        }
    }

    /// What the session has may be the view of a transaction that changed the catalog and is undone.
    pub(super) fn forget_own_catalog(&mut self) {
        self.catalog = None;
    }
}
