//! The schemas of a topic's messages, asked for on a thread of their own: whoever reads never waits for a registry.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::client::KafkaError;
use crate::record::SchemaText;
use crate::registry::{Registry, RegistryError, USER_INFO};

/// After how long a schema that the registry did not have is asked for again: its writer may have told it since.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// How long a registry that does not answer is asked: as long as one takes to start anew.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long to wait between such questions, besides what the client waits itself.
const PAUSE: Duration = Duration::from_secs(1);

/// Knows the schemas that were asked for.
pub(super) struct Schemas {
    owner: String,
    known: HashMap<u32, Known>,
    asked: BTreeSet<u32>,
    ask: Sender<u32>,
    answers: Receiver<(u32, Result<Arc<str>, RegistryError>)>,
}

enum Known {
    /// For good.
    Is(SchemaText),
    /// The registry did not have it then.
    Missing(Instant, SchemaText),
}

impl Schemas {
    /// Nothing is known, and nothing asked.
    pub(super) fn new(owner: &str, registry: &str) -> Result<Self, KafkaError> {
        let failed = |problem: String| KafkaError::Client {
            owner: owner.to_owned(),
            problem,
        };
        let user_info = std::env::var(USER_INFO).ok();
        let registry = Registry::new(registry, user_info.as_deref())
            .map_err(|error| failed(error.to_string()))?;
        let (ask, questions) = channel();
        let (answer, answers) = channel();
        std::thread::Builder::new()
            .name("registry".to_owned())
            .spawn(move || answer_all(registry, &questions, &answer))
            .map_err(|error| failed(error.to_string()))?;
        Ok(Self {
            owner: owner.to_owned(),
            known: HashMap::new(),
            asked: BTreeSet::new(),
            ask,
            answers,
        })
    }

    /// The schemas of these ids; `None` while one of them is being asked for.
    ///
    /// Errors: the registry did not answer for a minute, or does not let us.
    pub(super) fn of(
        &mut self,
        ids: &BTreeSet<u32>,
    ) -> Result<Option<Vec<(u32, SchemaText)>>, KafkaError> {
        while let Ok((id, answer)) = self.answers.try_recv() {
            self.asked.remove(&id);
            let known = self.heard(answer)?;
            self.known.insert(id, known);
        }
        let mut found = Vec::with_capacity(ids.len());
        for id in ids {
            match self.known.get(id) {
                Some(Known::Is(text)) => found.push((*id, text.clone())),
                Some(Known::Missing(since, text)) if since.elapsed() < ASK_AGAIN => {
                    found.push((*id, text.clone()));
                }
                _ => {
                    // The thread ends with this reader only.
                    if self.asked.insert(*id) && self.ask.send(*id).is_err() {
                        tracing::warn!(
                            action = "registry-silent",
                            id,
                            "nobody asks for schemas any more"
                        );
                    }
                }
            }
        }
        Ok((found.len() == ids.len()).then_some(found))
    }

    fn heard(&self, answer: Result<Arc<str>, RegistryError>) -> Result<Known, KafkaError> {
        let words = |error: &RegistryError| -> Arc<str> {
            let mut words = error.to_string();
            let mut cause = std::error::Error::source(error);
            while let Some(error) = cause {
                words = format!("{words}: {error}");
                cause = error.source();
            }
            words.into()
        };
        match answer {
            Ok(text) => Ok(Known::Is(Ok(text))),
            Err(error @ RegistryError::Unknown { .. }) => {
                let text = Err(("unknown_schema", words(&error)));
                Ok(Known::Missing(Instant::now(), text))
            }
            Err(error @ (RegistryError::Answer { .. } | RegistryError::Schema { .. })) => {
                Ok(Known::Is(Err(("bad_schema", words(&error)))))
            }
            Err(error) => Err(KafkaError::Registry {
                owner: self.owner.clone(),
                source: Arc::new(error),
            }),
        }
    }
}

/// Answers until nobody asks any more.
fn answer_all(
    mut registry: Registry,
    questions: &Receiver<u32>,
    answers: &Sender<(u32, Result<Arc<str>, RegistryError>)>,
) {
    for id in questions {
        let since = Instant::now();
        let answer = loop {
            match registry.text(id) {
                Err(error @ RegistryError::Unreachable { .. }) if since.elapsed() < PATIENCE => {
                    tracing::warn!(action = "registry-silent", id, error = %error, "messages wait for their schema");
                    std::thread::sleep(PAUSE);
                }
                answer => break answer,
            }
        };
        if answers.send((id, answer)).is_err() {
            return;
        }
    }
}
