//! What a job means: from the file as written to the [`Plan`] that the dataflow reads.
//!
//! ```text
//! Document --options, sources, look-ups--> columns --derive--> all columns --bind--> rules, windows, checks, sinks --> Plan
//!                         \______________________\__________________\______________\____> problems
//! ```
//!
//! 1. `[job]`, then the columns of sources and look-ups: what they are called and their types.
//! 2. Derived columns, in the order of need: each has its type from those before it.
//! 3. All columns being known, the expressions of look-ups, and with them the order of all steps.
//! 4. Rules, duplicates, windows, checks, sinks, key and reasons.
//!
//! Everything is read to its end whatever is faulty, so that a job's faults are told at once; what only follows from
//! a fault that is told already is not (see [`scope`]). No file is looked at.

mod alerts;
mod calendars;
mod checks;
mod client;
mod clusters;
mod columns;
mod continuous;
mod derive;
mod duplicates;
mod expected;
mod follow;
mod freshness;
mod kafka;
mod lookups;
mod metadata;
mod notation;
mod options;
mod order;
mod outputs;
mod paths;
mod reasons;
mod report;
mod rules;
mod scope;
mod sinks;
mod sources;
mod topics;
mod transport;
mod types;
mod units;
mod variance;
mod windows;
mod words;

use std::path::Path;

pub use calendars::read_date;
pub use freshness::MOST_SEGMENTS;
pub(super) use kafka::cluster_as_written;
pub use reasons::DEFAULT_REASONS;
pub use report::Wrong;
pub use types::{read_type, type_text};
pub use units::{
    duration_text, read_duration, read_percentage, read_size, read_window_length, size_text,
};
pub use words::{read_byte, read_time_zone};

use self::derive::{Known, resolve_derived};
use self::report::Report;
use crate::job::document::Document;
use crate::job::plan::{KafkaSource, LookupPlan, Plan, SourcePlan, Transport};
use crate::job::problems::Problems;
use crate::job::spec::Spec;

/// Resolves a job.
///
/// # Errors
/// All faults of the job file, those of reading it included, in the order of the file.
pub fn resolve(document: &Document) -> Result<Plan, Problems> {
    let mut report = Report::new(document);
    let mut plan = plan(&mut report, document);
    document.all_problems(report.finish()).or(())?;
    assert_whole(&plan, &document.spec);
    outputs::work_out_before_the_split(&mut plan);
    Ok(plan)
}

/// What reads topics, by its table in the job file.
fn readers<'a>(
    sources: impl Iterator<Item = &'a SourcePlan>,
    lookups: impl Iterator<Item = &'a LookupPlan>,
) -> Vec<(String, &'a KafkaSource)> {
    let sources = sources.map(|source| ("sources", &source.name, &source.transport));
    let lookups = lookups.map(|lookup| ("lookups", &lookup.name, &lookup.transport));
    let readers = sources.chain(lookups);
    readers
        .filter_map(|(table, name, transport)| match transport {
            Transport::Kafka(kafka) => Some((format!("{table}.{name}"), kafka.as_ref())),
            _ => None,
        })
        .collect()
}

/// What is left out of a plan has a fault that is reported; a plan with neither would do less than the job says.
fn assert_whole(plan: &Plan, spec: &Spec) {
    let counts = [
        ("sources", plan.sources.len(), spec.sources.len()),
        ("look-ups", plan.lookups.len(), spec.lookups.len()),
        ("derived columns", plan.derived.len(), spec.derive.len()),
        ("rules", plan.rules.len(), spec.rules.len()),
        ("duplicates", plan.duplicates.len(), spec.duplicates.len()),
        ("windows", plan.windows.len(), spec.windows.len()),
        ("calendars", plan.calendars.len(), spec.calendars.len()),
        ("checks", plan.checks.len(), spec.checks.len()),
        ("alerts", plan.alerts.len(), spec.alerts.len()),
        ("sinks", plan.sinks.len(), spec.sinks.len()),
    ];
    for (what, resolved, written) in counts {
        assert!(
            resolved == written,
            "{resolved} of {written} {what} are resolved and no fault is reported"
        );
    }
}

