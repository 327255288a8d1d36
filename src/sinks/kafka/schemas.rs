//! The schemas of messages of Avro: registered, or looked up, before anything starts.
//!
//! Each process asks for itself: the same schema under the same subject has the same id, however often it is told.

use std::sync::Arc;

use crate::job::plan::{Plan, SinkFormat};
use crate::registry::subjects::SubjectError;
use crate::registry::{Registry, RegistryError, USER_INFO};
use crate::sinks::avro;

/// Why a schema could not be registered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// The registry's address is none.
    #[error(transparent)]
    Address(#[from] RegistryError),
    /// The schema has no id.
    #[error("sinks.{sink}: {source}")]
    Subject {
        /// The sink.
        sink: String,
        /// Why.
        source: SubjectError,
    },
}

/// Gives each sink that writes messages of Avro the id of its schema. Blocks while registries answer.
///
/// # Errors
/// Where one does not give an id.
pub fn register(plan: &mut Arc<Plan>) -> Result<(), SchemaError> {
    let user_info = std::env::var(USER_INFO).ok();
    for place in 0..plan.sinks.len() {
        let sink = &plan.sinks[place];
        let SinkFormat::Avro(options) = &sink.format else {
            continue;
        };
        let schema = avro::schema(sink, options);
        let registry = Registry::new(&options.registry, user_info.as_deref())?;
        let id = registry
            .id(&options.subject, &schema, options.register)
            .map_err(|source| SchemaError::Subject {
                sink: sink.name.clone(),
                source,
            })?;
        tracing::info!(
            action = "schema-known",
            sink = sink.name,
            subject = options.subject,
            id,
            "the schema of the sink's messages has an id"
        );
        if let SinkFormat::Avro(options) = &mut Arc::make_mut(plan).sinks[place].format {
            options.schema = Some(id);
        }
    }
    Ok(())
}
