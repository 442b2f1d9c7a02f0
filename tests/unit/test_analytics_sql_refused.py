"""SQL that is refused: each error names the construct, its line, and what to use instead."""

import pytest

from pipelines.analytics.sql import expression, types
from pipelines.analytics.sql.parse import Field
from pipelines.analytics.sql.plan import plan
from pipelines.runtime.errors import ConfigurationError

FIELDS = (
    Field("AT", types.TIMESTAMP),
    Field("TICKER", types.SqlType("VARCHAR", types.Kind.TEXT, 4)),
    Field("PRICE", types.DOUBLE),
    Field("EXACT", types.SqlType("DECIMAL", types.Kind.REAL, 8, 2)),
)
OUT = 'CREATE OR REPLACE STREAM "OUT" (a DOUBLE);\n'
SOURCE = 'FROM "SOURCE_SQL_STREAM_001"'
STEP = "STEP(\"SOURCE_SQL_STREAM_001\".ROWTIME BY INTERVAL '10' SECOND)"


def refused(code):
    with pytest.raises(ConfigurationError) as error:
        plan(code, FIELDS)
    assert error.value.fix
    return str(error.value)


def taken(select):
    return plan(f'{OUT}CREATE OR REPLACE PUMP "P" AS INSERT INTO "OUT"\n{select}', FIELDS)


def refused_query(select):
    return refused(f'{OUT}CREATE OR REPLACE PUMP "P" AS INSERT INTO "OUT"\n{select}')


