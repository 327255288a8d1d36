//! A continuous job on process 0: it claims the job, goes on from the newest checkpoint, and commits at each further one.
//!
//! ```text
//! claim ──> empty manifest of this generation ──> checkpoint ──> partitions ──> the dataflow
//!                                                                                 │ bindings, notes
//!                       journal's thread: binding e is durable  <─────────────────┘
//!                              └──> committer's thread: checkpoint e in the journal, manifest (from, e], files published
//! ```
//!
//! The order is the argument. Whoever claims is the only one that can append from then on; its empty manifest makes every put of an
//! older generation fail; only then is what others staged tidied up. A checkpoint is in the journal before the manifest that makes
//! its rows visible, so that whatever is visible can be gone on from; and it is used only where the manifest followed. Between the
//! two a crash costs a replay, and no row.

use std::collections::BTreeMap;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::behind::{Behind, Committed};
use super::frame::{Begin, Resumed, Unseen};
use super::life::{Life, Looked, Resume, Told, lock};
use super::outcome::{Outcome, Phase, RunOptions};
use super::references::{self, References};
use super::renewed;
use super::run::Input;
use super::start::{Ended, MARK, Others, execute, staged_files};
use super::{Delivered, Fate, Run, RunError, ShardId};
use crate::checks::calendar::read_all_holidays;
use crate::epoch::state::Unread;
use crate::epoch::{
    self, Binding, Checkpoint, Claim, Drained, History, Journal, Keeping, Lag, PlanText, Reading,
    Record, ReferenceRows, Totals,
};
use crate::fault;
use crate::job::change::{self, Change, Fit};
use crate::job::plan::{Continuous, OnFailure, Plan};
use crate::lookup::{self, Follower};
use crate::observe::{Begun, client};
use crate::record::{Budget, Epoch};
use crate::sinks::chain::Chain;
use crate::sinks::kafka::{HOLD_AFTER, TopicError, outbox, target};
use crate::sinks::{SinkError, staged_run};
use crate::sources::{Discovery, Feed, SourceError, Topics};

/// What the word of a state is called among identities: one that no other state has.
const STATE: &str = "state";

/// How long a life that is at work may take to say so.
const ALIVE: Duration = Duration::from_secs(1);

/// How often it is looked whether someone asks for the end.
const LOOK: Duration = Duration::from_millis(20);

