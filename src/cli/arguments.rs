//! The command line as typed. What the program needs is made from it in `convert`.
//!
//! Help is `--help` everywhere: `-h` is the host file, as in every timely program.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

const EXIT_CODES: &str = "\
Exit codes:
  0    ran; no check failed (warnings are printed)
  1    ran, and a check failed, too much was refused, or a `stop` rule met
       its row: nothing is visible
  2    the job file or the command line is wrong; nothing started
  3    the world failed: no such file, disk full, no permission, a process
       that is lost
  101  a bug in caudal
  130  interrupted: nothing of the run is visible";

const EXAMPLES: &str = "\
Examples:
  caudal check jobs/ventas.toml              every fault of the job file, or its output columns
  caudal explain jobs/ventas.toml            what would run
  caudal run jobs/ventas.toml -w 4           run it on four threads
  caudal run jobs/ventas.toml --json | jq    the summary for machines
  caudal launch jobs/ventas.toml -n 4        run it in four processes
  caudal status jobs/ventas.toml             where its run stands (run --status)
  caudal quarantine jobs/ventas.toml         which rows were refused, and why
  caudal generate ventas --rows 1000000 --seed 1 --out data";

const RUN_EXAMPLES: &str = "\
Examples:
  caudal run jobs/ventas.toml                     one thread
  caudal run jobs/ventas.toml -w 8                eight, the same result
  caudal run jobs/ventas.toml --limit 1000        1000 rows, to try a job
  caudal run jobs/ventas.toml --as-of 2026-03-15  freshness at that midnight UTC
  caudal run jobs/ventas.toml --json --quiet      only one line of JSON
  caudal run jobs/ventas.toml -n 3 -p 0 -h hosts  the first of three processes
  caudal run jobs/ventas.toml --status 127.0.0.1:0   a look inside with `caudal status`
  caudal run jobs/ventas.toml --replay            only what the last run refused, again

A bounded run is all or nothing: its outputs replace those of the run before
as a whole at the end, or nothing changes. The summary goes to standard error.";

const LAUNCH_EXAMPLES: &str = "\
Example:
  caudal launch jobs/ventas.toml -n 4 -w 2        four processes of two threads

Each line that a process tells begins with its index. The exit code is the
worst of all: 101, 3 (also: ended by a signal), 2, 130, 1, 0.
On several machines start `caudal run JOB -n N -p I -h HOSTFILE` on each.";

const STATUS_EXAMPLES: &str = "\
Examples:
  caudal run jobs/ventas.toml --status 127.0.0.1:0 &
  caudal status jobs/ventas.toml
  caudal status jobs/ventas.toml --json | jq .rows

Exits with 3 where no run answers. With CAUDAL_STATUS_TOKEN set the run asks for
that token, and `status` gives it.";

const VERIFY_EXAMPLES: &str = "\
Examples:
  caudal verify jobs/ventas.toml
  caudal verify jobs/ventas-stream.toml --epochs
  caudal verify jobs/ventas.toml --json | jq .is_good

Files are held against the manifests: their size, and a checksum over their
bytes. A file of a continuous job has rows of all epochs of its commit, which is
named where it differs. Of topics all committed messages are read, and held
against what was written down of each epoch: their number, and a sum over keys
and values, whatever their order. The newest commit is held against the
journal's newest checkpoint. Exits with 1 where something differs.";

const CHECK_EXAMPLES: &str = "\
Prints `ok` and the columns of every sink; or every fault of the job file with
its place, and exits with 2. No data is read.";

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  caudal explain jobs/ventas.toml
  caudal explain jobs/ventas.toml --mermaid > plan.mmd
  caudal explain jobs/ventas.toml --json | jq .sinks";

const QUARANTINE_EXAMPLES: &str = "\
Examples:
  caudal quarantine jobs/ventas.toml                      reasons, with counts and the first row of each
  caudal quarantine jobs/ventas.toml --reason bad_ts      its rows, 20 of them (--all: every one)
  caudal quarantine jobs/ventas.toml --row 7              all of one row, by its number in the list
  caudal quarantine jobs/ventas.toml --row part-0.csv:12  the same by file and line; --hex shows bytes
  caudal quarantine jobs/ventas.toml --export bad.csv     place, reasons and raw text as CSV
  caudal run jobs/ventas.toml --replay                    feed them again, once the job is mended

