-- What the histories must have ended with, from the rows that they accepted, all at once; and what is otherwise.
--
-- Nothing here is shared with the engine. Doubles are worked out in the order that the documents of `checks::variance` state, so that both give
-- the same bits: a sum is a fold from the oldest window to the newest, since + of doubles is not associative and DuckDB's own sums, means and
-- deviations promise no order. Sums of money are exact (decimals here, integers there), and each becomes a double once.

-- Times as microseconds since 1970; windows by number, as `checks::windows` has it.
create macro day_start(zone, day) as epoch_us(timezone(zone, (date '1970-01-01' + cast(day as int))::timestamp));
create macro day_of(zone, us) as date_diff('day', date '1970-01-01', timezone(zone, make_timestamptz(us))::date);
create macro hour_of(zone, us) as extract(hour from timezone(zone, make_timestamptz(us)));
create macro floored(a, b) as ((a) - (((a) % (b)) + (b)) % (b)) // (b);
create macro month_start(zone, month) as
    epoch_us(timezone(zone, make_timestamp(1970 + floored(month, 12), 1 + month - 12 * floored(month, 12), 1, 0, 0, 0)));
create macro start_of(kind, every, zone, number) as case kind
    when 'fixed' then number * every * 1000000
    when 'day' then day_start(zone, number)
    -- 1970-01-05 was a Monday.
    when 'week' then day_start(zone, 7 * number + 4)
    else month_start(zone, number) end;
create macro number_of(kind, every, zone, us) as case kind
    when 'fixed' then floored(us, every * 1000000)
    when 'day' then day_of(zone, us)
    when 'week' then floored(day_of(zone, us) - 4, 7)
    else 12 * (extract(year from timezone(zone, make_timestamptz(us))) - 1970) + extract(month from timezone(zone, make_timestamptz(us))) - 1 end;
create macro segment(per, region, channel) as array_to_string(
    list_transform(per, lambda p: p || '=' || coalesce(case p when 'region' then region else channel end, 'null')), ', ');
