//! Which statistics a window keeps: the job's, and those that checks need, without keeping anything twice.
//!
//! `sum(amount)`, `avg(amount)` and `var_samp(amount)` are three statistics and one accumulator; `count(*)` is the number of
//! rows, which is always kept; the completeness of a column needs its number of values, which may be there already. The
//! layout is fixed by the plan, so partials carry no description of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;

use arrow_schema::DataType;

use crate::job::plan::{
    Against, AggregateFunction, Complete, Corrections, ExpectedRows, FreshnessPlan, ListedRows,
    Measure, Plan, VarianceRule,
};
use crate::transform::expr::words::type_name;

use super::calendar::Calendar;
use super::completeness::Completeness;
pub use super::inputs::Input;
use super::stats::{Accumulator, Moments, Partial, Sum};
use super::value::Value;
use super::variance::Variance;
use super::windows::Windows;

/// What is kept for each segment and window.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Name of the window (or of the check, where it is a check's own).
    pub name: String,
    /// The columns that make the segment.
    pub segment: Vec<SegmentColumn>,
    /// Id of the event-time column.
    pub event_time: usize,
    /// How time is cut: into windows, or into the panes that they are made of.
    pub windows: Windows,
    /// Of how many panes, one after the other, a window is made; one begins with each pane.
    pub panes: u32,
    /// For how long, in microseconds of event time behind their end, closed windows are corrected; none: they are final as they close.
    pub(crate) correct_within: Option<i64>,
    /// Whether a window of the job is corrected: rows may then come that are too late for this one alone.
    pub(crate) may_miss: bool,
    /// Whether the table of windows has each change, with `final` and `sign`; else the windows that are final.
    pub(crate) tells_changes: bool,
    /// Whether anything depends on where the data begin and end.
    pub(crate) asks_ends: bool,
    /// Lists of what should come.
    pub(crate) lists: Vec<ListPlan>,
    /// The calendars of the job, where the layout judges.
    pub(crate) calendars: Vec<Arc<Calendar>>,
    /// What the accumulators read, each once.
    pub(crate) inputs: Vec<Input>,
    /// The names of columns among the inputs, by id: what state is known by, since ids change as columns are added.
    pub(crate) names: BTreeMap<usize, String>,
    /// What is kept.
    pub(crate) accumulators: Vec<AccumulatorPlan>,
    /// The job's statistics, in file order.
    pub(crate) statistics: Vec<StatisticPlan>,
    /// The checks over this window, in file order.
    pub(crate) checks: Vec<CheckLayout>,
}

/// A column of a segment.
#[derive(Debug, Clone)]
pub struct SegmentColumn {
    /// Its id in `plan.columns`.
    pub id: usize,
    /// Its name.
    pub name: String,
    /// Its logical type.
    pub data_type: DataType,
    /// Whether it can be null.
    pub nullable: bool,
}

/// A statistic as the layout takes it.
#[derive(Debug, Clone)]
pub struct StatisticInput {
    /// Its name.
    pub name: String,
    /// What is computed.
    pub function: AggregateFunction,
    /// Over what, and the type of that; `None` only for `count(*)`.
    pub argument: Option<(Input, DataType)>,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Input>,
    /// Type of the result, as in [`crate::job::plan::Statistic::data_type`].
    pub data_type: DataType,
}

/// What an accumulator gathers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Count,
    Sum,
    Moments,
    Least,
    Greatest,
    Distinct,
    Sketch,
}

impl AccumulatorPlan {
    /// What it has gathered of no rows.
    pub(crate) fn nothing(&self) -> Accumulator {
        match self.kind {
            Kind::Count => Accumulator::Count(0),
            Kind::Sum => Accumulator::Sum(Sum::default()),
            Kind::Moments => Accumulator::Moments(Moments::default()),
            Kind::Least => Accumulator::Least(Value::Null),
            Kind::Greatest => Accumulator::Greatest(Value::Null),
            Kind::Distinct => Accumulator::Distinct(Box::default()),
            Kind::Sketch => Accumulator::Sketch(Box::default()),
        }
    }
}

/// Of which rows something is gathered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Of {
    /// Clean ones.
    #[default]
    Clean,
    /// Those that were refused.
    Refused,
}