In an exported file a text that a spreadsheet would take for a formula (it begins
with = + - @, a tab or a carriage return) has an apostrophe before it; --exact leaves
it as it is. Bytes that are no UTF-8 are shown as \\xNN.";

const VERDICTS_EXAMPLES: &str = "\
Examples:
  caudal verdicts jobs/ventas-stream.toml                       by check and status; what warns or fails
  caudal verdicts jobs/ventas-stream.toml --as-of 2026-03-14T12:00  what was believed then
  caudal verdicts jobs/ventas-stream.toml --as-of 1204          the same when epoch 1204 had passed
  caudal verdicts jobs/ventas-stream.toml --check amount_usual --segment region_id=5
  caudal verdicts jobs/ventas-stream.toml --check amount_usual --window 2026-03-14T11:58 --changes
                                                                what was believed when, and why it changed

From the history that a continuous job keeps; it may run meanwhile.";

const GENERATE_EXAMPLES: &str = "\
Example:
  caudal generate ventas --rows 1000000 --seed 1 --out data

Writes data/1m/{csv,json,truth.json} and data/dims. The same seed gives the same
bytes on every machine; truth.json says what a correct engine makes of them.";

const COMPLETIONS_EXAMPLES: &str = "\
Example:
  caudal completions bash > ~/.local/share/bash-completion/completions/caudal";

/// A sales pipeline engine: events in, validated, enriched, checked and written out.
#[derive(Debug, Parser)]
#[command(
    name = "caudal",
    version,
    disable_help_flag = true,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    max_term_width = 110,
    after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}")
)]
pub(super) struct Arguments {
    #[command(flatten)]
    help: Help,
    #[command(subcommand)]
    pub(super) command: Typed,
}