/// The plan, which is whole where no fault is reported.
fn plan(report: &mut Report<'_>, document: &Document) -> Plan {
    let spec = &document.spec;
    let folder = document.file.parent().unwrap_or(Path::new(""));

    // 1. Columns of sources and look-ups.
    let is_continuous = continuous::is_continuous(spec);
    let options = options::read_options(report, &spec.job, folder, is_continuous);
    let continuous = continuous::read_continuous(
        report,
        spec,
        folder,
        (&options.output, options.join_timeout),
    );
    let time_zone = options.time_zone;
    let sources = sources::resolve_sources(report, &spec.sources, folder, is_continuous);
    let source_columns = sources.columns.len();
    let mut known = Known {
        columns: sources.columns,
        faulty: sources.faulty,
    };
    follow::check_new_files(report, spec, is_continuous);
    lookups::check_relations(report, &spec.sources, &spec.lookups);
    lookups::check_waits(report, &spec.sources, &spec.lookups);
    let mut drafts = Vec::with_capacity(spec.lookups.len());
    for (name, lookup) in spec.lookups.iter() {
        let draft = lookups::read_lookup(
            report,
            name,
            lookup,
            (folder, is_continuous),
            &mut known.columns,
        );
        known.faulty.extend(draft.faulty.iter().cloned());
        drafts.push(draft);
    }

    // 2. Derived columns.
    let derived = resolve_derived(report, &spec.derive, &mut known, time_zone);
    let scope = known.scope(time_zone);

    // 3. Look-ups and the order of steps.
    let lookups: Vec<_> = drafts
        .into_iter()
        .map(|draft| draft.bind(report, &scope, &sources.event_time, time_zone.name()))
        .collect();
    let stages = order::order_steps(report, &lookups, &derived);
    let derived: Vec<_> = derived.into_iter().flatten().collect();

    // 4. What reads the columns.
    let rules = rules::resolve_rules(report, &spec.rules, &scope);
    let duplicates = duplicates::resolve_duplicates(report, spec, &scope, source_columns);
    let windows = windows::resolve_windows(
        report,
        &spec.windows,
        &scope,
        &sources.event_time,
        is_continuous,
    );
    let calendars = calendars::resolve_calendars(report, &spec.calendars, folder, time_zone);
    let context = checks::Context {
        scope: &scope,
        event_time: &sources.event_time,
        source_specs: &spec.sources,
        window_specs: &spec.windows,
        windows: &windows,
        lookup_specs: &spec.lookups,
        lookups: &lookups,
        calendars: &spec.calendars,
        time_zone,
        is_continuous,
    };
    let checks = checks::resolve_checks(report, &spec.checks, context);
    let of_alerts = alerts::Context {
        checks: &spec.checks,
        windows: &spec.windows,
        is_continuous,
    };
    let alerts = alerts::resolve_alerts(report, &spec.alerts, of_alerts);
    let derived_ids: Vec<usize> = derived.iter().map(|derived| derived.id).collect();
    let readers: Vec<_> = readers(sources.plans.iter().flatten(), lookups.iter().flatten());
    let tables = sinks::Tables {
        job: &spec.job.name,
        readers: &readers,
        is_continuous,
        rows: &scope,
        faulty: &known.faulty,
        source_columns,
        derived: &derived_ids,
        finds_duplicates: !spec.duplicates.is_empty(),
        window_specs: &spec.windows,
        windows: &windows,
        check_specs: &spec.checks,
        checks: &checks,
        time_zone,
    };
    let (sinks, clusters) = sinks::resolve_sinks(report, &spec.sinks, tables);
    let key = scope.distinct_columns(
        report,
        &["job", "key"],
        spec.job.key.as_deref().unwrap_or_default(),
    );
    let reasons = reasons::read_reasons(report, spec);

    Plan {
        name: spec.job.name.clone(),
        file: document.file.clone(),
        text: document.text.clone(),
        key,
        time_zone,
        output: options.output,
        reasons,
        rerun: options.rerun,
        on_bad_file: options.on_bad_file,
        max_refused: options.max_refused,
        chunk_bytes: options.chunk_bytes,
        epoch_bytes: options.epoch_bytes,
        in_flight_bytes: options.in_flight_bytes,
        join_timeout: options.join_timeout,
        peer_timeout: options.peer_timeout,
        partials: options.partials,
        continuous,
        columns: known.columns,
        sources: sources.plans.into_iter().flatten().collect(),
        lookups: lookups.into_iter().flatten().collect(),
        derived,
        stages,
        rules,
        duplicates,
        windows: windows
            .into_iter()
            .filter_map(|window| window.plan)
            .collect(),
        calendars,
        checks,
        alerts,
        sinks,
        clusters,
    }
}

/// The plan of a job that a test writes.
#[cfg(test)]
pub(crate) fn plan_of(text: &str) -> Plan {
    let document = Document::parse(
        std::path::Path::new("t.toml"),
        text.as_bytes().to_vec(),
        &|_| None,
    );
    let plan = document.and_then(|document| resolve(&document));
    plan.unwrap_or_else(|problems| panic!("{problems}"))
}

#[cfg(test)]
mod tests;
