import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.annotation.FunctionHint;
import org.apache.flink.table.data.DecimalData;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ScalarFunction;

/** What is done with one sale: parsed, judged, looked up and reckoned in one call, on Flink's own data structures. */
public final class Judge {
    private Judge() {}

    private static final long NO_TIME = Long.MIN_VALUE;

    private static int digits(String text, int from, int to) {
        int value = 0;
        for (int at = from; at < to; at++) {
            int digit = text.charAt(at) - '0';
            if (digit < 0 || digit > 9) return -1;
            value = value * 10 + digit;
        }
        return value;
    }

    /** Milliseconds since 1970 of YYYY-MM-DDTHH:MM:SS.mmmZ, or NO_TIME. */
    static long millis(String text) {
        if (text == null || text.length() != 24 || text.charAt(10) != 'T' || text.charAt(23) != 'Z') return NO_TIME;
        int year = digits(text, 0, 4), month = digits(text, 5, 7), day = digits(text, 8, 10);
        int hour = digits(text, 11, 13), minute = digits(text, 14, 16), second = digits(text, 17, 19), milli = digits(text, 20, 23);
        if (year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23) return NO_TIME;
        if (minute < 0 || minute > 59 || second < 0 || second > 59 || milli < 0) return NO_TIME;
        if (day > 28 && day > LocalDate.of(year, month, 1).lengthOfMonth()) return NO_TIME;
        return ((LocalDate.of(year, month, day).toEpochDay() * 24 + hour) * 60 + minute) * 60_000L + second * 1000L + milli;
    }

    /** The event time of a sale; one that has none is no newer than any other. */
    public static final class EventTime extends ScalarFunction {
        @FunctionHint(output = @DataTypeHint(value = "TIMESTAMP(3)", bridgedTo = TimestampData.class))
        public TimestampData eval(String ts) {
            long millis = millis(ts);
            return TimestampData.fromEpochMillis(millis == NO_TIME ? 0 : millis);
        }
    }

    /**
     * A reason, or what a clean sale gets. It says that it is not deterministic, so that the planner calls it once for each row and
     * not once for each of the three outputs.
     */
    @FunctionHint(output = @DataTypeHint(
        value = "ROW<reason STRING, ts TIMESTAMP(3), region_id INT, region_code STRING, country STRING, `zone` STRING, category_id INT, category STRING, "
            + "department STRING, quantity INT, unit_price DECIMAL(12, 2), amount DECIMAL(18, 2), amount_usd DECIMAL(18, 6)>",
        bridgedTo = RowData.class))
    public static final class Sale extends ScalarFunction {
        private static final int FIELDS = 13;

        private final String folder;
        private transient Map<String, Object[]> regions;
        private transient Object[][] products;
        private transient Map<String, BigDecimal> rates;

        /** The look-ups are regions.csv, products.csv and fx.csv in the folder. */
        public Sale(String folder) {
            this.folder = folder;
        }

        @Override
        public boolean isDeterministic() {
            return false;
        }

        @Override
        public void open(FunctionContext context) {
            regions = new HashMap<>();
            for (String[] line : lines("regions.csv")) {
                regions.put(line[0], new Object[] {Integer.valueOf(line[1]), text(line[2]), text(line[3]), text(line[4])});
            }
            List<String[]> lines = lines("products.csv");
            products = new Object[lines.size() + 1][];
            for (String[] line : lines) {
                products[Integer.parseInt(line[0])] = new Object[] {Integer.valueOf(line[2]), text(line[3]), text(line[4])};
            }
            rates = new HashMap<>();
            for (String[] line : lines("fx.csv")) rates.put(line[0], new BigDecimal(line[1]));
        }

        private List<String[]> lines(String name) {
            try {
                List<String> all = Files.readAllLines(Path.of(folder, name));
                return all.stream().skip(1).map(line -> line.split(",", -1)).toList();
            } catch (IOException error) {
                throw new UncheckedIOException(error);
            }
        }

        private static StringData text(String text) {
            return StringData.fromString(text);
        }

        private static RowData refused(String reason) {
            GenericRowData row = new GenericRowData(FIELDS);
            row.setField(0, text(reason));
            return row;
        }

        /** The first reason that holds, in the order of the job. */
        public RowData eval(String ts, String region, Integer product, String quantity, String price, String currency) {
            long millis = millis(ts);
            if (millis == NO_TIME) return refused("bad_ts");
            String alias = region == null ? "" : region.trim().toUpperCase(Locale.ROOT);
            if (alias.isEmpty()) return refused("missing_region");
            Object[] place = regions.get(alias);
            if (place == null) return refused("unknown_region");
            Object[] kind = product == null || product < 1 || product >= products.length ? null : products[product];
            if (kind == null) return refused("unknown_product");
            int pieces;
            try {
                pieces = Integer.parseInt(quantity);
            } catch (NumberFormatException error) {
                return refused("bad_quantity");
            }
            if (pieces == 0) return refused("zero_quantity");
            BigDecimal each;
            try {
                each = price == null ? null : new BigDecimal(price);
            } catch (NumberFormatException error) {
                each = null;
            }
            if (each == null) return refused("missing_price");
            if (each.signum() < 0) return refused("negative_price");
            BigDecimal rate = currency == null ? null : rates.get(currency);
            if (rate == null) return refused("unknown_currency");
            BigDecimal amount = each.multiply(BigDecimal.valueOf(pieces));
            GenericRowData row = new GenericRowData(FIELDS);
            row.setField(1, TimestampData.fromEpochMillis(millis));
            for (int at = 0; at < place.length; at++) row.setField(2 + at, place[at]);
            for (int at = 0; at < kind.length; at++) row.setField(6 + at, kind[at]);
            row.setField(9, pieces);
            row.setField(10, DecimalData.fromBigDecimal(each, 12, 2));
            row.setField(11, DecimalData.fromBigDecimal(amount, 18, 2));
            row.setField(12, DecimalData.fromBigDecimal(amount.multiply(rate), 18, 6));
            return row;
        }
    }
}