/// An accumulator: what it gathers, of which input, where which input is true.
#[derive(Debug, Clone)]
pub(crate) struct AccumulatorPlan {
    pub(crate) of: Of,
    pub(crate) kind: Kind,
    pub(crate) argument: Option<usize>,
    pub(crate) filter: Option<usize>,
    /// Type of the argument.
    pub(crate) data_type: Option<DataType>,
}

/// Where a statistic's number comes from.
#[derive(Debug, Clone)]
pub(crate) struct StatisticPlan {
    pub(crate) name: String,
    pub(crate) function: AggregateFunction,
    /// `None`: the number of rows.
    pub(crate) accumulator: Option<usize>,
    /// Decimal places of the argument.
    pub(crate) scale: i32,
    /// Whether values of the argument are whole numbers of minor units.
    pub(crate) is_exact: bool,
    pub(crate) data_type: DataType,
}

/// A check over the window, and the column it adds.
#[derive(Debug, Clone)]
pub(crate) struct CheckLayout {
    pub(crate) name: String,
    pub(crate) value: Option<String>,
    /// Place of the calendar without which nothing is expected.
    pub(crate) calendar: Option<usize>,
    pub(crate) measure: WindowMeasure,
}

/// What should come, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListPlan {
    /// A look-up.
    Lookup(ListedRows),
    /// The job: so much in each window of the one segment.
    Always(i64),
}

/// How many rows should have come.
#[derive(Debug, Clone)]
pub(crate) enum ArrivalOf {
    /// So many.
    Number(i64),
    /// As many as this statistic says.
    Statistic(usize),
    /// As many as this list says.
    Listed(usize),
    /// As many as in windows that are alike.
    Alike(Variance),
}

/// What a check over a window measures.
#[derive(Debug, Clone)]
pub(crate) enum WindowMeasure {
    /// Its numerator is this accumulator, and its denominator the second, or the number of rows.
    Completeness(Completeness, usize, Option<usize>),
    /// Its numerator is the first of these accumulators; its denominator the rows that the second counts, or all, and those that the third counts.
    Matched(Completeness, [usize; 2], Option<usize>),
    /// Refused rows, which the first accumulator counts; its denominator has the rows that the second counts, or all, besides.
    Refused(Completeness, usize, Option<usize>),
    /// What this accumulator counts, rows or different files, or all rows, of so many that should be there.
    Arrival(Completeness, Option<usize>, ArrivalOf),
    /// Of this statistic.
    Variance(Variance, usize),
    /// The first of these statistics against the second.
    Reference(Variance, [usize; 2]),
}

impl CheckLayout {
    /// Whether what it says depends on where the data begin and end.
    pub(crate) fn asks_ends(&self) -> bool {
        match &self.measure {
            WindowMeasure::Variance(variance, _) | WindowMeasure::Reference(variance, _) => {
                variance.skips_partial()
            }
            WindowMeasure::Arrival(completeness, _, of) => {
                completeness.skips_partial
                    || matches!(of, ArrivalOf::Listed(_) | ArrivalOf::Alike(_))
            }
            WindowMeasure::Completeness(..)
            | WindowMeasure::Matched(..)
            | WindowMeasure::Refused(..) => false,
        }
    }

    /// What windows its own are compared with, where it keeps any.
    pub(crate) fn compared(&self) -> Option<&Variance> {
        match &self.measure {
            WindowMeasure::Variance(variance, _)
            | WindowMeasure::Arrival(_, _, ArrivalOf::Alike(variance)) => Some(variance),
            _ => None,
        }
    }

    /// What says how many rows a window should have by those that it is compared with.
    pub(crate) fn alike(&self) -> Option<&Variance> {
        match &self.measure {
            WindowMeasure::Arrival(_, _, ArrivalOf::Alike(variance)) => Some(variance),
            _ => None,
        }
    }
}

