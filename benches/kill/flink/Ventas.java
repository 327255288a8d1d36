import java.util.Map;
import java.util.TreeMap;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.StatementSet;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/**
 * The job of ventas.toml for Flink: sales of a topic to the topics enriched-TAG, quarantine-TAG and quality-TAG, until it is ended.
 *
 * <p>Its words are options, `name=value`: those with a dot are Flink's own, the others are brokers, topic, tag, look-ups, delivery and
 * transactions, or `explain`.
 */
public final class Ventas {
    private Ventas() {}

    private static final String COLUMNS = "sale_id BIGINT, ts STRING, store_id INT, region_code STRING, product_id INT, customer_id BIGINT, quantity STRING, "
        + "unit_price STRING, currency STRING, channel STRING";

    private static final String SALES = "CREATE TEMPORARY TABLE sales (%s, row_time AS event_time(ts), WATERMARK FOR row_time AS row_time - INTERVAL '30' SECOND) "
        + "WITH (%s, 'topic' = '%s', 'properties.group.id' = 'flink-%s', 'scan.startup.mode' = 'earliest-offset', 'format' = 'json', 'json.ignore-parse-errors' = 'true')";

    private static final String JUDGED = "CREATE TEMPORARY VIEW judged AS SELECT *, "
        + "sale(ts, region_code, product_id, quantity, unit_price, currency) AS s FROM sales";

    private static final String ENRICHED = "sale_id BIGINT, ts TIMESTAMP(3), store_id INT, region_id INT, region_code STRING, country STRING, `zone` STRING, "
        + "product_id INT, category_id INT, category STRING, department STRING, customer_id BIGINT, quantity INT, unit_price DECIMAL(12, 2), currency STRING, "
        + "channel STRING, amount DECIMAL(18, 2), amount_usd DECIMAL(18, 6)";

    private static final String TO_ENRICHED = "INSERT INTO enriched SELECT sale_id, s.ts, store_id, s.region_id, s.region_code, s.country, s.`zone`, product_id, "
        + "s.category_id, s.category, s.department, customer_id, s.quantity, s.unit_price, currency, channel, s.amount, s.amount_usd "
        + "FROM judged WHERE s.reason IS NULL";

    private static final String QUARANTINE = COLUMNS.replace("BIGINT", "STRING").replace("INT", "STRING") + ", reason STRING";

    private static final String TO_QUARANTINE = "INSERT INTO quarantine SELECT CAST(sale_id AS STRING), ts, CAST(store_id AS STRING), region_code, "
        + "CAST(product_id AS STRING), CAST(customer_id AS STRING), quantity, unit_price, currency, channel, s.reason FROM judged WHERE s.reason IS NOT NULL";

    private static final String QUALITY = "region_id INT, window_start TIMESTAMP(3), `rows` BIGINT, null_customers BIGINT, completeness DOUBLE, "
        + "max_ts TIMESTAMP(3), sum_amount DECIMAL(38, 2), mean_amount DOUBLE, var_amount DOUBLE, z DOUBLE";

    private static final String CLEAN = "CREATE TEMPORARY VIEW clean AS SELECT row_time, customer_id, s.region_id AS region_id, s.ts AS ts, s.amount AS amount "
        + "FROM judged WHERE s.reason IS NULL";

    private static final String MINUTES = "CREATE TEMPORARY VIEW minutes AS SELECT region_id, window_start, window_time, COUNT(*) AS `rows`, "
        + "COUNT(*) - COUNT(customer_id) AS null_customers, MAX(ts) AS max_ts, SUM(amount) AS sum_amount, AVG(CAST(amount AS DOUBLE)) AS mean_amount, "
        + "VAR_SAMP(CAST(amount AS DOUBLE)) AS var_amount, CAST(SUM(amount) AS DOUBLE) AS x "
        + "FROM TABLE(TUMBLE(TABLE clean, DESCRIPTOR(row_time), INTERVAL '1' MINUTE)) GROUP BY region_id, window_start, window_end, window_time";

    /** Frames end with the row itself, which is no part of its own history: it is taken off again. */
    private static final String HISTORY = "CREATE TEMPORARY VIEW history AS SELECT *, CAST(n1 AS DOUBLE) - 1 AS n, s1 - x AS s, q1 - x * x AS q FROM ("
        + "SELECT *, COUNT(*) OVER w AS n1, SUM(x) OVER w AS s1, SUM(x * x) OVER w AS q1 FROM minutes "
        + "WINDOW w AS (PARTITION BY region_id ORDER BY window_time ROWS BETWEEN 10 PRECEDING AND CURRENT ROW))";

    private static final String TO_QUALITY = "INSERT INTO quality SELECT region_id, window_start, `rows`, null_customers, "
        + "1 - CAST(null_customers AS DOUBLE) / `rows`, max_ts, sum_amount, mean_amount, var_amount, "
        + "CASE WHEN n >= 2 AND q - s * s / n > 0 THEN (x - s / n) / SQRT((q - s * s / n) / (n - 1)) END FROM history";

    public static void main(String[] words) throws Exception {
        Map<String, String> given = new TreeMap<>();
        Configuration flinks = new Configuration();
        for (String word : words) {
            String[] parts = word.split("=", 2);
            if (parts[0].contains(".")) flinks.setString(parts[0], parts[1]);
            else given.put(parts[0], parts.length > 1 ? parts[1] : "");
        }
        var tables = StreamTableEnvironment.create(StreamExecutionEnvironment.getExecutionEnvironment(flinks));
        tables.getConfig().addConfiguration(flinks);
        tables.createTemporarySystemFunction("event_time", new Judge.EventTime());
        tables.createTemporarySystemFunction("sale", new Judge.Sale(given.get("look-ups")));
        String tag = given.get("tag");
        String kafka = "'connector' = 'kafka', 'properties.bootstrap.servers' = '" + given.get("brokers") + "'";
        tables.executeSql(String.format(SALES, COLUMNS, kafka, given.get("topic"), tag));
        for (String view : new String[] {JUDGED, CLEAN, MINUTES, HISTORY}) tables.executeSql(view);
        for (var sink : Map.of("enriched", ENRICHED, "quarantine", QUARANTINE, "quality", QUALITY).entrySet()) {
            String topic = sink.getKey() + "-" + tag;
            String once = "";
            if (given.get("delivery").equals("exactly-once")) {
                // The broker's own most; the documentation wants it above the longest checkpoint and the longest outage together.
                once = String.format(", 'sink.transactional-id-prefix' = '%s', 'sink.transaction-naming-strategy' = '%s', 'properties.transaction.timeout.ms' = '900000'",
                    topic, given.get("transactions"));
            }
            tables.executeSql(String.format("CREATE TEMPORARY TABLE %s (%s) WITH (%s, 'topic' = '%s', 'format' = 'json', "
                + "'json.encode.decimal-as-plain-number' = 'true', 'json.timestamp-format.standard' = 'ISO-8601', 'properties.linger.ms' = '20', "
                + "'properties.batch.size' = '262144', 'sink.delivery-guarantee' = '%s'%s)", sink.getKey(), sink.getValue(), kafka, topic, given.get("delivery"), once));
        }
        StatementSet all = tables.createStatementSet();
        for (String insert : new String[] {TO_ENRICHED, TO_QUARANTINE, TO_QUALITY}) all.addInsertSql(insert);
        if (given.containsKey("explain")) System.out.println(all.explain());
        else all.execute().await();
    }
}