@pytest.mark.parametrize(
    ("select", "what", "instead"),
    [
        (f'SELECT STREAM s.price\n{SOURCE} AS s JOIN "OUT" AS o ON s.price = o.a', "Line 4: A join", "JoinReference"),
        (f"SELECT STREAM s.price {SOURCE}, t", "Line 3: A join", "JoinReference"),
        (
            "SELECT STREAM a.price FROM t OVER (RANGE INTERVAL '1' MINUTE PRECEDING) AS a\nJOIN t AS b ON a.x = b.x",
            "Line 4: A join",
            "JoinReference",
        ),
        (f"SELECT STREAM DISTINCT price {SOURCE}", "Line 3: DISTINCT", "GROUP BY"),
        (f"SELECT DISTINCT price {SOURCE}", "SELECT DISTINCT", "GROUP BY"),
        (f"SELECT STREAM COUNT(DISTINCT price)\n{SOURCE} GROUP BY {STEP}", "Line 3: DISTINCT", "group by"),
        (
            f"SELECT STREAM * FROM TABLE(TOP_K_ITEMS_TUMBLING(CURSOR(SELECT STREAM * {SOURCE}), 'TICKER', 3, 60))",
            "Line 3: TOP_K_ITEMS_TUMBLING",
            "GROUP BY item",
        ),
        (f"SELECT STREAM * FROM TABLE(GROUP_RANK(CURSOR(SELECT STREAM * {SOURCE})))", "GROUP_RANK", "rank where"),
        (f"SELECT STREAM APPROX_COUNT_DISTINCT(price) {SOURCE} GROUP BY {STEP}", "APPROX", "COUNT(*)"),
        (
            f"SELECT STREAM * FROM TABLE(COUNT_DISTINCT_ITEMS_TUMBLING(CURSOR(SELECT STREAM * {SOURCE}), 'A', 60))",
            "COUNT_DISTINCT_ITEMS_TUMBLING",
            "second pump",
        ),
        (f"SELECT STREAM price FROM (SELECT STREAM price {SOURCE})", "Line 3: A subquery", "a pump into a stream"),
        (f"SELECT STREAM price {SOURCE} WHERE price IN (SELECT price {SOURCE})", "A subquery", "a pump into a stream"),
        (f"WITH x AS (SELECT STREAM price {SOURCE}) SELECT STREAM price FROM x", "WITH", "a pump into a stream"),
        (f"SELECT STREAM price {SOURCE} UNION ALL SELECT STREAM price {SOURCE}", "UNION", "two pumps"),
        (f"SELECT STREAM price {SOURCE}\nORDER BY price", "Line 4: ORDER BY without time", "ROWTIME TO SECOND"),
        (f"SELECT STREAM price {SOURCE} ORDER BY FLOOR(at TO SECOND), price", "ORDER BY without time", "ROWTIME TO"),
        (
            f"SELECT STREAM COUNT(*) {SOURCE} GROUP BY {STEP} ORDER BY FLOOR(ROWTIME TO SECOND), 1",
            "ORDER BY in an aggregating query",
            "a pump behind it",
        ),
        (f"SELECT STREAM price {SOURCE} LIMIT 3", "LIMIT", "leave it out"),
        (f"SELECT STREAM my_function(price) {SOURCE}", "Line 3: The function MY_FUNCTION", "write it with"),
        (f"SELECT STREAM LAG(price, 1) OVER (PARTITION BY ticker ROWS 2 PRECEDING) {SOURCE}", "LAG", "FIRST_VALUE"),
        (f"SELECT STREAM STDDEV_SAMP(price) {SOURCE} GROUP BY {STEP}", "STDDEV_SAMP", "sum x and x * x"),
        (f"SELECT STREAM MAX(ticker) {SOURCE} GROUP BY {STEP}", "MAX of a VARCHAR", "group by a text"),
        (f"SELECT price {SOURCE}", "SELECT without STREAM", "SELECT STREAM"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_named_with_its_line_and_what_to_use_instead(select, what, instead):
    message = refused_query(select)
    assert what in message
    assert instead in message
    assert "is not supported" in message or "without STREAM" in message
    assert "Line " in message


@pytest.mark.parametrize("name", ["RANDOM_CUT_FOREST", "RANDOM_CUT_FOREST_WITH_EXPLANATION"])
def test_c11_decimal_columns_are_refused(name):
    message = refused_query(
        f"SELECT STREAM ANOMALY_SCORE FROM TABLE({name}(CURSOR(SELECT STREAM price, exact {SOURCE})))"
    )
    assert f'Line 3: {name} takes no DECIMAL, and EXACT is one. Fix: write CAST("EXACT" AS DOUBLE)' in message


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("0", "numberOfTrees must be a whole number from 1 to 1000, not 0"),
        ("100, 256, 200", "subSampleSize (256) must be less than timeDecay (200)"),
        ("100, 256, 1000, 31", "shingleSize must be a whole number from 1 to 30, not 31"),
        ("100, 256, 1000, 1, true", "RANDOM_CUT_FOREST takes numberOfTrees, subSampleSize, timeDecay, shingleSize"),
        ("price", "a parameter of a function is a number or TRUE, not `price`"),
    ],
)
def test_c11_parameters_out_of_their_range_are_refused_by_name(parameters, message):
    table = f"TABLE(RANDOM_CUT_FOREST(CURSOR(SELECT STREAM price {SOURCE}), {parameters}))"
    assert message in refused_query(f"SELECT STREAM ANOMALY_SCORE FROM {table}")


def test_c13_hotspots_needs_its_parameters():
    table = f"TABLE(HOTSPOTS(CURSOR(SELECT STREAM price {SOURCE}), 100, 1))"
    assert "HOTSPOTS needs minimumNumberOfPointsInAHotspot" in refused_query(f"SELECT STREAM price FROM {table}")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("CREATE OR REPLACE FUNCTION f() RETURNS INTEGER RETURN 1", "CREATE FUNCTION is not supported"),
        ("CREATE VIEW v AS SELECT 1", "CREATE VIEW is not supported"),
        ("\nDROP PUMP p", "Line 2: this is no SQL that is known here at 'DROP'"),
        ("SELECT STREAM price FROM s", "a query by itself has no place to put its rows"),
        ("CREATE OR REPLACE STREAM s (a", "Line 1: this is no SQL"),
        ("CREATE OR REPLACE STREAM s (a)", "the column A has no type"),
        ("CREATE OR REPLACE STREAM s (a VARBINARY(4))", "The type VARBINARY(4) of column A on line 1 is not supported"),
        ("CREATE OR REPLACE STREAM s (a DOUBLE NOT NULL)", "Line 1: A constraint of a column is not supported"),
        ("CREATE OR REPLACE STREAM s (a DOUBLE) 'open", "The code is no SQL"),
        ("-- nothing", "The code has no pump"),
        ("x" * 102_401, "102,401 characters"),
    ],
)
def test_statements_that_are_none_of_an_application_are_refused(code, message):
    assert message in refused(code)