/// Runs one life of a continuous job, on process 0.
pub(super) fn lead(
    plan: &Arc<Plan>,
    continuous: &Continuous,
    options: &RunOptions,
    fate: &Arc<Fate>,
    others: Option<Others>,
) -> Result<Ended, RunError> {
    let started = Instant::now();
    options.progress.set_phase(Phase::Loading);
    let budget = Budget::new(plan.in_flight_bytes);
    options.observer.watch_budget(&budget);
    let store = epoch::open_state(&continuous.state, fate.over())?;
    epoch::probe(&*store)?;
    let opened = open_journal(plan, &store)?;
    let chain = Chain::open(&plan.output, &plan.name, &plan.sinks)?;
    let reading = Reading::new(Arc::clone(&store));
    fits(plan, &reading, &opened.history, chain.committed())?;
    if opened.history.is_new() && chain.committed().is_some() {
        return Err(RunError::StateLost {
            state: continuous.state.to_string(),
            output: plan.output.clone(),
        });
    }
    // Whoever wrote a checkpoint had taken the output over before.
    if !opened.history.checkpoints.is_empty() && chain.newest_generation().is_none() {
        return Err(RunError::OutputLost {
            state: continuous.state.to_string(),
            output: plan.output.clone(),
        });
    }
    // Known before the claim is: whoever reads that may ask at once.
    let nonce = nonce(options);
    options.observer.claims_by(&nonce);
    let (journal, history) = opened.claim(Claim {
        processes: options.processes(),
        workers: options.workers,
        address: options.observer.served_at(),
        nonce,
    })?;
    let generation = journal.generation();
    let chain = chain.take_over(generation)?;
    // Again: another life may have written before the claim.
    let reading = Arc::new(Reading::new(Arc::clone(&store)));
    fits(plan, &reading, &history, chain.committed())?;
    let announced = options.observer.announce(&plan.output).map(Arc::new);
    options.observer.generation(generation);
    fault::at("choose a checkpoint");
    let chosen = choose(plan, &reading, &history, chain.committed())?;
    if chosen.is_none() && is_past_the_beginning(&history) {
        return Err(RunError::NoCheckpoint {
            state: continuous.state.to_string(),
            checkpoints: epoch::usable(&history, chain.committed()).len(),
        });
    }
    let (resume, mut resumed, totals) =
        resume(plan, &history, chosen, generation, chain.committed());
    fault::at("look for partitions");
    let mut discoveries = discoveries(plan, &resume)?;
    let known = history.plan.as_ref().map(|plan| &plan.identities);
    let mut identities = known.cloned().unwrap_or_default();
    let bound = history.newest_epoch().unwrap_or(0);
    let (mut resume, found) = look(
        options,
        resume,
        &mut discoveries,
        (&mut identities, bound),
        fate,
        plan.join_timeout,
    )?;
    identify(plan, &mut identities, &discoveries)?;
    let holidays = hold_holidays(plan, &mut identities, !resume.replay.is_empty())?;
    fault::at("look at topics");
    let (shards, unseen) =
        look_at_clusters(plan, &history, chosen, &mut identities, &*store, fate)?;
    fault::at("load look-ups");
    let mut references =
        references::take_up(plan, &reading, &resume.references, &resume.replay, fate)?;
    options.observer.state_read(reading.bytes());
    tracing::info!(
        action = "state-read",
        read_bytes = reading.bytes(),
        state_bytes = resumed.state.iter().map(|file| file.bytes).sum::<u64>(),
        "the checkpoint and the rows of look-ups were read"
    );
    resumed.identity = identities.get(STATE).cloned().unwrap_or_default();
    resumed.unseen = unseen;
    let keeping = Keeping::new(&history, chain.committed(), chosen);
    options.observer.standing().begin(Begun {
        workers: options.processes() * options.workers,
        of_process: options.workers,
        checkpoint: resume.epoch,
        replay_to: resume.replay.last().map_or(resume.epoch, |last| last.epoch),
        committed: chain.committed(),
        watermark: resume.watermark,
        partitions: &resume.partitions,
        target: plan.output.display().to_string(),
        clusters: plan
            .clusters
            .iter()
            .map(|cluster| (cluster.name(), resume.epoch))
            .collect(),
    });
    let journal = Arc::new(Mutex::new(journal));
    begin_journal(
        plan,
        &*store,
        &journal,
        &history,
        &mut resume,
        identities.clone(),
        &mut references.followers,
    )?;
    let References {
        loaded,
        replayed,
        followers,
        warnings,
    } = references;
    let begin = Begin {
        now: epoch::wall_time(),
        as_of: None,
        holidays,
        replay: false,
        stage: Some(format!("life-{generation:08}")),
        mark: format!("{generation} {}", std::process::id()),
        partitioned: lookup::partitioned(plan, &loaded, options.processes()),
        resumed: Some(resumed),
    };
    if let Some(others) = &others {
        let path = staged_run(&plan.output, begin.stage.as_deref().unwrap_or_default()).join(MARK);
        let folder = path.parent().expect("a file has a folder");
        std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&path, &begin.mark))
            .map_err(|error| SinkError::io(&path, "writing a file", error))?;
        fault::at("tell the others to begin");
        others.peers.begin(&begin);
    }
    let (told, hears) = channel();
    let life = Life::new(generation, resume, found, replayed, identities, told);
    let life = Arc::new(life);
    let input = Input {
        feed: Feed::new(plan, &budget, None, |_| false)?,
        references: loaded,
    };
    let mut run = Run::new(plan, options, fate, &budget, &begin, Some(input), None);
    drop(run.reading.set(reading));
    run.life = Some(Arc::clone(&life));
    fate.deliveries().begin(&life, &options.observer, shards);
    let run = Arc::new(run);
    let behind = Behind::start(
        &run,
        &life,
        &store,
        journal,
        chain,
        totals,
        hears,
        discoveries,
        keeping,
        announced.clone(),
    )?;
    for (lookup, follower) in followers.into_iter().enumerate() {
        let (run, life) = (Arc::clone(&run), Arc::clone(&life));
        super::spawn(format!("lookup-{lookup}"), move || {
            follower.follow(&run, &life);
        })
        .map_err(RunError::no_thread)?;
    }
    options.progress.set_phase(Phase::Running);
    let peers = others.as_ref().map(|others| Arc::clone(&others.peers));
    let busy = execute(&run, options.workers, others);
    // However it went: the threads behind get no more, and end.
    life.tell(Told::End);
    let committed = behind.join();
    let busy = busy?;
    if peers.is_some() {
        fate.wait_peers(run.processes - 1)?;
    }
    fate.check()?;
    let Committed {
        journal,
        totals,
        epoch,
    } = committed;
    if let Some(peers) = peers {
        peers.expect_the_end();
    }
    let next = options.interrupt.next();
    lock(&journal).append(Record::Drained(Drained {
        epoch,
        processes: next.map_or(0, |(processes, _)| processes),
        workers: next.map_or(0, |(_, workers)| workers),
    }))?;
    drop(announced);
    let mut outcome = Outcome {
        warnings,
        stages: busy,
        ..Outcome::default()
    };
    staged_files(plan, Vec::new(), &mut outcome);
    totals.fill(&mut outcome);
    outcome.seconds = started.elapsed().as_secs_f64();
    Ok(Ended::Led(Box::new(outcome)))
}

