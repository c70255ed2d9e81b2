//! From a parsed statement to a plan under the session's names and settings, by way of the plan caches.
//!
//! A plan is used again by the statement it was made for (protocol and SQL prepared statements), and by every session of
//! the node that sends the same text under the same settings.

use std::sync::Arc;

use super::Session;
use super::prepared::{PlanSettings, Planned, Prepared, Validity};
use crate::catalog::{Catalog, SearchPath};
use crate::parse::ast::Statement;
use crate::{SqlError, SqlResult, bind, optimise};

impl Session {
    /// What a plan made now is good for.
    pub(super) fn validity(&mut self, catalog: &Catalog) -> Validity {
        let database = self.state.database.oid;
        Validity { catalog: catalog.version(), database, settings: self.plan_settings() }
    }

    fn plan_settings(&mut self) -> Arc<PlanSettings> {
        let generation = self.state.settings(|settings| settings.generation());
        if let Some((made_at, settings)) = &self.plan_settings
            && *made_at == generation
        {
            return settings.clone();
        }
        let active = self.state.active();
        let settings = PlanSettings {
            user: self.state.role().name.to_string(),
            search_path: active.search_path.clone(),
            eval: active.eval.clone(),
        };
        // A setting that plans do not depend on leaves the old ones as they are.
        let settings = match self.plan_settings.take() {
            Some((_, known)) if *known == settings => known,
            _ => Arc::new(settings),
        };
        self.plan_settings = Some((generation, settings.clone()));
        settings
    }

    pub(super) fn search_path(&self, catalog: &Catalog) -> SearchPath {
        let active = self.state.active();
        catalog.search_path(self.state.database.oid, &self.state.role().name, &active.search_path)
    }

    /// The plan of a query or of a statement that changes rows.
    pub(super) fn plan(&mut self, prepared: &Prepared, catalog: &Arc<Catalog>) -> SqlResult<Arc<Planned>> {
        let validity = self.validity(catalog);
        if let Some(planned) = prepared.plan_for(&validity) {
            return Ok(planned);
        }
        let Some(statement) = &prepared.statement else {
            return Err(SqlError::new("XX000", "an empty statement has no plan"));
        };
        let planned = Arc::new(self.make_plan(statement, prepared, catalog, validity)?);
        prepared.keep_plan(planned.clone());
        Ok(planned)
    }

    pub(super) fn make_plan(
        &self,
        statement: &Statement,
        prepared: &Prepared,
        catalog: &Arc<Catalog>,
        validity: Validity,
    ) -> SqlResult<Planned> {
        let path = self.search_path(catalog);
        let environment = bind::Environment {
            catalog,
            path: &path,
            source: &prepared.source,
            param_types: &prepared.declared,
            may_be_historic: true,
        };
        let mut bound = bind::bind(statement, environment)?;
        bound.plan = optimise::optimise(bound.plan);
        Ok(Planned::new(validity, bound))
    }
}
