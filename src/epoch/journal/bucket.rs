//! A bucket as a place of records and state: S3, and what speaks as it does.
//!
//! `put_if_absent` is one PUT with `If-None-Match: *`, which [`super::probe`] tries at the start, since not every store honours it.
//! Calls block: they are made by threads that may wait, and by operators at checkpoints. A request that fails for a reason that may pass
//! is made again for [`Bucket::patience`], with pauses that double; a put that was done all the same is found out by whoever put (a
//! record by its bytes, a file of state by its name, which nobody else has).

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{
    ClientOptions, Error, ObjectStore, ObjectStoreExt, PutMode, PutPayload, RetryConfig,
};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::{IsOver, JournalError, Store};
use crate::job::plan::Bucket;

/// The first pause before a request is made again, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How often it is looked whether an answer is still waited for: a process whose run has failed must end soon, whatever the store does.
const LOOK: Duration = Duration::from_millis(50);

/// How long one request may take, beside its bytes, and a connection.
const REQUEST: Duration = Duration::from_secs(15);
const CONNECT: Duration = Duration::from_secs(5);

/// How much longer for each MiB: a line that is slower than that is no place for state.
const PER_MIB: Duration = Duration::from_secs(1);

/// Requests that are made at once where there are several to make: each takes some ten milliseconds, and what reads a journal or
/// removes a checkpoint makes hundreds.
const AT_ONCE: usize = 16;

/// Options of the client that caudal sets itself, or that would break what it promises: the option, why, and what to do instead.
const REFUSED: [(AmazonS3ConfigKey, &str, &str); 3] = [
    (
        AmazonS3ConfigKey::Bucket,
        "the bucket stands in `state`",
        "state = \"s3://bucket/prefix\"",
    ),
    (
        AmazonS3ConfigKey::ConditionalPut,
        "the journal rests on conditional puts",
        "leave it out",
    ),
    (
        AmazonS3ConfigKey::CopyIfNotExists,
        "nothing is copied",
        "leave it out",
    ),
];

/// Whether the client takes an option of this name. Errors: why not, and what to do instead.
pub fn check_option(name: &str) -> Result<(), (String, Option<String>)> {
    let key = AmazonS3ConfigKey::from_str(name)
        .map_err(|_| ("it is no option of the client".to_owned(), None))?;
    match REFUSED.iter().find(|(refused, ..)| *refused == key) {
        Some((_, why, instead)) => Err((
            format!("it can't be set: {why}"),
            Some((*instead).to_owned()),
        )),
        None => Ok(()),
    }
}

/// A prefix in a bucket. Several processes, on several hosts, may use it at once.
pub(super) struct BucketStore {
    client: AmazonS3,
    at: Bucket,
    is_over: IsOver,
    runtime: Handle,
    /// Dropping it ends the thread that moves the client's connections.
    _end: oneshot::Sender<()>,
}