/// A number that nobody else has.
fn unique() -> u128 {
    let mut bytes = [0; 16];
    // Where the system has no randomness, the time and the process are different, too.
    if getrandom::fill(&mut bytes).is_err() {
        bytes[..8].copy_from_slice(&epoch::wall_time().to_le_bytes());
        bytes[8..12].copy_from_slice(&std::process::id().to_le_bytes());
    }
    u128::from_le_bytes(bytes)
}

/// A word that no other claim has; it begins with the launch's, where there is one.
fn nonce(options: &RunOptions) -> String {
    let number = unique();
    match &options.launch {
        Some(launch) => format!("{launch} {number}"),
        None => number.to_string(),
    }
}

/// Whether the journal is one of this job as it stands now, or one whose state goes on under it: then nothing may be left that
/// is to be read again, since it was read by the text before.
fn fits(
    plan: &Plan,
    reading: &Reading,
    history: &History,
    committed: Option<Epoch>,
) -> Result<(), RunError> {
    let Some(known) = &history.plan else {
        return Ok(());
    };
    let told = |changes: &[Change]| {
        let words: Vec<String> = changes.iter().map(Change::to_string).collect();
        words.join("; ")
    };
    let mut difference = match change::compare(&known.text, &plan.text) {
        Fit::Other(changes) => {
            return Err(RunError::OtherPlan {
                job: plan.name.clone(),
                difference: told(&changes),
            });
        }
        Fit::Same => String::new(),
        Fit::Compatible(mut changes) => {
            changes.retain(|change| !change.is_at_once());
            told(&changes)
        }
    };
    // Builds with another number may read the same messages otherwise.
    if known.replay != epoch::REPLAY {
        let of_program = format!(
            "the program is one of replay {}, and was one of {}",
            epoch::REPLAY,
            known.replay
        );
        difference = match difference.as_str() {
            "" => of_program,
            of_file => format!("{of_program}; {of_file}"),
        };
    }
    if difference.is_empty() {
        return Ok(());
    }
    let chosen = choose(plan, reading, history, committed)?.map(|chosen| chosen.epoch);
    if history.drained.is_none() || chosen != history.newest_epoch() {
        return Err(RunError::NotDrained {
            job: plan.name.clone(),
            difference,
            checkpoint: chosen.unwrap_or(0),
            bound: history.newest_epoch().unwrap_or(0),
        });
    }
    tracing::info!(
        action = "plan-changed",
        difference,
        "job file or program were changed; the job's state goes on"
    );
    Ok(())
}