-- The middle of the bucket of a whole number: below 256 itself, else of those with the same first eight bits (`checks::sketch`).
create macro width_of(v) as cast(1 as bigint) << (length(bin(abs(v))) - 8);
create macro middle_of(v) as case when abs(v) < 256 then v else cast(sign(v) as bigint) * (abs(v) // width_of(v) * width_of(v) + width_of(v) // 2) end;
-- The one of n that so many of a hundred are up to.
create macro quantile_of(sorted, hundredths) as middle_of(sorted[(len(sorted) * hundredths + 99) // 100]);
-- A number as the engine writes it.
create macro told(x) as case when x = trunc(x) then cast(cast(x as bigint) as varchar) else cast(x as varchar) end;

create table checks as
select history, kind, every, panes, zone, per,
    c->>'check' as "check", c->>'measure' as measure,
    c->>'column' as "column", cast(c->'columns' as varchar[]) as columns, c->>'matched' as matched, c->>'where' as "where",
    cast(c->>'expected_rows' as bigint) as expected_rows, c->>'rows_from' as rows_from,
    coalesce(cast(c->>'min_rows' as bigint), 1) as min_rows,
    cast(coalesce(c->>'warn_below', c->>'warn_beyond') as double) as warn, cast(coalesce(c->>'fail_below', c->>'fail_beyond') as double) as fail,
    c->>'of' as "of", c->>'method' as method, coalesce(c->>'direction', 'both') as direction,
    cast(c->>'$.against.previous' as bigint) as previous, c->>'$.against.empty' as "empty",
    cast(c->>'$.against.weeks' as bigint) as weeks, c->>'$.against.same' as same, c->>'$.against.statistic' as reference,
    coalesce(cast(c->>'$.floor.absolute' as double), 0) as floor_absolute, coalesce(cast(c->>'$.floor.relative' as double), 0) as floor_relative,
    coalesce(cast(c->>'min_history' as bigint), case when c->>'method' = 'relative' then 1 else 2 end) as min_history,
    -- A date is the whole day, a pair of dates both days, a pair of times without the second.
    list_transform(coalesce(cast(c->'exclude' as varchar[]), []), lambda t: {
        'from': epoch_us(timezone(zone, cast(split_part(t, '..', 1) as timestamp))),
        'to': epoch_us(timezone(zone, cast(case when contains(t, '..') then split_part(t, '..', 2) else t end as timestamp)
            + case when contains(t, 'T') then interval 0 day else interval 1 day end))}) as exclude,
    coalesce(cast(c->>'skip_partial' as boolean), false) as skip_partial,
    c->>'warn_after' as warn_after, cast(c->'per' as varchar[]) as fresh_per, as_of
from (select *, unnest(checks) as c from parameters);

create table accepted as
select r.*, epoch_us(ts) as us, p.* exclude (history, checks) from got_rows r join parameters p using (history);
-- Where the data of all segments begin, and end: a window that they do not cover is a stub. What the watermark has passed is whole, so that
-- only a run with an end has stubs there.
create table ends as
select history, min(us) as first_event, case when any_value(bounded) then max(us) + 1 else 9223372036854775807 end as last_event
from accepted group by history;
-- A row is in all windows that have its pane.
create table placed as
select a.* exclude (number), number - back as number, coalesce(segment(per, region, channel), '') as segment
from (select *, number_of(kind, every, zone, us) as number from accepted) a, (select unnest(range(0, 4)) as back) where back < panes and region <> 'end';

create table windows as
select history, segment, any_value(region) as region, any_value(channel) as channel, number,
    start_of(any_value(kind), any_value(every), any_value(zone), number) as start,
    start_of(any_value(kind), any_value(every), any_value(zone), number + any_value(panes)) as "end",
    count(*) as rows, sum(amount) as total, min(amount) as least, max(amount) as greatest,
    count(amount) filter (where channel = 'web') as web, max(promised) as promised, count(amount) as n,
    count(distinct customer) as buyers, list_sort(list(cast(amount * 100 as bigint)) filter (where amount is not null)) as sorted,
    cast(sum(cast(amount * 100 as hugeint)) as hugeint) as cents, cast(sum(cast(amount * 100 as hugeint) * cast(amount * 100 as hugeint)) as hugeint) as squares
from placed group by history, segment, number;

-- Quantiles are told in cents. The mean of the cents has four digits more, rounded half to even; the variance is one division of exact integers.
create table judged_windows as
select *, start < first_event or "end" > last_event as is_stub, quantile_of(sorted, 50) as median, quantile_of(sorted, 90) as high,
    case when n > 0 then cast(even as double) / 1e6 end as mean,
    case when n > 1 then cast(n * squares - cents * cents as double) / (cast(n * (n - 1) as double) * 1e4) end as spread,
    sqrt(case when n > 1 then cast(n * squares - cents * cents as double) / (cast(n * (n - 1) as double) * 1e4) end) as deviation
from (select *, case when 2 * rest > n or (2 * rest = n and low % 2 <> 0) then low + 1 else low end as even
    from (select *, cents * 10000 - low * n as rest
        from (select *, case when n > 0 then floored(cents * 10000, cast(n as hugeint)) end as low from windows join ends using (history))));
create macro statistic(name, w) as case name
    when 'rows' then cast(w.rows as double) when 'total' then cast(w.cents as double) / 1e2 when 'mean' then w.mean
    when 'least' then cast(w.least as double) when 'greatest' then cast(w.greatest as double) when 'spread' then w.spread
    when 'deviation' then w.deviation when 'web' then cast(w.web as double) when 'buyers' then cast(w.buyers as double)
    when 'median' then cast(w.median as double) / 1e2 when 'high' then cast(w.high as double) / 1e2 when 'promised' then cast(w.promised as double) end;

-- Completeness.
create table shares as
select w.history, c."check", w.segment, w.start, w."end", c.warn, c.fail, c.min_rows, c.expected_rows is not null or c.rows_from is not null as is_arrival,
    s.rows as rows, s.present as present, c.skip_partial and w.is_stub as is_partial,
    case when c.rows_from = 'promised' then w.promised else c.expected_rows end as expected
from checks c join judged_windows w using (history)
join (
    select c.history, c."check", p.segment, p.number,
        count(*) filter (where counts) as rows,
        -- The shop in the south is in no table.
        count(*) filter (where counts and case when c.matched is not null then region <> 'south'
            else list_bool_and(list_transform(coalesce(c.columns, [c."column"]), lambda name:
                case name when 'customer' then customer is not null when 'amount' then amount is not null else channel is not null end)) end) as present
    from checks c join (select p.* from placed p) p using (history),
        lateral (select case c."where"
            when 'channel = ''web''' then coalesce(p.channel = 'web', false)
            when 'amount > 50' then coalesce(p.amount > 50, false)
            when 'customer is not null or channel is null' then p.customer is not null or p.channel is null
            else true end as counts)
    where c.measure = 'completeness' group by all
) s on s.history = w.history and s."check" = c."check" and s.segment = w.segment and s.number = w.number
where c.measure = 'completeness';

create table verdicts as
select * replace (case when is_arrival and is_partial and status <> 'no_data' then 'partial' else status end as status), status as as_if_whole from (
select history, "check", segment, start, "end", is_arrival, is_partial,
    case when is_arrival and value is null then 'no_data' when not is_arrival and rows = 0 then 'no_data'
        when not is_arrival and rows < min_rows then 'too_few'
        when value < fail then 'fail' when value < warn then 'warn' when warn is null and fail is null then 'measured' else 'pass' end as status,
    value, case when is_arrival then rows else present end as numerator, case when is_arrival then expected else rows end as denominator,
    cast(null as double) as baseline
from (select *, case when is_arrival then case when expected > 0 then cast(rows as double) / cast(expected as double) end
    when rows > 0 then cast(present as double) / cast(rows as double) end as value from shares));
create table limits as
select v.* exclude (is_arrival, is_partial, as_if_whole), case when v.as_if_whole = 'fail' then s.fail else coalesce(s.warn, s.fail) end as bound, '>= ' as words, '' as "end words"
from verdicts v join shares s using (history, "check", segment, start);

-- Variance. The sums of doubles are folds, in the order of time.
create macro added(xs) as list_reduce(xs, lambda a, b: a + b);
create macro median(xs) as case when len(xs) = 0 then null when len(xs) % 2 = 1 then list_sort(xs)[len(xs) // 2 + 1]
    else list_sort(xs)[len(xs) // 2] / 2.0 + list_sort(xs)[len(xs) // 2 + 1] / 2.0 end;
create macro mean_of(xs) as case when len(xs) > 0 then added(xs) / cast(len(xs) as double) end;
create macro deviation_of(xs, m) as case when len(xs) < 2 then 0.0::double when list_min(xs) = list_max(xs) then 0.0::double
    else sqrt(added(list_transform(xs, lambda x: (x - m) * (x - m))) / cast(len(xs) - 1 as double)) end;
create macro centre_of(method, xs) as case method
    when 'mad' then median(xs) when 'range' then list_min(xs) / 2.0 + list_max(xs) / 2.0 else mean_of(xs) end;
create macro unit_of(method, xs, m) as coalesce(case method
    when 'z' then deviation_of(xs, m) when 'mad' then median(list_transform(xs, lambda x: abs(x - m)))
    when 'relative' then abs(m) else list_max(xs) - list_min(xs) end, 0.0::double);
create macro distance_of(method, x, xs, m) as case method
    when 'mad' then 0.6745::double * (x - m)
    when 'range' then case when x > list_max(xs) then x - list_max(xs) when x < list_min(xs) then x - list_min(xs) else 0.0::double end
    else x - m end;
create macro measured(x, centre, distance, unit) as case when x is not null and centre is not null and unit > 0 then distance / unit end;
create macro status_of(x, history, min_history, value, direction, warn, fail) as case
    when x is null then 'no_data' when history < min_history then 'warming_up' when value is null then 'no_baseline'
    when (case direction when 'up' then value when 'down' then -value else abs(value) end) > fail then 'fail'
    when (case direction when 'up' then value when 'down' then -value else abs(value) end) > warn then 'warn'
    when warn is null and fail is null then 'measured' else 'pass' end;

-- The windows of each segment in order, and what a check makes of one after the other: a window that it failed is in no later baseline, so that
-- each depends on those before.
create table series as
select c.history, c."check", w.segment, w.number, w.start, w."end", statistic(c."of", w) as x,
    c.skip_partial and w.is_stub as is_partial, day_of(c.zone, w.start) as day, hour_of(c.zone, w.start) as hour,
    row_number() over (partition by c.history, c."check", w.segment order by w.number) as place,
    min(w.number) over (partition by c.history, c."check", w.segment) as first
from checks c join judged_windows w using (history) where c.measure = 'variance' and c.reference is null;

create table walked as
with recursive walk as (
    select history, "check", segment, cast(0 as bigint) as place, cast(null as bigint) as start, cast(null as bigint) as "end",
        cast(null as varchar) as status, cast(null as double) as value, cast(null as double) as baseline,
        cast([] as struct(number bigint, start bigint, "end" bigint, day bigint, hour bigint, x double)[]) as past
    from series where place = 1
    union all
    select s.history, s."check", s.segment, s.place, s.start, s."end", s.status, s.value, s.centre,
        list_append(s.past, struct_pack(number := s.number, start := s.start, "end" := s."end", day := s.day, hour := s.hour,
            x := case when s.status in ('fail', 'partial') then null else s.x end))
    from (
        select *, case when is_partial then 'partial' else status_of(x, len(xs), min_history, value, direction, warn, fail) end as status
        from (
            select *, measured(x, centre, distance_of(method, x, xs, centre),
                greatest(unit_of(method, xs, centre), floor_absolute, floor_relative * abs(centre))) as value
            from (
                select *, centre_of(method, xs) as centre
                from (
                    select s.*, w.past, c.method, c.direction, c.warn, c.fail, c.min_history, c.floor_absolute, c.floor_relative,
                        list_transform(case
                            when c.previous is not null and c."empty" is null then
                                usable[greatest(len(usable) - c.previous, 0) + 1:len(usable)]
                            when c.previous is not null and c."empty" = 'skip' then
                                list_filter(usable, lambda p: p.number >= s.number - c.previous)
                            when c.previous is not null then
                                -- Each window by the calendar: what it was, or 0 where it had no rows.
                                list_filter(list_transform(range(greatest(s.number - c.previous, s.first), s.number), lambda k:
                                    case when len(list_filter(w.past, lambda p: p.number = k)) > 0
                                        then list_filter(w.past, lambda p: p.number = k)[1]
                                        else struct_pack(number := k, start := start_of(c.kind, c.every, c.zone, k),
                                            "end" := start_of(c.kind, c.every, c.zone, k + c.panes),
                                            day := cast(0 as bigint), hour := cast(0 as bigint), x := 0.0::double) end),
                                    lambda p: p.x is not null and len(list_filter(c.exclude, lambda e: e."from" < p."end" and e."to" > p.start)) = 0)
                            else list_filter(usable, lambda p: (s.day - p.day) % 7 = 0 and s.day - p.day between 7 and 7 * c.weeks
                                and (c.same = 'weekday' or p.hour = s.hour)) end, lambda p: p.x) as xs
                    from walk w
                    join series s on s.history = w.history and s."check" = w."check" and s.segment = w.segment and s.place = w.place + 1
                    join checks c on c.history = w.history and c."check" = w."check",
                    lateral (select list_filter(w.past, lambda p: p.x is not null
                        and len(list_filter(c.exclude, lambda e: e."from" < p."end" and e."to" > p.start)) = 0) as usable)
                )
            )
        )
    ) s
)
select * exclude (past, place) from walk where place > 0;

-- Against another statistic of the window.
create table held as
select *, case when is_partial then 'partial' else status_of(x, 1, 0, value, direction, warn, fail) end as status from (
    select *, measured(x, reference, x - reference, greatest(abs(reference), floor_absolute, floor_relative * abs(reference))) as value from (
        select c.history, c."check", w.segment, w.start, w."end", statistic(c."of", w) as x, statistic(c.reference, w) as reference,
            c.skip_partial and w.is_stub as is_partial, c.direction, c.warn, c.fail, c.floor_absolute, c.floor_relative
        from checks c join judged_windows w using (history) where c.measure = 'variance' and c.reference is not null));

create table distances as
select history, "check", segment, start, "end", status, value, baseline from walked
union all select history, "check", segment, start, "end", status, value, reference from held;
insert into limits
select v.history, v."check", v.segment, v.start, v."end", v.status, v.value, null, null, v.baseline,
    case when v.status = 'fail' then c.fail else coalesce(c.warn, c.fail) end,
    case when c.direction = 'both' then '|' else '' end, c.method || '.' || c.direction
from distances v join checks c using (history, "check");

-- The age of the newest event; only runs with an end have it.
create table ages as
select history, "check", segment, status, age, warn_after from (
    select *, case when warn_after is null then 'measured'
        when age > cast(split_part(warn_after, ' ', 1) as double) * 60 then 'warn' else 'pass' end as status
    from (
        select history, "check", segment, warn_after,
            cast(coalesce(epoch_us(as_of), max(newest) over (partition by history, "check")) - newest as double) / 1e6 as age
        from (
            select c.history, c."check", coalesce(segment(c.fresh_per, a.region, a.channel), '') as segment, any_value(c.warn_after) as warn_after,
                any_value(c.as_of) as as_of, max(a.us) as newest
            from checks c join accepted a using (history) where c.measure = 'freshness' group by all)));

create table wanted as
select history, "check", segment, start, "end", status, value, numerator, denominator, baseline,
    case
        when bound is null then null
        when words = '>= ' then '>= ' || told(bound)
        else replace(
            case when ends_with("end words", '.up') then name || ' <= ' || told(bound)
                when ends_with("end words", '.down') then name || ' >= ' || told(case when bound = 0 then 0 else -bound end)
                else '|' || name || '| <= ' || told(bound) end, '', '') end as expected
from (select *, case split_part("end words", '.', 1) when 'z' then 'z' when 'mad' then 'modified z' when 'relative' then 'deviation' else 'excess' end as name
    from limits)
union all
select history, "check", segment, null, null, status, age, null, null, null, case when warn_after is null then null else '<= ' || warn_after end from ages;

-- What was said and not taken back.
create table standing as
select history, "check", segment, epoch_us(window_start) as start, epoch_us(window_end) as "end", status, value, numerator, denominator, baseline,
    expected, final, sum(sign) as times
from got_verdicts where "check" <> 'conservation' group by all having sum(sign) <> 0;
create table standing_windows as
select history, coalesce(segment(per, region, channel), '') as segment, epoch_us(window_start) as start, epoch_us(window_end) as "end",
    rows, total, mean, least, greatest, spread, deviation, web, buyers, median, high, promised, coalesce(final, true) as final, sum(coalesce(sign, 1)) as times
from got_windows join parameters using (history) group by all having sum(coalesce(sign, 1)) <> 0;
create table wanted_verdicts as
select history, "check", segment, start, "end", status, value, numerator, denominator, baseline, expected, true as final, cast(1 as hugeint) as times
from wanted;
create table wanted_windows as
select history, segment, start, "end", rows, cast(total as decimal(38,2)) as total,
    case when n > 0 then cast(even as decimal(38,6)) / 1000000 end as mean, least, greatest, spread, deviation, web, buyers,
    cast(median as double) / 1e2 as median, cast(high as double) / 1e2 as high, promised, true as final, cast(1 as hugeint) as times
from judged_windows;

-- Each row is there once, accepted or refused, and none is refused that can't have been too late.
create table sent as
select history, id, ts, region, true as is_accepted from got_rows
union all select history, id, cast(ts as timestamptz), region, false from got_refused;
create table bounds as
select history, max(epoch_us(ts)) as newest from sent group by history;

create table wrong as
select history, 'verdict' as what, segment, start as number, 'wanted ' || cast(to_json(found) as varchar) as words
from (select * from wanted_verdicts except all select * from standing) as found
union all select history, 'verdict', segment, start, 'got ' || cast(to_json(found) as varchar)
from (select * from standing except all select * from wanted_verdicts) as found
union all select history, 'window', segment, start, 'wanted ' || cast(to_json(found) as varchar)
from (select * from wanted_windows except all select * from standing_windows) as found
union all select history, 'window', segment, start, 'got ' || cast(to_json(found) as varchar)
from (select * from standing_windows except all select * from wanted_windows) as found
union all select history, 'row', region, id, 'is there ' || count(*) || ' times' from sent group by history, id, region having count(*) <> 1
union all select history, 'row', '', sent, (sent - count(id)) || ' are not there' from parameters join sent using (history)
    group by history, sent having count(id) <> sent
union all select history, 'row', region, id, 'is refused as ' || reason from got_refused join parameters using (history) join bounds using (history)
    where reason <> 'too_late' or bounded
        or start_of(kind, every, zone, number_of(kind, every, zone, epoch_us(cast(ts as timestamptz))) + 1) + late * 1000000 > newest;

-- The row law: once, of all rows, in a run with an end; else of minutes in which rows came, of which the last is not over.
create table laws as
select history, bounded, sent, count(g.status) as said, count(distinct window_start) as minutes, coalesce(sum(numerator), 0) as rows,
    count(*) filter (status = 'pass' and value = 1 and numerator = denominator and final and sign = 1) as good
from parameters left join (select * from got_verdicts where "check" = 'conservation') g using (history) group by all;
insert into wrong
select history, 'law', '', said, 'wanted one of ' || sent || ', got ' || said || ' (' || good || ' good) of ' || rows
from laws where bounded and (said, good, rows, minutes) <> (1, 1, sent, 0)
union all select history, 'law', '', said, 'wanted each minute once, and no more rows than ' || sent || ', got ' || said || ' (' || good || ' good) of ' || rows
from laws where not bounded and (said <> good or said <> minutes or rows > sent);

create table counts as
select history, (select count(*) from got_rows g where g.history = p.history) as accepted,
    (select count(*) from got_refused g where g.history = p.history) as refused,
    (select count(*) from standing g where g.history = p.history) as verdicts,
    (select count(*) from got_verdicts g where g.history = p.history) as said
from parameters p;
create table sums as
select sum(accepted) as accepted, sum(refused) as refused, sum(verdicts) as verdicts, sum(said) as said,
    (select count(distinct history) from got_verdicts where sign < 0) as corrected_histories,
    (select map_from_entries(list((status, n) order by status)) from (select status, count(*) as n from standing group by status)) as statuses
from counts;