@pytest.mark.parametrize(
    ("select", "message"),
    [
        (f"SELECT STREAM nothing {SOURCE}", "Line 3: there is no column NOTHING"),
        (f'SELECT STREAM "price" {SOURCE}', "there is no column price"),  # case-sensitive (C6)
        ("SELECT STREAM price FROM source_sql_stream_002", "there is no stream SOURCE_SQL_STREAM_002"),
        (f"SELECT STREAM x.price {SOURCE} AS y", "there is no stream X in this query"),
        ("SELECT STREAM MESSAGE FROM error_stream", "a pump cannot read error_stream here"),
        (f"SELECT STREAM price, price {SOURCE}", "selects 2 columns for the 1 of OUT"),
        (f"SELECT STREAM ticker {SOURCE}", "puts TICKER, a VARCHAR, into A, a DOUBLE"),
        (f"SELECT STREAM at {SOURCE}", "puts AT, a TIMESTAMP, into A, a DOUBLE"),
        (f"SELECT STREAM price {SOURCE} WHERE price", "is no condition"),
        (f"SELECT STREAM price {SOURCE} WHERE ticker = 3", "a text cannot be compared to a whole number"),
        (f"SELECT STREAM ticker + 1 {SOURCE}", "needs a number"),
        (f"SELECT STREAM COUNT(*) {SOURCE}", "`COUNT(*)` is of no window"),
        (f"SELECT STREAM COUNT(*) {SOURCE} GROUP BY ticker", "GROUP BY has no window"),
        (f"SELECT STREAM COUNT(*) {SOURCE} GROUP BY FLOOR(ROWTIME TO HOUR), {STEP}", "GROUP BY has several windows"),
        (f"SELECT STREAM COUNT(*) {SOURCE} GROUP BY FLOOR(ROWTIME TO MONTH)", "a window of a MONTH has no length"),
        (f"SELECT STREAM price {SOURCE} GROUP BY ticker, {STEP}", "PRICE is neither grouped by nor aggregated"),
        (f"SELECT STREAM * {SOURCE} GROUP BY ticker, {STEP}", "* has no meaning beside GROUP BY"),
        (f"SELECT STREAM SUM(price) OVER w {SOURCE}", "there is no WINDOW W"),
        (f"SELECT STREAM SUM(price) OVER (PARTITION BY ticker) {SOURCE}", "A window without a length"),
        (f"SELECT STREAM price {SOURCE} HAVING price > 1", "HAVING needs GROUP BY"),
        ("SELECT STREAM 1", "there is no FROM"),
    ],
)
def test_what_makes_no_sense_is_refused(select, message):
    assert message in refused_query(select)


def test_a_pump_needs_its_stream_and_one_that_is_filled():
    pump = f'CREATE OR REPLACE PUMP "P" AS INSERT INTO "MISSING" SELECT STREAM price {SOURCE};'
    assert "Line 1: there is no stream MISSING to insert into" in refused(pump)
    pump = 'CREATE OR REPLACE PUMP "P" AS INSERT INTO "OUT" SELECT STREAM a FROM empty;'
    code = f"{OUT}CREATE OR REPLACE STREAM empty (a DOUBLE);\n{pump}"
    assert "selects from EMPTY, into which no pump inserts" in refused(code)
    assert "OUT has no column B" in refused(
        OUT + f'CREATE PUMP p AS INSERT INTO "OUT" (b) SELECT STREAM price {SOURCE}'
    )


def test_pumps_that_feed_each_other_are_refused():
    code = "CREATE STREAM a (x DOUBLE); CREATE STREAM b (x DOUBLE);"
    code += (
        "CREATE PUMP p AS INSERT INTO a SELECT STREAM x FROM b; CREATE PUMP q AS INSERT INTO b SELECT STREAM x FROM a"
    )
    assert "feed each other" in refused(code)


def test_a_size_that_is_no_number_is_refused():
    with pytest.raises(ConfigurationError, match=r"size of .* is no number"):
        plan('CREATE OR REPLACE STREAM "S" ("A" VARCHAR(MAX));', FIELDS)


def test_code_that_nests_too_deeply_is_refused():
    terms = "+".join(["price"] * 3_000)
    message = refused_query(f"SELECT STREAM {terms} {SOURCE}")
    assert "nests too deeply" in str(message)


def test_mod_of_doubles_is_the_rest():
    assert [expression._modulo(5.5, 2), expression._modulo(7.0, 2), expression._modulo(-7, 2)] == [1.5, 1.0, -1]