/// Reads the journal, unless a life of the job is at work: it is not taken over from by accident. One that commits what it has and
/// ends is waited for; one whose process is gone or stands still does not answer.
fn open_journal(plan: &Plan, store: &Arc<dyn epoch::Store>) -> Result<epoch::Opened, RunError> {
    let since = Instant::now();
    loop {
        let opened = Journal::open(Arc::clone(store))?;
        let history = &opened.history;
        let claim = history.claim.as_ref().filter(|_| !history.has_ended());
        let Some((claim, address)) = claim.and_then(|claim| Some((claim, claim.address.clone()?)))
        else {
            return Ok(opened);
        };
        let Ok(at) = address.parse() else {
            return Ok(opened);
        };
        // Where that life was killed, another job may listen there by now, even one of this name.
        let own = format!("{} {} ", plan.name, claim.nonce);
        let answer = client::get_within(at, "/life", None, ALIVE);
        match answer.as_ref().map(|answer| answer.body.strip_prefix(&own)) {
            Ok(Some("ends\n")) if since.elapsed() < plan.join_timeout => {
                std::thread::sleep(LOOK);
            }
            Ok(Some(_)) => {
                return Err(RunError::Running {
                    job: plan.name.clone(),
                    generation: history.generation,
                    address,
                });
            }
            _ => return Ok(opened),
        }
    }
}

/// The newest checkpoint that what is visible covers and whose state is kept and whole; what it holds was read then. Errors: what is
/// behind it was read by another text of the job.
fn choose<'a>(
    plan: &Plan,
    reading: &Reading,
    history: &'a History,
    committed: Option<Epoch>,
) -> Result<Option<&'a Checkpoint>, RunError> {
    let since = history.plan.as_ref().map_or(0, |plan| plan.since);
    let usable = epoch::usable(history, committed).into_iter();
    for checkpoint in usable.filter(|checkpoint| checkpoint.epoch >= since) {
        match reading.verify(checkpoint.files()) {
            Ok(()) => {
                reading.keep(checkpoint.files());
                return Ok(Some(checkpoint));
            }
            // A store that is away says nothing of what is in it.
            Err(Unread::Store(error)) => return Err(error.into()),
            Err(Unread::Broken { place, problem }) => tracing::warn!(
                action = "checkpoint-broken",
                epoch = checkpoint.epoch,
                problem = format!("{place}: {problem}"),
                "a checkpoint can't be used; the job goes on from an older one, or from its beginning while all is kept since"
            ),
        }
    }
    if since == 0 {
        return Ok(None);
    }
    let continuous = plan.continuous.as_ref();
    let state = &continuous.expect("the job is continuous").state;
    Err(RunError::ReadByOther {
        state: state.to_string(),
        since,
    })
}

/// Whether the epochs with which the job began are gone, so that only a checkpoint can be gone on from.
fn is_past_the_beginning(history: &History) -> bool {
    let first = history.bindings.front();
    history.newest_epoch().is_some() && first.is_none_or(|first| first.epoch > 0)
}

/// From where this life goes on.
fn resume(
    plan: &Plan,
    history: &History,
    chosen: Option<&Checkpoint>,
    generation: u64,
    committed: Option<Epoch>,
) -> (Resume, Resumed, Totals) {
    let replay = |after: Epoch| -> Vec<Binding> {
        let bindings = history.bindings.iter();
        bindings
            .filter(|binding| binding.epoch > after)
            .cloned()
            .collect()
    };
    let (resume, state, totals) = if let Some(checkpoint) = chosen {
        (
            Resume {
                epoch: checkpoint.epoch,
                now: checkpoint.now,
                watermark: checkpoint.watermark,
                partitions: checkpoint.partitions.clone(),
                references: checkpoint.references.clone(),
                changed: checkpoint.changed.clone(),
                parked: checkpoint.parked,
                lag: checkpoint.lag.clone(),
                replay: replay(checkpoint.epoch),
            },
            checkpoint.state.clone(),
            serde_json::from_value(checkpoint.totals.clone()).unwrap_or_default(),
        )
    } else {
        let first = history.bindings.front().filter(|first| first.epoch == 0);
        let resume = Resume {
            epoch: 0,
            now: first.map_or_else(epoch::wall_time, |first| first.now),
            watermark: None,
            partitions: first.map_or_else(Vec::new, |first| first.moved.clone()),
            changed: Vec::new(),
            parked: 0,
            lag: Some(Lag::unknown()),
            references: first.map_or_else(Vec::new, |first| {
                let mut rows = Vec::new();
                for change in &first.references {
                    ReferenceRows::take(&mut rows, change);
                }
                rows
            }),
            replay: replay(0),
        };
        (resume, Vec::new(), Totals::default())
    };
    tracing::info!(
        action = "life-begun",
        job = plan.name,
        generation,
        checkpoint = resume.epoch,
        replayed_epochs = resume.replay.len(),
        state_bytes = state.iter().map(|file| file.bytes).sum::<u64>(),
        "the job goes on"
    );
    let resumed = Resumed {
        generation,
        epoch: resume.epoch,
        state,
        committed,
        durable: resume.replay.last().map_or(resume.epoch, |last| last.epoch),
        identity: String::new(),
        unseen: Vec::new(),
    };
    (resume, resumed, totals)
}