impl BucketStore {
    /// Makes a client; nothing is asked yet. What the options leave open is taken from the environment, as other programs do
    /// (`AWS_ACCESS_KEY_ID` …), and from the machine's own role.
    pub(super) fn open(at: &Bucket, is_over: IsOver) -> Result<Self, JournalError> {
        let failed = |doing, source| JournalError::Store {
            place: at.to_string(),
            doing,
            source,
        };
        let retries = RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        };
        let mut options = ClientOptions::new()
            // Each request has its own.
            .with_timeout_disabled()
            .with_connect_timeout(CONNECT);
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(&at.bucket);
        for (name, value) in &at.options {
            match AmazonS3ConfigKey::from_str(name) {
                // What the job says of the client comes behind what we say.
                Ok(AmazonS3ConfigKey::Client(key)) => options = options.with_config(key, value),
                Ok(key) => builder = builder.with_config(key, value),
                Err(error) => return Err(failed("reading an option of the client", error.into())),
            }
        }
        let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
        let endpoint =
            endpoint.or_else(|| builder.get_config_value(&AmazonS3ConfigKey::S3Endpoint));
        // Who writes http means it.
        if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
            options = options.with_allow_http(true);
        }
        let built = builder
            .with_client_options(options)
            .with_retry(retries)
            .build();
        let client = built.map_err(|error| failed("making a client", error.into()))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| failed("starting a thread", error.into()))?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("bucket".to_owned())
            .spawn(move || {
                drop(runtime.block_on(ended));
            })
            .map_err(|error| failed("starting a thread", error.into()))?;
        Ok(Self {
            client,
            at: at.clone(),
            is_over,
            runtime: handle,
            _end: end,
        })
    }

    fn path(&self, name: &str) -> Path {
        let whole = match self.at.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        };
        // As it is written; what can't be a key, which no name of ours is, by its codes.
        Path::parse(&whole).unwrap_or_else(|_| Path::from(whole))
    }

    /// What comes of a request; nothing where it is not waited for any more. It may be done all the same.
    async fn heeded<T>(&self, request: impl Future<Output = T>) -> Option<T> {
        let mut request = pin!(request);
        loop {
            match tokio::time::timeout(LOOK, &mut request).await {
                Ok(answer) => return Some(answer),
                Err(_) if (self.is_over)() => return None,
                Err(_) => {}
            }
        }
    }

    /// Sleeps, unless nobody waits any more.
    fn pause(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while Instant::now() < until && !(self.is_over)() {
            std::thread::sleep(LOOK.min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// Asks until there is an answer, a reason that will not pass, or nobody who waits for it.
    fn ask<T, F: Future<Output = Result<T, Error>>>(
        &self,
        name: &str,
        doing: &'static str,
        make: impl Fn() -> F,
    ) -> Result<Result<T, Answered>, JournalError> {
        let since = Instant::now();
        let (mut pause, longest) = PAUSES;
        loop {
            let place = || self.place(name);
            let given_up = || JournalError::GivenUp {
                place: place(),
                doing,
            };
            let answer = self.runtime.block_on(self.heeded(make()));
            let error = match answer.ok_or_else(given_up)? {
                Ok(answer) => return Ok(Ok(answer)),
                Err(error) => error,
            };
            match meaning(&error) {
                Meaning::Answer(answered) => return Ok(Err(answered)),
                Meaning::NoBucket => {
                    return Err(JournalError::NoBucket {
                        place: place(),
                        bucket: self.at.bucket.clone(),
                    });
                }
                Meaning::Denied => {
                    return Err(JournalError::Denied {
                        place: place(),
                        doing,
                        source: Box::new(error),
                    });
                }
                Meaning::ForGood => {
                    return Err(JournalError::Store {
                        place: place(),
                        doing,
                        source: Box::new(error),
                    });
                }
                Meaning::MayPass if since.elapsed() >= self.at.patience => {
                    return Err(JournalError::Away {
                        place: place(),
                        doing,
                        seconds: since.elapsed().as_secs(),
                        source: Box::new(error),
                    });
                }
                Meaning::MayPass if (self.is_over)() => return Err(given_up()),
                Meaning::MayPass => {
                    tracing::warn!(
                        action = "state-away",
                        place = place(),
                        error = %error,
                        "{doing} failed; it is tried again"
                    );
                    self.pause(pause);
                    pause = (pause * 2).min(longest);
                }
            }
        }
    }
}

/// A request that fails when it has taken that long.
async fn within<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let answer = tokio::time::timeout(limit, request).await;
    answer.unwrap_or_else(|_| {
        Err(Error::Generic {
            store: "S3",
            source: format!("no answer within {} s", limit.as_secs()).into(),
        })
    })
}

/// How long a request with so many bytes may take.
fn limit(bytes: u64) -> Duration {
    REQUEST + PER_MIB * u32::try_from(bytes >> 20).unwrap_or(u32::MAX)
}

/// Answers that are none of an error's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answered {
    NotThere,
    There,
}

/// What an error of the client means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Answer(Answered),
    NoBucket,
    Denied,
    /// Asked again it would be the same.
    ForGood,
    MayPass,
}

fn meaning(error: &Error) -> Meaning {
    let words = error.to_string();
    match error {
        _ if words.contains("NoSuchBucket") => Meaning::NoBucket,
        Error::NotFound { .. } => Meaning::Answer(Answered::NotThere),
        // Two at once: which of them won is seen by what is there, or not yet.
        Error::AlreadyExists { .. } if words.contains("ConditionalRequestConflict") => {
            Meaning::MayPass
        }
        Error::AlreadyExists { .. } => Meaning::Answer(Answered::There),
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Meaning::Denied,
        // Of a listing.
        Error::Generic { .. }
            if ["status code: 401", "status code: 403"]
                .iter()
                .any(|code| words.contains(code)) =>
        {
            Meaning::Denied
        }
        // A wrong region, a request that this store does not know.
        Error::Generic { .. }
            if words.contains("status code: 4") && !words.contains("status code: 429")
                || words.contains("incorrectly configured region") =>
        {
            Meaning::ForGood
        }
        Error::Generic { .. } => Meaning::MayPass,
        _ => Meaning::ForGood,
    }
}