impl Layout {
    /// A layout without checks.
    pub fn new(
        name: String,
        segment: Vec<SegmentColumn>,
        event_time: usize,
        windows: Windows,
        statistics: &[StatisticInput],
    ) -> Self {
        let mut layout = Self {
            name,
            segment,
            event_time,
            windows,
            panes: 1,
            correct_within: None,
            may_miss: false,
            tells_changes: false,
            asks_ends: false,
            lists: Vec::new(),
            calendars: Vec::new(),
            inputs: Vec::new(),
            names: BTreeMap::new(),
            accumulators: Vec::new(),
            statistics: Vec::new(),
            checks: Vec::new(),
        };
        for statistic in statistics {
            layout.add_statistic(statistic);
        }
        layout
    }

    /// The layout of `plan.windows[index]`, with what the plan's checks over it need.
    pub fn of_window(plan: &Plan, index: usize) -> Self {
        let window = &plan.windows[index];
        let statistics: Vec<StatisticInput> = window
            .statistics
            .iter()
            .map(|statistic| StatisticInput {
                name: statistic.name.clone(),
                function: statistic.function,
                argument: statistic
                    .argument
                    .as_ref()
                    .map(|argument| (Input::new(argument), argument.data_type().clone())),
                filter: statistic.filter.as_ref().map(Input::new),
                data_type: statistic.data_type.clone(),
            })
            .collect();
        let mut layout = Self::new(
            window.name.clone(),
            segment_columns(plan, &window.per),
            window.event_time,
            Windows::new(window.every, plan.time_zone),
            &statistics,
        );
        layout.panes = window.panes;
        layout.correct_within = plan.correct_within(window);
        let mut others = plan.windows.iter();
        layout.may_miss = others.any(|other| plan.correct_within(other).is_some());
        layout.tells_changes = window.corrections == Corrections::Changes;
        for check in &plan.checks {
            let measure = match &check.measure {
                Measure::Completeness {
                    window,
                    of,
                    filter,
                    skip_partial,
                    calendar: _,
                    min_rows,
                    warn_below,
                    fail_below,
                } if *window == index => {
                    let completeness = Completeness {
                        min_rows: *min_rows,
                        warn_below: *warn_below,
                        fail_below: *fail_below,
                        is_small: matches!(of, Complete::Refused),
                        skips_partial: *skip_partial,
                    };
                    let filter = filter.as_ref().map(Input::new);
                    layout.add_complete(plan, completeness, of, filter.as_ref())
                }
                Measure::Variance { window, of, rule } if *window == index => {
                    let variance = Variance::new(rule.clone(), layout.windows, plan.time_zone)
                        .of_panes(layout.panes);
                    match rule.against {
                        Against::Statistic(reference) => {
                            WindowMeasure::Reference(variance, [*of, reference])
                        }
                        _ => WindowMeasure::Variance(variance, *of),
                    }
                }
                _ => continue,
            };
            layout.checks.push(CheckLayout {
                name: check.name.clone(),
                value: check.value.clone(),
                calendar: match check.measure {
                    Measure::Completeness { calendar, .. } => calendar,
                    _ => None,
                },
                measure,
            });
        }
        layout.asks_ends = layout.checks.iter().any(CheckLayout::asks_ends);
        let has_others = layout.asks_refused() || !layout.lists.is_empty();
        for column in &mut layout.segment {
            // Of refused rows it may be what could not be read.
            column.nullable |= has_others;
        }
        layout.name_inputs(plan);
        layout
    }

    /// The layout of a freshness check: the newest event of each segment, or that it has rows alone, in one window that holds all times.
    pub fn of_freshness(plan: &Plan, name: &str, freshness: &FreshnessPlan) -> Self {
        let newest = freshness.event_time.map(|event_time| {
            let data_type = plan.columns[event_time].data_type.clone();
            StatisticInput {
                name: "newest".into(),
                function: AggregateFunction::Max,
                argument: Some((Input::Column(event_time), data_type.clone())),
                filter: None,
                data_type,
            }
        });
        let segment = segment_columns(plan, &freshness.per);
        // The one window takes rows without a time, too, and looks at none.
        let time = freshness.inputs().last().unwrap_or_default();
        let statistics: Vec<_> = newest.into_iter().collect();
        let mut layout = Self::new(name.into(), segment, time, Windows::Whole, &statistics);
        layout.name_inputs(plan);
        layout
    }