/// What looks for partitions of each source.
fn discoveries(plan: &Plan, resume: &Resume) -> Result<Vec<Discovery>, RunError> {
    let each = |source| Discovery::new(source, &resume.partitions, &resume.replay);
    let found: Result<Vec<_>, _> = plan.sources.iter().map(each).collect();
    Ok(found?.into_iter().flatten().collect())
}

/// Finds new partitions, and holds the known ones against what is there; topics against the `identities` that they had when epochs up to
/// `bound` were read.
fn look(
    options: &RunOptions,
    mut resume: Resume,
    discoveries: &mut [Discovery],
    (identities, bound): (&mut BTreeMap<String, String>, Epoch),
    fate: &Fate,
    patience: Duration,
) -> Result<(Resume, Looked), RunError> {
    let over = || fate.is_over();
    let is_first = resume.epoch == 0 && resume.replay.is_empty();
    let mut looked = Looked::default();
    for discovery in discoveries.iter_mut() {
        let changes = discovery.begin(patience, is_first, &over)?;
        options.observer.lost(discovery.name(), changes.lost);
        looked.found.extend(changes.found);
        looked.places.extend(discovery.places());
        if let Some(topics) = discovery.topics() {
            let lost = hold_topics(topics, &mut resume, identities, bound, patience, &over)?;
            options.observer.lost(discovery.name(), lost);
        }
        let mut lifted = Vec::new();
        for known in &mut resume.partitions {
            if known.partition.source != discovery.name() {
                continue;
            }
            let (at, lost) = discovery.check(known, patience, &over)?;
            if at != known.to {
                options.observer.lost(&known.partition.source, lost);
                tracing::warn!(
                    action = "messages-lost",
                    topic = known.partition.topic,
                    partition = known.partition.partition,
                    lost,
                    "messages that were not read are gone; reading goes on with the first there is"
                );
                known.to = at;
                lifted.push((known.partition.clone(), at));
            }
        }
        for (partition, at) in lifted {
            renewed::lift(&mut resume, &partition, at);
        }
    }
    fate.check()?;
    Ok((resume, looked))
}

/// Holds the topics of a source against the ids that they had. One that was made anew ends the job, or is begun anew where the job takes
/// that; then it is written down, too, up to which epoch the one before was read. Gives how many messages are gone that were to be
/// read again.
fn hold_topics(
    topics: &Topics,
    resume: &mut Resume,
    identities: &mut BTreeMap<String, String>,
    bound: Epoch,
    patience: Duration,
    over: &dyn Fn() -> bool,
) -> Result<i64, RunError> {
    let mut gone = 0;
    for (topic, found) in topics.ids(patience, over).map_err(SourceError::from)? {
        let id = renewed::id_of(topics.owner(), &topic);
        let last = renewed::last_of(topics.owner(), &topic);
        let known = identities.insert(id, found.clone());
        if let Some(known) = known.filter(|known| *known != found) {
            if !topics.takes_loss() {
                return Err(SourceError::from(topics.renewed(&topic, &known, &found)).into());
            }
            tracing::warn!(
                action = "topic-renewed",
                source = topics.name(),
                topic,
                known,
                found,
                "a topic is another one than before; it is read from its first message on"
            );
            identities.insert(last.clone(), bound.to_string());
        }
        let last = identities.get(&last).and_then(|last| last.parse().ok());
        if let Some(last) = last {
            let source = topics.name();
            gone += renewed::begin(resume, (source, topic.as_str()), last, |partition| {
                topics.first(partition, patience, over)
            })
            .map_err(SourceError::from)?;
        }
    }
    Ok(gone)
}