impl Store for BucketStore {
    fn put_if_absent(&self, name: &str, bytes: &[u8]) -> Result<bool, JournalError> {
        let (path, payload) = (self.path(name), PutPayload::from(bytes.to_vec()));
        let limit = limit(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let put = self.ask(name, "putting an object", || {
            let put = PutMode::Create.into();
            within(limit, self.client.put_opts(&path, payload.clone(), put))
        })?;
        match put {
            Ok(_) => Ok(true),
            Err(Answered::There) => Ok(false),
            // No store answers a put so.
            Err(Answered::NotThere) => Err(JournalError::NotExclusive {
                place: self.place(name),
                problem: "can't be put: the store says that it is not there",
            }),
        }
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, JournalError> {
        let path = self.path(name);
        let got = self.ask(name, "reading an object", || async {
            let found = within(REQUEST, self.client.get(&path)).await?;
            let limit = limit(found.meta.size);
            within(limit, found.bytes()).await
        })?;
        Ok(got.ok().map(|bytes| bytes.to_vec()))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, JournalError> {
        let listed = self.listed(folder)?;
        let files = listed.objects.iter().map(|object| &object.location);
        let names = files.chain(&listed.common_prefixes);
        Ok(names
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect())
    }

    fn delete(&self, name: &str) -> Result<(), JournalError> {
        let path = self.path(name);
        let deleted = self.ask(name, "removing an object", || {
            within(REQUEST, self.client.delete(&path))
        })?;
        // That it was not there is as good.
        deleted.or(Ok(()))
    }

    fn get_all(&self, names: &[String]) -> Result<Vec<Option<Vec<u8>>>, JournalError> {
        at_once(names, |name| self.get(name))
    }

    fn delete_all(&self, names: &[String]) -> Result<(), JournalError> {
        at_once(names, |name| self.delete(name)).map(drop)
    }

    fn place(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }
}

impl BucketStore {
    fn listed(&self, folder: &str) -> Result<object_store::ListResult, JournalError> {
        let path = self.path(folder);
        let listed = self.ask(folder, "listing objects", || {
            within(REQUEST, self.client.list_with_delimiter(Some(&path)))
        })?;
        Ok(listed.unwrap_or(object_store::ListResult {
            common_prefixes: Vec::new(),
            objects: Vec::new(),
        }))
    }
}

/// Does the same with each name on a few threads; what comes of it is in the order of the names.
fn at_once<T: Send>(
    names: &[String],
    each: impl Fn(&str) -> Result<T, JournalError> + Sync,
) -> Result<Vec<T>, JournalError> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, T)>, JournalError> {
        let numbers = std::iter::repeat_with(|| next.fetch_add(1, Ordering::Relaxed));
        let numbers = numbers.take_while(|number| *number < names.len());
        numbers
            .map(|number| Ok((number, each(&names[number])?)))
            .collect()
    };
    let done: Result<Vec<Vec<(usize, T)>>, JournalError> = std::thread::scope(|scope| {
        let threads = AT_ONCE.min(names.len());
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let ends = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        ends.map(|end| end.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut done: Vec<(usize, T)> = done?.into_iter().flatten().collect();
    done.sort_unstable_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, came)| came).collect())
}

impl fmt::Debug for BucketStore {
    /// Without the client, which holds secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BucketStore({})", self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_client_are_known_by_name() {
        for name in [
            "endpoint",
            "region",
            "access_key_id",
            "secret_access_key",
            "session_token",
            "virtual_hosted_style_request",
            "server_side_encryption",
            "timeout",
        ] {
            assert_eq!(check_option(name), Ok(()), "{name}");
        }
        for (name, why) in [
            ("bucket", "the bucket stands in `state`"),
            ("aws_conditional_put", "rests on conditional puts"),
            ("endpont", "no option of the client"),
        ] {
            let (told, _) = check_option(name).unwrap_err();
            assert!(told.contains(why), "{name}: {told}");
        }
    }

    #[test]
    fn errors_of_the_client_are_told_apart() {
        let of = |words: &str| -> Box<dyn std::error::Error + Send + Sync> { words.into() };
        let path = || "journal/00000001.json".to_owned();
        let generic = |words: &str| Error::Generic {
            store: "S3",
            source: of(words),
        };
        for (error, expected) in [
            (
                Error::NotFound {
                    path: path(),
                    source: of("NoSuchKey"),
                },
                Meaning::Answer(Answered::NotThere),
            ),
            (
                Error::NotFound {
                    path: path(),
                    source: of("<Code>NoSuchBucket</Code>"),
                },
                Meaning::NoBucket,
            ),
            (
                Error::AlreadyExists {
                    path: path(),
                    source: of("PreconditionFailed"),
                },
                Meaning::Answer(Answered::There),
            ),
            (
                Error::AlreadyExists {
                    path: path(),
                    source: of("ConditionalRequestConflict"),
                },
                Meaning::MayPass,
            ),
            (
                Error::PermissionDenied {
                    path: path(),
                    source: of("SignatureDoesNotMatch"),
                },
                Meaning::Denied,
            ),
            (
                Error::Unauthenticated {
                    path: path(),
                    source: of("ExpiredToken"),
                },
                Meaning::Denied,
            ),
            (
                generic(
                    "Server returned non-2xx status code: 400 Bad Request: AuthorizationHeaderMalformed",
                ),
                Meaning::ForGood,
            ),
            (
                generic("Server returned non-2xx status code: 403 Forbidden: "),
                Meaning::Denied,
            ),
            (
                generic("Server returned non-2xx status code: 429 Too Many Requests: "),
                Meaning::MayPass,
            ),
            (
                generic("Server returned non-2xx status code: 503 Slow Down: "),
                Meaning::MayPass,
            ),
            (
                generic("error sending request: connection refused"),
                Meaning::MayPass,
            ),
        ] {
            assert_eq!(meaning(&error), expected, "{error}");
        }
    }
}