def names_of(count, length):
    """A select list of so many numbers, each with a name of its own of so many characters."""
    return ", ".join(f'price AS "{f"c{at:03}".ljust(length, "x")}"' for at in range(count))


def test_c12_columns_whose_explanation_could_be_too_long_are_refused_by_their_names_in_sql():
    def select(length):
        cursor = f"CURSOR(SELECT STREAM {names_of(30, length)} {SOURCE})"
        return (
            f"SELECT STREAM anomaly_score FROM\n"
            f"TABLE(RANDOM_CUT_FOREST_WITH_EXPLANATION({cursor}, 100, 256, 100000, 1, TRUE))"
        )

    said = refused_query(select(610))
    assert "Line 4: ANOMALY_EXPLANATION" in said
    assert "up to 20,491 characters, and it has 20,480" in said
    taken(select(609))


def test_c13_columns_of_which_one_hotspot_could_be_too_long_are_refused_in_sql():
    def select(count):
        cursor = f"CURSOR(SELECT STREAM {names_of(count, 4)} {SOURCE})"
        return f'SELECT STREAM "c000" FROM\nTABLE(HOTSPOTS({cursor}, 100, 0.5, 5))'

    assert "Line 4: a hotspot of 199 columns" in refused_query(select(199))
    taken(select(198))


WINDOWS = {
    "tumbling": f'SELECT STREAM COUNT(*)\n{SOURCE} GROUP BY\nSTEP("SOURCE_SQL_STREAM_001".ROWTIME BY {{}})',
    "stagger": f"SELECT STREAM COUNT(*)\n{SOURCE}\nWINDOWED BY STAGGER (PARTITION BY ticker RANGE {{}})",
    "sliding": f"SELECT STREAM\nAVG(price) OVER (PARTITION BY ticker\nRANGE {{}} PRECEDING) {SOURCE}",
    "named": f"SELECT STREAM AVG(price) OVER w {SOURCE}\nWINDOW w AS (\nRANGE {{}} PRECEDING)",
    "step": f"SELECT STREAM price {SOURCE}\nWHERE\nSTEP(at BY {{}}) = at",
}


@pytest.mark.parametrize("select", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize(
    ("length", "what"),
    [
        ("INTERVAL '0' SECOND", "an interval of 0 SECOND is no length of a window"),
        ("INTERVAL '0.0009' SECOND", "an interval of 0.0009 SECOND is no length"),
        ("INTERVAL '-5' SECOND", "an interval of -5 SECOND is no length"),
        ("INTERVAL '1e400' SECOND", "this is no SQL that is known here at 'SECOND'"),
        ("INTERVAL '1e300' MINUTE", "this is no SQL that is known here at 'MINUTE'"),
        (f"INTERVAL '1{'0' * 400}' SECOND", f"an interval of 1{'0' * 39} SECOND is no length"),
        (f"INTERVAL '-1{'0' * 400}' DAY", f"an interval of -1{'0' * 38} DAY is no length"),
        ("INTERVAL '3000000' DAY", "an interval of 3000000 DAY is no length"),
        ("INTERVAL 'inf' SECOND", "an interval has a number and a unit"),
        ("INTERVAL 'nan' HOUR", "an interval has a number and a unit"),
        ("INTERVAL '1_0' SECOND", "an interval has a number and a unit"),
        ("INTERVAL '' SECOND", "an interval has a number and a unit"),
        ("INTERVAL '5' MONTH", "an interval has a number and a unit"),
    ],
)
def test_c8_c9_c10_an_interval_that_is_no_length_is_refused_in_every_window(select, length, what):
    said = refused_query(select.format(length))
    assert said.startswith("Line 5: ")
    assert what in said
    taken(select.format("INTERVAL '5' SECOND"))


def test_c10_a_window_of_more_rows_than_can_be_counted_is_refused():
    select = f"SELECT STREAM AVG(price) OVER (ROWS {{}} PRECEDING) {SOURCE}"
    assert "a window of 2147483648 rows is none" in refused_query(select.format(2**31))
    assert "a window of 9999999" in refused_query(select.format("9" * 5_000))
    taken(select.format(2**31 - 1))


@pytest.mark.parametrize(
    ("number", "what"),
    [
        ("9223372036854775808", "Line 3: 9223372036854775808 does not fit into BIGINT"),
        ("9" * 5_000, f"Line 3: {'9' * 40} does not fit into BIGINT"),
        ("-9223372036854775809", "Line 3: -9223372036854775809 does not fit into BIGINT"),
        ("1e400", "Line 3: 1e400 does not fit into DOUBLE"),
        ("-1e400", "Line 3: 1e400 does not fit into DOUBLE"),
    ],
)
def test_a_number_that_no_type_holds_is_refused(number, what):
    assert what in refused_query(f"SELECT STREAM {number} {SOURCE}")


def test_c11_a_parameter_of_thousands_of_digits_is_out_of_its_range():
    call = f"TABLE(RANDOM_CUT_FOREST(CURSOR(SELECT STREAM price {SOURCE}), {'9' * 5_000}))"
    assert "numberOfTrees must be a whole number from 1 to 1000" in refused_query(f"SELECT STREAM * FROM {call}")


def test_a_size_of_thousands_of_digits_is_refused():
    said = refused(f'CREATE OR REPLACE STREAM "OUT" (a VARCHAR({"9" * 5_000}));')
    assert "is no number of nine digits or fewer" in said


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 0, -1])
def test_the_least_and_the_largest_bigint_can_be_written(number):
    out = 'CREATE OR REPLACE STREAM "OUT" (a BIGINT);\n'
    pump = f'CREATE OR REPLACE PUMP "P" AS INSERT INTO "OUT"\nSELECT STREAM {number} {SOURCE}'
    first, last = plan(f"{out}{pump}", FIELDS).pumps[0].stages
    ((_, written),) = first.outputs
    ((_, inserted),) = last.outputs
    assert inserted.of([None] * 4 + [written.of([None] * 8)]) == number