/// The flag that clap would otherwise call `-h`, too.
#[derive(Debug, Args)]
pub(super) struct Help {
    /// Print help
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Typed {
    /// Run a job to its end
    #[command(disable_help_flag = true, after_help = format!("{RUN_EXAMPLES}\n\n{EXIT_CODES}"))]
    Run(RunTyped),
    /// Run a job in several processes of this machine, started and watched as one
    #[command(disable_help_flag = true, after_help = format!("{LAUNCH_EXAMPLES}\n\n{EXIT_CODES}"))]
    Launch(LaunchTyped),
    /// Find every fault of a job file; nothing starts
    #[command(disable_help_flag = true, after_help = CHECK_EXAMPLES)]
    Check {
        #[command(flatten)]
        help: Help,
        /// The job file
        job: PathBuf,
    },
    /// Print the plan and the dataflow of a job; nothing starts
    #[command(disable_help_flag = true, after_help = EXPLAIN_EXAMPLES)]
    Explain {
        #[command(flatten)]
        help: Help,
        /// The job file
        job: PathBuf,
        /// As a Mermaid flowchart
        #[arg(long, conflicts_with = "json")]
        mermaid: bool,
        /// As one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Print where a running job stands
    #[command(disable_help_flag = true, after_help = STATUS_EXAMPLES)]
    Status {
        #[command(flatten)]
        help: Help,
        /// The job file
        job: PathBuf,
        /// As one line of JSON for each process
        #[arg(long)]
        json: bool,
    },
    /// Let a running continuous job commit what it has and end
    #[command(disable_help_flag = true)]
    Stop {
        #[command(flatten)]
        help: Help,
        /// The job file
        job: PathBuf,
    },
    /// Let a running continuous job go on with other numbers of processes and workers
    #[command(disable_help_flag = true)]
    Rescale {
        #[command(flatten)]
        help: Help,
        /// The job file
        job: PathBuf,
        /// Number of processes
        #[arg(short = 'n', value_name = "PROCESSES", value_parser = clap::value_parser!(u16).range(1..))]
        processes: u16,
        /// Worker threads of each
        #[arg(short = 'w', value_name = "THREADS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
        workers: u16,
    },
    /// Print what a continuous job has decided and committed
    #[command(disable_help_flag = true)]
    Epochs {
        #[command(flatten)]
        help: Help,
        /// The job file
        job: PathBuf,
        /// How far the shards of this sink's topic are, as their progress says
        #[arg(long, value_name = "SINK")]
        sink: Option<String>,
        /// As one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Look whether what a job has committed is there, file by file and epoch by epoch
    #[command(disable_help_flag = true, after_help = VERIFY_EXAMPLES)]
    Verify {
        #[command(flatten)]
        help: Help,
        /// The job file
        job: PathBuf,
        /// Each epoch, or each commit where files have several: rows or messages, and a checksum
        #[arg(long)]
        epochs: bool,
        /// As one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the rows that the last run refused, and why
    #[command(disable_help_flag = true, after_help = QUARANTINE_EXAMPLES)]
    Quarantine(QuarantineTyped),
    /// Show what a continuous job says of its checks, or said at some time, and why it changed
    #[command(disable_help_flag = true, after_help = VERDICTS_EXAMPLES)]
    Verdicts(VerdictsTyped),
    /// Write a generated data set
    #[command(disable_help_flag = true, disable_help_subcommand = true)]
    Generate {
        #[command(flatten)]
        help: Help,
        #[command(subcommand)]
        set: DataSet,
    },
    /// Print a completion script for a shell
    #[command(disable_help_flag = true, after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        #[command(flatten)]
        help: Help,
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(super) struct RunTyped {
    #[command(flatten)]
    help: Help,
    /// The job file
    pub(super) job: PathBuf,
    /// Worker threads in each process
    #[arg(short = 'w', long = "workers", value_name = "THREADS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) workers: u16,
    /// Number of worker processes
    #[arg(short = 'n', long = "processes", value_name = "PROCESSES", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) processes: u16,
    /// Index of this process, from 0
    #[arg(
        short = 'p',
        long = "process",
        value_name = "INDEX",
        default_value_t = 0
    )]
    pub(super) process: u16,
    /// File with the address of each process, host:port, one a line; localhost:2101 and up where absent
    #[arg(short = 'h', long = "hostfile", value_name = "HOSTFILE")]
    pub(super) hosts: Option<PathBuf>,
    /// Judge freshness as of this time (ISO 8601; UTC where it names no zone) and not of the newest event
    #[arg(long, value_name = "TIME")]
    pub(super) as_of: Option<String>,
    /// End the input after this many rows
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
    /// Feed the rows again that the last run refused, once the job or a look-up is mended: those that are clean now are added to the
    /// outputs, the others stay in the quarantine
    #[arg(long, conflicts_with = "limit")]
    pub(super) replay: bool,
    /// Answer /metrics, /status, /healthz and /readyz over HTTP at this address while it runs (port 0: any free one); with
    /// `CAUDAL_STATUS_TOKEN` set, metrics and status ask for that token
    #[arg(long, value_name = "ADDR")]
    pub(super) status: Option<String>,
    /// Log the life of the run on standard error instead of progress and summary (json: with ECS field names)
    #[arg(long, value_enum, value_name = "SHAPE")]
    pub(super) log: Option<LogTyped>,
    /// Print the summary as one line of JSON on standard output
    #[arg(long)]
    pub(super) json: bool,
    /// Show no progress and no summary; warnings and failures are still printed
    #[arg(long)]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct LaunchTyped {
    #[command(flatten)]
    help: Help,
    /// The job file
    pub(super) job: PathBuf,
    /// Number of worker processes
    #[arg(short = 'n', long = "processes", value_name = "PROCESSES", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) processes: u16,
    /// Worker threads in each process
    #[arg(short = 'w', long = "workers", value_name = "THREADS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(super) workers: u16,
    /// Judge freshness as of this time (ISO 8601; UTC where it names no zone) and not of the newest event
    #[arg(long, value_name = "TIME")]
    pub(super) as_of: Option<String>,
    /// End the input after this many rows
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) limit: Option<u64>,
    /// Feed the rows again that the last run refused, and nothing else
    #[arg(long, conflicts_with = "limit")]
    pub(super) replay: bool,
    /// Show metrics and status of each process over HTTP, at this address with the port plus its index (port 0: any free ones)
    #[arg(long, value_name = "ADDR")]
    pub(super) status: Option<String>,
    /// Log the life of the run on standard error instead of progress and summary (json: with ECS field names)
    #[arg(long, value_enum, value_name = "SHAPE")]
    pub(super) log: Option<LogTyped>,
    /// Print the summary as one line of JSON on standard output
    #[arg(long)]
    pub(super) json: bool,
    /// Show no progress and no summary; warnings and failures are still printed
    #[arg(long)]
    pub(super) quiet: bool,
}

#[derive(Debug, Args)]
pub(super) struct QuarantineTyped {
    #[command(flatten)]
    help: Help,
    /// The job file
    pub(super) job: PathBuf,
    /// List the rows with this reason, whether it is their first one or not
    #[arg(long, value_name = "CODE", conflicts_with = "row")]
    pub(super) reason: Option<String>,
    /// List every row, not only the first 20
    #[arg(long, requires = "reason")]
    pub(super) all: bool,
    /// Show all of one row: its number in the lists, `FILE:LINE`, or `TOPIC/PARTITION:OFFSET`
    #[arg(long, value_name = "ROW")]
    pub(super) row: Option<String>,
    /// Show the row's bytes in hexadecimal digits, too
    #[arg(long, requires = "row")]
    pub(super) hex: bool,
    /// Write the rows into this CSV file; with --reason only those with it
    #[arg(long, value_name = "FILE", conflicts_with = "row")]
    pub(super) export: Option<PathBuf>,
    /// Put no apostrophe before texts that a spreadsheet would take for a formula
    #[arg(long, requires = "export")]
    pub(super) exact: bool,
}

#[derive(Debug, Args)]
pub(super) struct VerdictsTyped {
    #[command(flatten)]
    help: Help,
    /// The job file
    pub(super) job: PathBuf,
    /// What was believed at this time of the job's clock (ISO 8601; UTC where it names no zone), or when this epoch had passed
    #[arg(long, value_name = "TIME|EPOCH")]
    pub(super) as_of: Option<String>,
    /// Only this check
    #[arg(long, value_name = "NAME")]
    pub(super) check: Option<String>,
    /// Only this segment, as verdicts have it: `region_id=5`
    #[arg(long, value_name = "SEGMENT")]
    pub(super) segment: Option<String>,
    /// Only the windows that this time is in
    #[arg(long, value_name = "TIME")]
    pub(super) window: Option<String>,
    /// What was said one after another, and why it changed
    #[arg(long)]
    pub(super) changes: bool,
    /// List every verdict, not only the newest 20
    #[arg(long)]
    pub(super) all: bool,
    /// One line of JSON for each verdict or change, all of them
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum DataSet {
    /// A day of sales with known faults, its look-ups, and the result that is right
    #[command(disable_help_flag = true, after_help = GENERATE_EXAMPLES)]
    Ventas(VentasTyped),
}

#[derive(Debug, Args)]
pub(super) struct VentasTyped {
    #[command(flatten)]
    help: Help,
    /// Number of sales
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) rows: u64,
    /// Which of the data sets of this size
    #[arg(long)]
    pub(super) seed: u64,
    /// Folder to write under
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    /// Write the sales in one format only
    #[arg(long, value_enum)]
    pub(super) only: Option<OneFormat>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogTyped {
    Human,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OneFormat {
    Csv,
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_and_only_run_has_a_short_h() {
        for words in [
            &["caudal", "--help"][..],
            &["caudal", "run", "--help"],
            &["caudal", "launch", "--help"],
            &["caudal", "check", "--help"],
            &["caudal", "explain", "--help"],
            &["caudal", "status", "--help"],
            &["caudal", "quarantine", "--help"],
            &["caudal", "verdicts", "--help"],
            &["caudal", "generate", "--help"],
            &["caudal", "generate", "ventas", "--help"],
            &["caudal", "completions", "--help"],
        ] {
            let kind = Arguments::try_parse_from(words).unwrap_err().kind();
            assert_eq!(kind, clap::error::ErrorKind::DisplayHelp, "{words:?}");
        }
        let kind = Arguments::try_parse_from(["caudal", "check", "-h", "x"])
            .unwrap_err()
            .kind();
        assert_eq!(kind, clap::error::ErrorKind::UnknownArgument);
        let Typed::Run(run) = Arguments::try_parse_from(["caudal", "run", "x", "-h", "hosts"])
            .unwrap()
            .command
        else {
            panic!("run is run")
        };
        assert_eq!(run.hosts, Some(PathBuf::from("hosts")));
    }
}