    /// What an accumulator gathers, in words that stay the same as long as it does: two of a layout never have the same.
    pub(crate) fn words(&self, accumulator: &AccumulatorPlan) -> String {
        let input = |index: usize| match &self.inputs[index] {
            Input::Column(id) => {
                (self.names.get(id)).map_or_else(|| format!("column {id}"), String::clone)
            }
            Input::Expression(expression) => expression.text().to_owned(),
        };
        let mut words = format!("{:?}", accumulator.kind);
        if accumulator.of == Of::Refused {
            words.push_str(" of refused rows");
        }
        if let Some(data_type) = &accumulator.data_type {
            write!(words, " of {}", type_name(data_type)).expect("a String takes everything");
        }
        if let Some(argument) = accumulator.argument {
            write!(words, " {}", input(argument)).expect("a String takes everything");
        }
        if let Some(filter) = accumulator.filter {
            write!(words, " where {}", input(filter)).expect("a String takes everything");
        }
        words
    }

    fn name_inputs(&mut self, plan: &Plan) {
        for input in &self.inputs {
            if let Input::Column(id) = input {
                if *id == plan.file_column() {
                    self.names.insert(*id, "delivered file".to_owned());
                    continue;
                }
                if let Some(lookup) = id.checked_sub(plan.columns.len()) {
                    let name = format!("missing in lookups.{}", plan.lookups[lookup].name);
                    self.names.insert(*id, name);
                    continue;
                }
                let column = &plan.columns[*id];
                let relations = column.relations.join("+");
                let name = format!("{relations}.{}", column.name);
                self.names.insert(*id, name);
            }
        }
    }

    /// Where the window that starts at `start` ends.
    pub(crate) fn end(&self, start: i64) -> i64 {
        self.windows.end_of(start, self.panes)
    }

    /// Whether nothing is expected of the window that starts at `start` by the check's calendar, which is never open in it.
    pub(crate) fn is_closed(&self, check: &CheckLayout, start: i64) -> bool {
        let calendar = check.calendar.map(|index| &self.calendars[index]);
        calendar.is_some_and(|calendar| calendar.age(start, self.end(start)) == 0)
    }

    /// Start of the first window that does not end at `watermark` or before: the one whose last pane holds it.
    pub(crate) fn open_from(&self, watermark: i64) -> i64 {
        // No window is left at the end of time, where windows of days can't be looked for.
        if watermark == i64::MAX {
            return i64::MAX;
        }
        let last = self.windows.number(watermark);
        self.windows
            .start(last.saturating_sub(i64::from(self.panes) - 1))
    }