@pytest.mark.parametrize(
    ("select", "what", "instead"),
    [
        ("SELECT STREAM\nTRIM(BOTH 'x' FROM ticker) {S}", "TRIM of", "TRIM(text)"),
        ("SELECT STREAM\nTRIM(LEADING FROM ticker) {S}", "TRIM of one end", "TRIM(text)"),
        ("SELECT STREAM\nTRIM(ticker, 'x') {S}", "TRIM of characters", "TRIM(text)"),
        ("SELECT STREAM price {S} WHERE\nprice BETWEEN SYMMETRIC 5 AND 1", "BETWEEN SYMMETRIC", "lower bound first"),
        ("SELECT STREAM\na.b.price {S}", "A column's name of more than two parts", "stream.column"),
        ("SELECT STREAM *\nEXCEPT (price) {S}", "* without some of the columns", "name the columns"),
        ("SELECT STREAM x\n{S} AS s (x)", "Names of columns behind a stream's", "AS behind each"),
        (
            "SELECT STREAM\nSUM(price) OVER (w ROWS 2 PRECEDING) {S} WINDOW w AS (ROWS 2 PRECEDING)",
            "A window made of another",
            "PARTITION BY and the length in one",
        ),
        (
            "SELECT STREAM SUM(price) OVER w2 {S} WINDOW w AS (PARTITION BY ticker),\nw2 AS (w ROWS 2 PRECEDING)",
            "A window made of another",
            "PARTITION BY and the length in one",
        ),
        (
            "SELECT STREAM\nSUM(price) OVER (ROWS BETWEEN 2 PRECEDING AND CURRENT ROW EXCLUDE CURRENT ROW) {S}",
            "EXCLUDE in a window",
            "SUM(x) OVER w - x",
        ),
        ("SELECT STREAM price {S} ORDER BY FLOOR(ROWTIME TO MINUTE),\nprice DESC NULLS FIRST", "NULLS FIRST", "least"),
        ("SELECT STREAM price {S} ORDER BY FLOOR(ROWTIME TO MINUTE),\nprice NULLS LAST", "LAST upwards", "least"),
    ],
)  # fmt: skip
def test_a_part_of_a_construct_that_nothing_reads_is_refused_not_left_out(select, what, instead):
    said = refused_query(select.replace("{S}", SOURCE))
    assert what in said
    assert "is not supported" in said
    assert instead in said
    assert "Line 4: " in said or "Line 3: " in said


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ("{S} ORDER BY FLOOR(ROWTIME TO MINUTE),\n1 DESC", "Line 4: `1` in ORDER BY is the same for every row"),
        ("{S} ORDER BY FLOOR(ROWTIME TO MINUTE),\n-1", "`-1` in ORDER BY is the same for every row"),
        ("{S} GROUP BY\n1, {STEP}", "Line 4: `1` in GROUP BY is the same for every row"),
        ("{S} GROUP BY\n'TICKER', {STEP}", "`'TICKER'` in GROUP BY is the same for every row"),
        ("{S}\nWINDOWED BY STAGGER (PARTITION BY 1 RANGE INTERVAL '1' SECOND)", "`1` in PARTITION BY is the same"),
    ],
)
def test_a_column_s_number_is_no_key(select, message):
    assert message in refused_query("SELECT STREAM 1 " + select.replace("{S}", SOURCE).replace("{STEP}", STEP))