/// Reads the holidays of calendars, and writes them down where they are news. Where epochs are to be read again they are judged as they were: by
/// the days that are written down, and those of the file wait for another start.
fn hold_holidays(
    plan: &Plan,
    identities: &mut BTreeMap<String, String>,
    is_read_again: bool,
) -> Result<Vec<Vec<i64>>, RunError> {
    let mut holidays = read_all_holidays(plan)?;
    for (calendar, days) in plan.calendars.iter().zip(&mut holidays) {
        let Some(file) = &calendar.file else { continue };
        let name = format!("calendars.{}", calendar.name);
        let words = |days: &[i64]| -> String {
            let days: Vec<String> = days.iter().map(i64::to_string).collect();
            days.join(" ")
        };
        let known = identities.get(&name).filter(|_| is_read_again);
        if let Some(known) = known.filter(|known| **known != words(days)) {
            tracing::warn!(
                action = "holidays-wait",
                calendar = calendar.name,
                file = %file.display(),
                "the file of holidays is another one than before, and epochs are to be read again: it counts from the next start on"
            );
            *days = known
                .split(' ')
                .filter_map(|day| day.parse().ok())
                .collect();
        }
        identities.insert(name, words(days));
    }
    Ok(holidays)
}

/// Adds what the sources are by their own word. Errors: one is another than the journal knows, where its positions mean nothing.
fn identify(
    plan: &Plan,
    identities: &mut BTreeMap<String, String>,
    discoveries: &[Discovery],
) -> Result<(), RunError> {
    for discovery in discoveries {
        let Some(found) = discovery.cluster() else {
            continue;
        };
        let source = format!("sources.{}", discovery.name());
        match identities.insert(source.clone(), found.clone()) {
            Some(known) if known != found => {
                return Err(RunError::OtherCluster {
                    job: plan.name.clone(),
                    source_name: source,
                    known,
                    found,
                });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Looks at the clusters that sinks write to, before anything is read: their topics are there, and hold what the state says. Gives from
/// where each shard goes on, and those of clusters that are away and hold meanwhile. A cluster that the state does not know yet has to be
/// there: a misspelt topic, or another job's progress, is to be found now.
fn look_at_clusters(
    plan: &Plan,
    history: &History,
    chosen: Option<&Checkpoint>,
    identities: &mut BTreeMap<String, String>,
    store: &dyn epoch::Store,
    fate: &Fate,
) -> Result<(BTreeMap<ShardId, Delivered>, Vec<Unseen>), RunError> {
    let (mut shards, mut unseen) = (BTreeMap::new(), Vec::new());
    // What each cluster calls itself.
    let mut ids: Vec<Option<String>> = Vec::new();
    let known = identities.get(STATE).cloned();
    if !plan.clusters.is_empty() && known.is_none() {
        identities.insert(STATE.to_owned(), format!("{:032x}", unique()));
    }
    for (number, cluster) in plan.clusters.iter().enumerate() {
        let owner = target::Owner {
            job: &plan.name,
            state: known.as_deref(),
        };
        let over = || fate.is_over();
        let holds = matches!(cluster.on_failure, OnFailure::Hold { .. });
        let held = outbox::last_held(store, cluster, holds)?;
        let name = format!("clusters.{}", cluster.id);
        let may_be_away = holds && identities.contains_key(&name);
        let patience = if may_be_away {
            HOLD_AFTER
        } else {
            plan.join_timeout
        };
        let looked = match target::look(plan, number, owner, patience, &over) {
            Err(_) if fate.is_over() => return fate.check().map(|()| (shards, unseen)),
            Err(TopicError::Unreachable { problem, .. }) if may_be_away => {
                tracing::warn!(
                    action = "cluster-away",
                    cluster = cluster.brokers,
                    problem,
                    "brokers do not answer: the job begins, and holds what is for them"
                );
                None
            }
            looked => Some(looked?),
        };
        if let Some(found) = looked.as_ref().and_then(|looked| looked.id.clone()) {
            match identities.insert(name.clone(), found.clone()) {
                Some(known) if known != found => {
                    return Err(RunError::OtherCluster {
                        job: plan.name.clone(),
                        source_name: name,
                        known,
                        found,
                    });
                }
                _ => {}
            }
        }
        // One that is away is the one that it was, or is found not to be.
        if let Some(own) = identities.get(&name) {
            let others = plan.clusters[..number].iter();
            let mut others = others.zip(&ids).filter(|(_, id)| id.as_ref() == Some(own));
            if let Some((other, _)) = others.next() {
                return Err(TopicError::one_cluster(cluster, other, own.clone()).into());
            }
        }
        ids.push(identities.get(&name).cloned());
        let bound = history.newest_epoch().unwrap_or(0);
        let at = chosen.map_or(&[][..], |chosen| &chosen.shards);
        for shard in 0..cluster.shards {
            let of_shard = at
                .iter()
                .find(|at| at.cluster == cluster.id && at.shard == shard);
            let last = of_shard.map_or(0, |at| at.last);
            let id = ShardId {
                cluster: number,
                shard,
            };
            if let Some(looked) = &looked {
                let progress = looked.progress[shard].as_ref();
                let (of, at) = ((number, shard), (last, bound));
                let held = held.get(&shard).copied();
                match target::await_covers(plan, of, progress, at, held, &over) {
                    Err(_) if fate.is_over() => return fate.check().map(|()| (shards, unseen)),
                    covered => covered?,
                }
            } else {
                unseen.push(Unseen {
                    shard: id,
                    last,
                    bound,
                    known: identities.get(&name).cloned(),
                });
            }
            let upto = chosen.map_or(0, |chosen| chosen.epoch);
            shards.insert(id, Delivered { upto, last });
        }
    }
    Ok((shards, unseen))
}

/// Writes down what the job is, where the journal knows it otherwise or not at all; and for its first life epoch 0 with
/// the rows of look-ups.
fn begin_journal(
    plan: &Plan,
    store: &dyn epoch::Store,
    journal: &Mutex<Journal>,
    history: &History,
    resume: &mut Resume,
    identities: BTreeMap<String, String>,
    followers: &mut [Follower],
) -> Result<(), RunError> {
    let mut journal = lock(journal);
    let known = history.plan.as_ref();
    let is_known = |known: &PlanText| {
        known.text == *plan.text
            && known.replay == epoch::REPLAY
            && holds(&known.identities, &identities)
    };
    if !known.is_some_and(is_known) {
        // All of it is committed then (`fits`).
        let since = known.map_or(0, |known| match change::compare(&known.text, &plan.text) {
            Fit::Same if known.replay == epoch::REPLAY => known.since,
            Fit::Compatible(changes)
                if known.replay == epoch::REPLAY && changes.iter().all(Change::reads_alike) =>
            {
                known.since
            }
            _ => history.newest_epoch().unwrap_or(0),
        });
        journal.append(Record::Plan(PlanText {
            text: plan.text.to_string(),
            hash: crate::cluster::exchange::hash_bytes(plan.text.as_bytes()),
            build: env!("CARGO_PKG_VERSION").to_owned(),
            replay: epoch::REPLAY,
            identities,
            since,
        }))?;
    }
    if history.newest_epoch().is_none() {
        let generation = journal.generation();
        let changes = references::bind_first(plan, store, generation, followers)?;
        for change in &changes {
            ReferenceRows::take(&mut resume.references, change);
        }
        journal.append(Record::Bindings(vec![Binding {
            epoch: 0,
            generation,
            now: resume.now,
            watermark: None,
            moved: Vec::new(),
            references: changes,
            parked: 0,
            lag: None,
        }]))?;
    }
    Ok(())
}

/// Whether what identifies sources and targets is written down already.
fn holds(known: &BTreeMap<String, String>, identities: &BTreeMap<String, String>) -> bool {
    let mut identities = identities.iter();
    identities.all(|(name, value)| known.get(name) == Some(value))
}