    /// Starts of the windows that have the pane which starts at `pane`.
    pub(crate) fn windows_of(&self, pane: i64) -> impl Iterator<Item = i64> + '_ {
        let number = self.windows.number(pane);
        let before = (1..i64::from(self.panes)).rev();
        before
            .map(move |before| self.windows.start(number.saturating_sub(before)))
            .chain([pane])
    }

    /// Ids of the columns that a batch of clean rows must have.
    pub fn columns(&self) -> BTreeSet<usize> {
        self.columns_of(Of::Clean)
    }

    /// Whether anything is counted of refused rows.
    pub(crate) fn asks_refused(&self) -> bool {
        let mut accumulators = self.accumulators.iter();
        accumulators.any(|accumulator| accumulator.of == Of::Refused)
    }

    /// A window without rows.
    pub(crate) fn no_rows(&self) -> Partial {
        Partial {
            rows: 0,
            accumulators: self
                .accumulators
                .iter()
                .map(AccumulatorPlan::nothing)
                .collect(),
        }
    }

    /// Whether there is a window: it has rows, if only refused ones.
    pub(crate) fn is_there(&self, partial: &Partial) -> bool {
        let mut of_refused = self.accumulators.iter().zip(&partial.accumulators);
        partial.rows > 0
            || of_refused.any(|(plan, accumulator)| {
                plan.of == Of::Refused && matches!(accumulator, Accumulator::Count(1..))
            })
    }

    /// Whether an accumulator of these rows reads the input.
    pub(crate) fn reads(&self, input: usize, of: Of) -> bool {
        let mut mine = self.accumulators.iter().filter(|plan| plan.of == of);
        mine.any(|plan| plan.argument == Some(input) || plan.filter == Some(input))
    }

    /// Ids of the columns that a batch of these rows must have.
    pub(crate) fn columns_of(&self, of: Of) -> BTreeSet<usize> {
        let inputs = self.inputs.iter().enumerate();
        let inputs = inputs
            .filter(|(index, _)| self.reads(*index, of))
            .flat_map(|(_, input)| input.columns().into_owned());
        self.segment
            .iter()
            .map(|column| column.id)
            .chain([self.event_time])
            .chain(inputs)
            .collect()
    }

    fn add_complete(
        &mut self,
        plan: &Plan,
        completeness: Completeness,
        of: &Complete,
        filter: Option<&Input>,
    ) -> WindowMeasure {
        match of {
            Complete::Column(column) => {
                let data_type = plan.columns[*column].data_type.clone();
                self.add_completeness(completeness, *column, data_type, filter)
            }
            Complete::Columns(_, condition) => {
                let complete = self.add_count(&Input::new(condition));
                let rows = filter.map(|filter| self.add_count(filter));
                WindowMeasure::Completeness(completeness, complete, rows)
            }
            Complete::Matched { lookup, key } => {
                let filter = filter.map(|filter| self.input(filter));
                let key_type = plan.columns[*key].data_type.clone();
                let key = self.input(&Input::Column(*key));
                let marker = self.input(&Input::Column(plan.columns.len() + lookup));
                let found = self.accumulator(Kind::Count, Some(key), filter, Some(key_type));
                let missing =
                    self.accumulator_of(Of::Refused, Kind::Count, Some(marker), filter, None);
                let rows =
                    filter.map(|filter| self.accumulator(Kind::Count, None, Some(filter), None));
                WindowMeasure::Matched(completeness, [found, missing], rows)
            }
            Complete::Refused => {
                let filter = filter.map(|filter| self.input(filter));
                let refused = self.accumulator_of(Of::Refused, Kind::Count, None, filter, None);
                let rows =
                    filter.map(|filter| self.accumulator(Kind::Count, None, Some(filter), None));
                WindowMeasure::Refused(completeness, refused, rows)
            }
            Complete::Rows(expected) => {
                let rows = filter.map(|filter| self.add_count(filter));
                let of = self.arrival_of(plan, expected);
                WindowMeasure::Arrival(completeness, rows, of)
            }
            Complete::Files(expected) => {
                let file = self.input(&Input::Column(plan.file_column()));
                let filter = filter.map(|filter| self.input(filter));
                let files =
                    self.accumulator(Kind::Distinct, Some(file), filter, Some(DataType::Utf8));
                let of = match self.arrival_of(plan, expected) {
                    // Of the one segment that there is, they should come when nothing else does, too.
                    ArrivalOf::Number(files) if self.segment.is_empty() => {
                        ArrivalOf::Listed(self.list(ListPlan::Always(files)))
                    }
                    of => of,
                };
                WindowMeasure::Arrival(completeness, Some(files), of)
            }
        }
    }

    fn arrival_of(&mut self, plan: &Plan, expected: &ExpectedRows) -> ArrivalOf {
        match expected {
            ExpectedRows::Number(number) => {
                ArrivalOf::Number(i64::try_from(*number).unwrap_or(i64::MAX))
            }
            ExpectedRows::Statistic(index) => ArrivalOf::Statistic(*index),
            ExpectedRows::Listed(listed) => {
                ArrivalOf::Listed(self.list(ListPlan::Lookup(listed.clone())))
            }
            ExpectedRows::Alike(weeks, same) => {
                let rule = VarianceRule {
                    against: Against::Weeks(*weeks, *same),
                    ..VarianceRule::z(0)
                };
                let variance = Variance::new(rule, self.windows, plan.time_zone);
                ArrivalOf::Alike(variance.of_panes(self.panes))
            }
        }
    }

    /// The place of a list, which is kept once.
    fn list(&mut self, list: ListPlan) -> usize {
        let known = self.lists.iter().position(|known| *known == list);
        known.unwrap_or_else(|| {
            self.lists.push(list);
            self.lists.len() - 1
        })
    }

    /// The number of rows that fulfil a condition.
    fn add_count(&mut self, condition: &Input) -> usize {
        let condition = self.input(condition);
        self.accumulator(Kind::Count, None, Some(condition), None)
    }

    /// Adds the completeness of a column, the number of its values, and that of the rows that should have one.
    pub(crate) fn add_completeness(
        &mut self,
        completeness: Completeness,
        column: usize,
        data_type: DataType,
        filter: Option<&Input>,
    ) -> WindowMeasure {
        let argument = self.input(&Input::Column(column));
        let filter = filter.map(|filter| self.input(filter));
        let numerator = self.accumulator(Kind::Count, Some(argument), filter, Some(data_type));
        let denominator =
            filter.map(|filter| self.accumulator(Kind::Count, None, Some(filter), None));
        WindowMeasure::Completeness(completeness, numerator, denominator)
    }

    fn add_statistic(&mut self, statistic: &StatisticInput) {
        let argument = statistic
            .argument
            .as_ref()
            .map(|(input, _)| self.input(input));
        let filter = statistic.filter.as_ref().map(|filter| self.input(filter));
        let data_type = statistic
            .argument
            .as_ref()
            .map(|(_, data_type)| data_type.clone());
        let scale = match data_type {
            Some(DataType::Decimal128(_, scale)) => i32::from(scale),
            _ => 0,
        };
        let is_exact = data_type != Some(DataType::Float64);
        let kind = match statistic.function {
            AggregateFunction::Count => Kind::Count,
            AggregateFunction::Sum | AggregateFunction::Avg => Kind::Sum,
            AggregateFunction::VarSamp | AggregateFunction::StddevSamp => Kind::Moments,
            AggregateFunction::Min => Kind::Least,
            AggregateFunction::Max => Kind::Greatest,
            AggregateFunction::CountDistinct => Kind::Distinct,
            AggregateFunction::Quantile(_) => Kind::Sketch,
        };
        let rows = kind == Kind::Count && argument.is_none() && filter.is_none();
        let accumulator = if rows {
            None
        } else {
            Some(self.accumulator(kind, argument, filter, data_type))
        };
        self.statistics.push(StatisticPlan {
            name: statistic.name.clone(),
            function: statistic.function,
            accumulator,
            scale,
            is_exact,
            data_type: statistic.data_type.clone(),
        });
    }

    fn input(&mut self, input: &Input) -> usize {
        self.inputs
            .iter()
            .position(|known| known.same(input))
            .unwrap_or_else(|| {
                self.inputs.push(input.clone());
                self.inputs.len() - 1
            })
    }

    /// An accumulator of this kind, shared where there is one: moments have the sum, too.
    fn accumulator(
        &mut self,
        kind: Kind,
        argument: Option<usize>,
        filter: Option<usize>,
        data_type: Option<DataType>,
    ) -> usize {
        self.accumulator_of(Of::Clean, kind, argument, filter, data_type)
    }

    fn accumulator_of(
        &mut self,
        of: Of,
        kind: Kind,
        argument: Option<usize>,
        filter: Option<usize>,
        data_type: Option<DataType>,
    ) -> usize {
        let sums = |kind: Kind| matches!(kind, Kind::Sum | Kind::Moments);
        let found = self.accumulators.iter().position(|known| {
            known.of == of
                && known.argument == argument
                && known.filter == filter
                && (known.kind == kind || (sums(known.kind) && sums(kind)))
        });
        if let Some(index) = found {
            if kind == Kind::Moments {
                self.accumulators[index].kind = kind;
            }
            return index;
        }
        self.accumulators.push(AccumulatorPlan {
            of,
            kind,
            argument,
            filter,
            data_type,
        });
        self.accumulators.len() - 1
    }
}

/// The columns of a segment by id.
fn segment_columns(plan: &Plan, ids: &[usize]) -> Vec<SegmentColumn> {
    let column = |id: &usize| {
        let column = &plan.columns[*id];
        SegmentColumn {
            id: *id,
            name: column.name.clone(),
            data_type: column.data_type.clone(),
            nullable: column.nullable,
        }
    };
    ids.iter().map(column).collect()
}