def test_a_constant_parts_no_window():
    said = refused_query(f"SELECT STREAM SUM(price) OVER (PARTITION BY 1\nROWS 2 PRECEDING) {SOURCE}")
    assert "`1` in PARTITION BY is the same for every row" in said


def test_two_windows_of_one_name_are_refused():
    windows = "WINDOW w AS (ROWS 2 PRECEDING),\nW AS (ROWS 3 PRECEDING)"
    assert "there are two WINDOW W" in refused_query(f"SELECT STREAM SUM(price) OVER w {SOURCE} {windows}")


def test_having_beside_order_by_and_a_star_of_another_stream_are_refused():
    order = "ORDER BY FLOOR(ROWTIME TO SECOND)"
    assert "HAVING needs GROUP BY" in refused_query(f"SELECT STREAM price {SOURCE} HAVING price > 1 {order}")
    assert "there is no stream X in this query" in refused_query(f"SELECT STREAM x.* {SOURCE} AS s")


@pytest.mark.parametrize("columns", ["a DOUBLE,\na DOUBLE", 'a DOUBLE,\n"A" VARCHAR(4)'])
def test_c6_a_stream_with_two_columns_of_one_name_is_refused(columns):
    said = refused(f"CREATE STREAM s (b DOUBLE, {columns})")
    assert "the stream S has two columns A. Fix: " in said
    assert "Line 1: " in said or "Line 2: " in said


def test_c6_names_that_differ_in_case_are_two():
    plan(
        OUT
        + f'CREATE STREAM s (a DOUBLE, "a" DOUBLE); CREATE PUMP p AS INSERT INTO "OUT" SELECT STREAM price {SOURCE}',
        FIELDS,
    )


@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("RANDOM_CUT_FOREST_WITH_EXPLANATION(CURSOR(SELECT STREAM\nprice AS x, exact + 1 AS x {S}))", "X"),
        ("RANDOM_CUT_FOREST(CURSOR(SELECT STREAM\nprice, at, price {S}))", "PRICE"),
        ("RANDOM_CUT_FOREST(CURSOR(SELECT STREAM\nprice AS anomaly_score {S}))", "ANOMALY_SCORE"),
        ("HOTSPOTS(CURSOR(SELECT STREAM\nprice AS x, price AS x {S}), 100, 0.5, 5)", "X"),
    ],
)
def test_c11_c12_c13_a_function_with_two_columns_of_one_name_is_refused(call, name):
    said = refused_query(f"SELECT STREAM 1 FROM TABLE({call.replace('{S}', SOURCE)})")
    assert f"has two columns {name}" in said
    assert "AS" in said
    assert "Line 4: " in said or "Line 3: " in said


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ("ABS(STEP(at BY INTERVAL '1' SECOND)) {S}", "`ABS(STEP(at, INTERVAL '1' SECOND))` needs a number"),
        ("price {S} WHERE STEP(at BY INTERVAL '1' SECOND)", "`STEP(at, INTERVAL '1' SECOND)` is no condition"),
        ("MAX(STEP(at BY INTERVAL '1' SECOND)) {S}", "`MAX(STEP(at, INTERVAL '1' SECOND))` is of no window"),
        ("CURSOR(SELECT STREAM price {S}) {S}", "CURSOR, in `CURSOR(SELECT"),
        (
            "* FROM TABLE(RANDOM_CUT_FOREST(CURSOR(SELECT STREAM price {S}), CURSOR(SELECT STREAM price {S})))",
            "a param",
        ),
    ],
)
def test_what_is_refused_is_quoted_with_step_and_cursor_in_it(select, message):
    assert f"Line 3: {message}" in refused_query("SELECT STREAM " + select.replace("{S}", SOURCE))
