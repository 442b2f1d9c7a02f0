"""The queries of the guide (C8 to C13), planned and run: their rows, exactly, on Prism and on Beam's own runner."""

import json
import math
import random

import pytest
from sql_streams import Application, at, of

TICKS = {"EVENT_TIME": "TIMESTAMP", "TICKER": "VARCHAR(4)", "PRICE": "DOUBLE"}
WORKED = [
    (at(f"11:{arrival}"), {"EVENT_TIME": f"2018-08-01T11:{event}Z", "TICKER": "AMZN", "PRICE": price})
    for arrival, event, price in (
        ("00:20", "00:10", 1.0), ("00:30", "00:20", 2.0), ("01:05", "00:55", 3.0), ("01:15", "01:05", 4.0),
    )
]  # fmt: skip
"""The rows of the guide's worked example: EVENT_TIME is ten seconds before ROWTIME (C8, C9)."""
DESTINATION = """
CREATE OR REPLACE STREAM "DESTINATION_SQL_STREAM" (
    event_minute TIMESTAMP,
    ticker_symbol VARCHAR(4),
    ticker_count INTEGER);
"""
TUMBLING = """
CREATE OR REPLACE PUMP "STREAM_PUMP" AS
  INSERT INTO "DESTINATION_SQL_STREAM"
    SELECT STREAM
      FLOOR(EVENT_TIME TO MINUTE), TICKER, COUNT(TICKER) AS ticker_count
    FROM "SOURCE_SQL_STREAM_001"
    GROUP BY TICKER, FLOOR(EVENT_TIME TO MINUTE), {window};
"""
STAGGER = """
CREATE OR REPLACE PUMP "STREAM_PUMP" AS
  INSERT INTO "DESTINATION_SQL_STREAM"
    SELECT STREAM
      FLOOR(EVENT_TIME TO MINUTE), TICKER, COUNT(TICKER) AS ticker_count
    FROM "SOURCE_SQL_STREAM_001"
    WINDOWED BY STAGGER (
      PARTITION BY FLOOR(EVENT_TIME TO MINUTE), TICKER RANGE INTERVAL '1' MINUTE);
"""


@pytest.fixture(params=["prism", "direct"])
def runner(request):
    return request.param


def counts(found):
    """(ROWTIME, minute, count), by ROWTIME; nothing else came."""
    assert set(found) == {"DESTINATION_SQL_STREAM"}, found
    rows = found["DESTINATION_SQL_STREAM"]
    assert {row["TICKER_SYMBOL"] for row in rows} == {"AMZN"}
    return sorted((of(row["ROWTIME"]), of(row["EVENT_MINUTE"]), row["TICKER_COUNT"]) for row in rows)


@pytest.mark.parametrize(
    "window",
    ["""STEP("SOURCE_SQL_STREAM_001".ROWTIME BY INTERVAL '60' SECOND)""", "FLOOR(ROWTIME TO MINUTE)"],
    ids=["STEP", "FLOOR"],
)
def test_c8_the_tumbling_window_of_the_guide_gives_its_rows(runner, tmp_path, window):
    application = Application(TICKS, DESTINATION + TUMBLING.format(window=window))
    found = application.run(runner, tmp_path, WORKED)
    assert counts(found) == [("11:01:00", "11:00:00", 2), ("11:02:00", "11:00:00", 1), ("11:02:00", "11:01:00", 1)]


def test_c9_the_stagger_window_of_the_guide_gives_its_rows(runner, tmp_path):
    found = Application(TICKS, DESTINATION + STAGGER).run(runner, tmp_path, WORKED)
    assert counts(found) == [("11:01:20", "11:00:00", 3), ("11:02:15", "11:01:00", 1)]


def stream(name, columns):
    return f'CREATE OR REPLACE STREAM "{name}" ({columns});\n'


def pump(target, select, name="P"):
    return f'CREATE OR REPLACE PUMP "{name}" AS INSERT INTO "{target}"\n{select};\n'


def deep(levels):
    """An object in an object, and so on."""
    return {"o": deep(levels - 1)} if levels else 1


def ticks(*described):
    """(seconds behind 11:00:00, ticker, price) as records."""
    return [
        (at("11:00:00") + round(second * 1000), {"TICKER": name, "PRICE": price}) for second, name, price in described
    ]


def test_c10_a_sliding_window_gives_a_row_for_each_row_and_none_when_rows_only_leave(runner, tmp_path):
    code = stream("OUT", "ticker VARCHAR(4), price DOUBLE, least DOUBLE, mean DOUBLE, n INTEGER") + pump(
        "OUT",
        """SELECT STREAM ticker, price, MIN(price) OVER w, AVG(price) OVER w, COUNT(*) OVER w
           FROM "SOURCE_SQL_STREAM_001"
           WINDOW w AS (PARTITION BY ticker RANGE INTERVAL '5' SECOND PRECEDING)""",
    )
    records = ticks((0, "A", 4.0), (1, "B", 7.0), (3, "A", 2.0), (7, "A", 6.0), (60, "A", 1.0))
    found = Application(TICKS, code).run(runner, tmp_path, records)
    assert set(found) == {"OUT"}
    assert sorted((of(row.pop("ROWTIME")), *row.values()) for row in found["OUT"]) == [
        ("11:00:00", "A", 4.0, 4.0, 4.0, 1),
        ("11:00:01", "B", 7.0, 7.0, 7.0, 1),
        ("11:00:03", "A", 2.0, 2.0, 3.0, 2),
        ("11:00:07", "A", 6.0, 2.0, 4.0, 2),
        ("11:01:00", "A", 1.0, 1.0, 1.0, 1),
    ]


def test_c10_a_window_of_rows_counts_those_before_it(runner, tmp_path):
    code = stream("OUT", "price DOUBLE, total DOUBLE, before DOUBLE") + pump(
        "OUT",
        """SELECT STREAM price, SUM(price) OVER (PARTITION BY ticker ROWS 2 PRECEDING),
                  price - FIRST_VALUE(price) OVER (PARTITION BY ticker ROWS 2 PRECEDING)
           FROM "SOURCE_SQL_STREAM_001" WHERE price <> 9""",
    )
    records = ticks(*((second, "A", float(price)) for second, price in enumerate((1, 2, 9, 4, 8))))
    rows = Application(TICKS, code).run(runner, tmp_path, records)["OUT"]
    assert [(row["PRICE"], row["TOTAL"], row["BEFORE"]) for row in rows] == [
        (1.0, 1.0, 0.0), (2.0, 3.0, 1.0), (4.0, 7.0, 3.0), (8.0, 14.0, 6.0),
    ]  # fmt: skip


def measured(count, spike):
    """Values of two columns, one of them far off in the row `spike`."""
    chance = random.Random(3)
    found = []
    for row in range(count):
        diastolic = 80 + math.sin(row) + 60 * (row == spike)
        record = {"Systolic": round(120 + chance.gauss(0, 4)), "Name": f"n{row}", "Diastolic": diastolic}
        found.append((at("11:00:00") + row * 1000, record))
    return found


BLOOD = {"Systolic": "INTEGER", "Name": "VARCHAR(8)", "Diastolic": "DOUBLE"}
FOREST = """
SELECT STREAM "Name", "Diastolic", ANOMALY_SCORE{more} FROM TABLE(
  {function}(CURSOR(SELECT STREAM * FROM "SOURCE_SQL_STREAM_001"), 30, 20, 1000, 1{directionality}))
"""


def test_c11_a_forest_adds_anomaly_score_to_all_columns_of_the_cursor(runner, tmp_path):
    code = stream("OUT", '"Name" VARCHAR(8), "Diastolic" DOUBLE, ANOMALY_SCORE DOUBLE')
    code += pump("OUT", FOREST.format(function="RANDOM_CUT_FOREST", more="", directionality=""))
    records = measured(60, spike=50)
    rows = Application(BLOOD, code).run(runner, tmp_path, records)["OUT"]
    assert [(row["Name"], row["Diastolic"]) for row in rows] == [
        (record["Name"], record["Diastolic"]) for _, record in records
    ]
    scores = [row["ANOMALY_SCORE"] for row in rows]
    assert scores[:20] == [0.0] * 20  # while it learns
    assert all(score > 0 for score in scores[20:])
    assert max(scores) == scores[50] > 2


def test_c12_an_explanation_names_the_columns_of_the_cursor_and_adds_up_to_the_score(runner, tmp_path):
    code = stream(
        "OUT", '"Name" VARCHAR(8), "Diastolic" DOUBLE, ANOMALY_SCORE DOUBLE, ANOMALY_EXPLANATION VARCHAR(20480)'
    )
    code += pump(
        "OUT",
        FOREST.format(
            function="RANDOM_CUT_FOREST_WITH_EXPLANATION", more=", ANOMALY_EXPLANATION", directionality=", true"
        ),
    )
    rows = Application(BLOOD, code).run(runner, tmp_path, measured(60, spike=50))["OUT"]
    explained = [json.loads(row["ANOMALY_EXPLANATION"]) for row in rows]
    assert {tuple(each) for each in explained} == {("Systolic", "Diastolic")}
    assert explained[50]["Diastolic"]["DIRECTION"] == "HIGH"
    assert float(explained[50]["Diastolic"]["ATTRIBUTION_SCORE"]) > float(
        explained[50]["Systolic"]["ATTRIBUTION_SCORE"]
    )
    for row, each in zip(rows, explained, strict=True):
        total = sum(float(column["ATTRIBUTION_SCORE"]) for column in each.values())
        assert total == pytest.approx(row["ANOMALY_SCORE"], abs=1e-3)


def test_c13_hotspots_are_told_of_the_rows_in_them(runner, tmp_path):
    code = stream("OUT", "id VARCHAR(8), x DOUBLE, y DOUBLE, HOTSPOTS_RESULT VARCHAR(10000)") + pump(
        "OUT",
        """SELECT STREAM id, x, y, HOTSPOTS_RESULT FROM TABLE(
             HOTSPOTS(CURSOR(SELECT STREAM id, x, y FROM "SOURCE_SQL_STREAM_001"), 100, 1, 10))""",
    )
    chance = random.Random(1)
    points = [(5 + chance.random() / 4, 5 - chance.random() / 4) if n % 2 else (n * 10.0, -n * 10.0) for n in range(80)]
    records = [(at("11:00:00") + n * 100, {"ID": f"p{n}", "X": x, "Y": y}) for n, (x, y) in enumerate(points)]
    records.insert(40, (at("11:00:04") - 50, {"ID": "none", "X": None, "Y": 5.0}))
    found = Application({"ID": "VARCHAR(8)", "X": "DOUBLE", "Y": "DOUBLE"}, code).run(runner, tmp_path, records)
    rows = found["OUT"]
    assert [(row["ID"], row["X"], row["Y"]) for row in rows] == [(f"p{n}", *point) for n, point in enumerate(points)]
    spots = [json.loads(row["HOTSPOTS_RESULT"])["hotspots"] for row in rows]
    assert [bool(each) for each in spots[30:]] == [bool(n % 2) for n in range(30, 80)]
    assert all(5 <= spot["minValues"][0] <= spot["maxValues"][0] <= 5.25 for each in spots for spot in each)
    (error,) = found["error_stream"]
    assert (error["ERROR_NAME"], error["PUMP_NAME"]) == ("COERCION", "P")
    assert error["MESSAGE"] == "X is no finite number, which HOTSPOTS needs"


def test_c6_pumps_feed_pumps_and_rowtime_is_carried_along(runner, tmp_path):
    code = (
        stream("SECONDS", "ticker VARCHAR(4), n INTEGER")
        + stream("MINUTES", "most INTEGER, tickers INTEGER")
        + stream("FEW", "ticker VARCHAR(4)")
        # Backwards: a pump may stand before the one that feeds it.
        + pump("FEW", 'SELECT STREAM ticker FROM "SECONDS" WHERE n < 2', "C")
        + pump(
            "MINUTES",
            """SELECT STREAM MAX(s.n), COUNT(*) FROM "SECONDS" AS s GROUP BY FLOOR(s.ROWTIME TO MINUTE)""",
            "B",
        )
        + pump(
            "SECONDS",
            """SELECT STREAM ticker, COUNT(*) FROM "SOURCE_SQL_STREAM_001"
               GROUP BY ticker, STEP("SOURCE_SQL_STREAM_001".ROWTIME BY INTERVAL '10' SECOND)""",
            "A",
        )
    )
    records = ticks((1, "A", 1.0), (2, "B", 1.0), (3, "A", 1.0), (11, "A", 1.0), (58, "B", 1.0), (59, "A", 1.0))
    found = Application(TICKS, code).run(runner, tmp_path, records)
    assert set(found) == {"SECONDS", "MINUTES", "FEW"}
    assert sorted((of(row["ROWTIME"]), row["TICKER"], row["N"]) for row in found["SECONDS"]) == [
        ("11:00:10", "A", 2), ("11:00:10", "B", 1), ("11:00:20", "A", 1), ("11:01:00", "A", 1), ("11:01:00", "B", 1),
    ]  # fmt: skip
    # ROWTIME of a window's row is its end, so those of 11:01:00 are in the next minute.
    assert [(of(row["ROWTIME"]), row["MOST"], row["TICKERS"]) for row in found["MINUTES"]] == [
        ("11:01:00", 2, 3), ("11:02:00", 1, 2),
    ]  # fmt: skip
    assert sorted((of(row["ROWTIME"]), row["TICKER"]) for row in found["FEW"]) == [
        ("11:00:10", "B"), ("11:00:20", "A"), ("11:01:00", "A"), ("11:01:00", "B"),
    ]  # fmt: skip


def test_two_pumps_into_one_stream_are_both_in_its_windows(runner, tmp_path):
    code = (
        stream("BOTH", "price DOUBLE")
        + stream("SUMS", "n INTEGER, total DOUBLE")
        + pump("BOTH", 'SELECT STREAM price FROM "SOURCE_SQL_STREAM_001"', "A")
        + pump("BOTH", 'SELECT STREAM price * 10 FROM "SOURCE_SQL_STREAM_001"', "B")
        + pump("SUMS", 'SELECT STREAM COUNT(*), SUM(price) FROM "BOTH" GROUP BY FLOOR(ROWTIME TO MINUTE)', "C")
    )
    rows = Application(TICKS, code).run(runner, tmp_path, ticks((1, "A", 1.0), (2, "A", 2.0)))["SUMS"]
    assert [(row["N"], row["TOTAL"]) for row in rows] == [(4, 33.0)]


def test_c7_what_cannot_be_processed_is_a_row_of_the_error_stream(runner, tmp_path):
    code = stream("OUT", "share DOUBLE, n TINYINT") + pump(
        "OUT", 'SELECT STREAM 100 / price, price FROM "SOURCE_SQL_STREAM_001"', "SHARES"
    )
    records = [
        (at("11:00:01"), b"no JSON"),
        (at("11:00:02"), b"[1]"),
        (at("11:00:03"), {"TICKER": "A", "PRICE": "cheap"}),
        *ticks((4, "A", 0.0), (5, "A", 300.0), (6, "A", 50.0), (7, "A", None), (8, "A", True)),
    ]
    found = Application(TICKS, code).run(runner, tmp_path, records)
    assert [(row["SHARE"], row["N"]) for row in found["OUT"]] == [(2.0, 50), (None, None), (100.0, 1)]  # C4
    errors = sorted(found["error_stream"], key=lambda row: row["DATA_ROWTIME"])
    assert list(errors[0]) == [
        "ROWTIME", "ERROR_TIME", "ERROR_LEVEL", "ERROR_NAME", "MESSAGE", "DATA_ROWTIME", "DATA_ROW", "PUMP_NAME",
    ]  # fmt: skip
    assert {(row["ERROR_TIME"], row["ERROR_LEVEL"]) for row in errors} == {("2018-08-01 23:00:00.000", "ERROR")}
    assert [(of(row["DATA_ROWTIME"]), row["ERROR_NAME"], row["PUMP_NAME"]) for row in errors] == [
        ("11:00:01", "BAD_SCHEMA", ""),
        ("11:00:02", "BAD_SCHEMA", ""),
        ("11:00:03", "COERCION", ""),
        ("11:00:04", "DIVIDE_BY_ZERO", "SHARES"),
        ("11:00:05", "COERCION", "SHARES"),
    ]
    assert bytes.fromhex(errors[0]["DATA_ROW"]) == b"no JSON"
    assert errors[2]["MESSAGE"] == "PRICE: 'cheap' does not fit into DOUBLE"
    assert json.loads(bytes.fromhex(errors[3]["DATA_ROW"]))[4:] == [None, "A", 0.0]


def test_c7_the_largest_bigint_is_exact_and_one_more_is_a_row_of_the_error_stream(runner, tmp_path):
    code = stream("OUT", "n BIGINT") + pump(
        "OUT", """SELECT STREAM CAST(ticker AS BIGINT) FROM "SOURCE_SQL_STREAM_001" """, "EXACT"
    )
    texts = ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "9007199254740993", "1e400"]
    records = [(at(f"11:00:0{second}"), {"TICKER": text}) for second, text in enumerate(texts)]
    found = Application({"TICKER": "VARCHAR(20)"}, code).run(runner, tmp_path, records)
    assert [row["N"] for row in found["OUT"]] == [2**63 - 1, -(2**63), 2**53 + 1]
    errors = sorted(found["error_stream"], key=lambda row: row["DATA_ROWTIME"])
    assert [(row["ERROR_NAME"], row["MESSAGE"], row["PUMP_NAME"]) for row in errors] == [
        ("COERCION", f"'{text}' does not fit into BIGINT", "EXACT") for text in (texts[1], texts[4])
    ]
    constant = stream("OUT", "n BIGINT") + pump(
        "OUT", """SELECT STREAM CAST('9223372036854775807' AS BIGINT) FROM "SOURCE_SQL_STREAM_001" """
    )
    (tmp_path / "constant").mkdir()
    told = Application({"TICKER": "VARCHAR(20)"}, constant).run(runner, tmp_path / "constant", records[:1])
    assert told == {"OUT": [{"ROWTIME": told["OUT"][0]["ROWTIME"], "N": 2**63 - 1}]}


@pytest.mark.parametrize(
    ("columns", "select", "record", "told"),
    [
        ("a DOUBLE", "SELECT STREAM MOD(a * b, 2) FROM {}", {"A": 1e200, "B": 1e200}, "MOD has no value for inf, 2"),
        (
            "n INTEGER",
            "SELECT STREAM COUNT(*) FROM {} GROUP BY FLOOR(at TO MINUTE)",
            {"A": 1, "B": 1, "AT": "9999-12-31T23:59:59Z"},
            "the window ends behind the year 9999, 253402300800000 ms after the beginning of 1970",
        ),
        (
            "t TIMESTAMP",
            "SELECT STREAM STEP(at BY INTERVAL '900' DAY) FROM {}",
            {"A": 1, "B": 1, "AT": "0001-01-01T00:00:00Z"},
            "a time that is rounded down is before the year 1",
        ),
        (
            "t VARCHAR(10000)",
            "SELECT STREAM t FROM {}",
            {"A": 1, "B": 1, "T": deep(300)},
            "T: an object of more than 254 levels does not fit into VARCHAR",
        ),
    ],
    ids=["mod", "9999", "year 1", "deep"],
)  # fmt: skip
def test_c7_one_record_that_cannot_be_computed_ends_nothing(runner, tmp_path, columns, select, record, told):
    code = stream("OUT", columns) + pump("OUT", select.format('"SOURCE_SQL_STREAM_001"'))
    application = Application(
        {"A": "DOUBLE", "B": "DOUBLE", "AT": "TIMESTAMP", "T": "VARCHAR(10000)", "N": "BIGINT"}, code
    )
    good = {"A": 1, "B": 2, "AT": "2018-08-01T11:00:00Z", "T": "a"}
    found = application.run(runner, tmp_path, [(at("11:00:00"), good), (at("11:00:01"), record)])
    assert len(found["OUT"]) == 1
    (error,) = found["error_stream"]
    assert (error["ERROR_NAME"], error["MESSAGE"]) == ("COERCION", told)
    assert bytes.fromhex(error["DATA_ROW"])
    assert error["DATA_ROWTIME"] == (None if "9999" in told else "2018-08-01 11:00:01.000")


def test_c6_a_whole_number_beside_a_double_is_one_however_large(runner, tmp_path):
    code = stream("OUT", "a DOUBLE") + pump(
        "OUT", 'SELECT STREAM CASE WHEN n > 0 THEN n ELSE 0.5 END FROM "SOURCE_SQL_STREAM_001"'
    )
    records = [(at(f"11:00:0{second}"), {"N": n}) for second, n in enumerate((2**60 + 1, 0, 7))]
    found = Application({"N": "BIGINT"}, code).run(runner, tmp_path, records)
    assert [row["A"] for row in found.pop("OUT")] == [float(2**60), 0.5, 7.0]
    assert found == {}


def test_a_window_without_rowtime_goes_by_the_time_of_its_column(runner, tmp_path):
    code = DESTINATION + TUMBLING.format(window="STEP(EVENT_TIME BY INTERVAL '1' MINUTE)").replace(
        "FLOOR(EVENT_TIME TO MINUTE), TICKER, COUNT", "STEP(EVENT_TIME BY INTERVAL '1' MINUTE), TICKER, COUNT"
    ).replace("FLOOR(EVENT_TIME TO MINUTE), STEP", "STEP")
    application = Application(TICKS, code)
    assert application.plan.event_times == (0,)
    assert counts(application.run(runner, tmp_path, WORKED[:2])) == [("11:01:00", "11:00:00", 2)]


def test_c10_two_windows_in_one_query_as_in_the_guide(runner, tmp_path):
    code = stream("OUT", "ticker VARCHAR(4), price DOUBLE, last2 DOUBLE, last4 DOUBLE, recent INTEGER") + pump(
        "OUT",
        """SELECT STREAM ticker, price, AVG(price) OVER Last2rows, MAX(price) OVER Last4rows,
                  COUNT(*) OVER (RANGE INTERVAL '2' SECOND PRECEDING)
           FROM "SOURCE_SQL_STREAM_001" WHERE price < 100
           WINDOW Last2rows AS (PARTITION BY ticker ROWS 1 PRECEDING),
                  Last4rows AS (PARTITION BY ticker ROWS 3 PRECEDING)""",
    )
    prices = (
        (1, "A", 8.0),
        (2, "A", 2.0),
        (2, "A", 100.0),
        (3, "A", 4.0),
        (9, "B", 1.0),
        (10, "A", 6.0),
        (11, "A", 0.0),
    )
    found = Application(TICKS, code).run(runner, tmp_path, ticks(*prices))
    assert set(found) == {"OUT"}
    assert [tuple(row.values())[1:] for row in found["OUT"]] == [
        ("A", 8.0, 8.0, 8.0, 1),
        ("A", 2.0, 5.0, 8.0, 2),
        ("A", 4.0, 3.0, 8.0, 3),
        ("B", 1.0, 1.0, 1.0, 1),
        ("A", 6.0, 5.0, 8.0, 2),
        ("A", 0.0, 3.0, 6.0, 3),
    ]


def test_c11_rows_are_sorted_by_score_in_each_second_as_in_the_guide(runner, tmp_path):
    code = (
        stream("TEMP_STREAM", '"Name" VARCHAR(8), ANOMALY_SCORE DOUBLE')
        + stream("OUT", '"Name" VARCHAR(8), ANOMALY_SCORE DOUBLE')
        + pump(
            "TEMP_STREAM",
            """SELECT STREAM "Name", ANOMALY_SCORE FROM TABLE(
                 RANDOM_CUT_FOREST(CURSOR(SELECT STREAM * FROM "SOURCE_SQL_STREAM_001"), 30, 20, 1000))""",
            "STREAM_PUMP",
        )
        + pump(
            "OUT",
            """SELECT STREAM * FROM "TEMP_STREAM" WHERE ANOMALY_SCORE > 0
               ORDER BY FLOOR("TEMP_STREAM".ROWTIME TO SECOND), ANOMALY_SCORE DESC""",
            "OUTPUT_PUMP",
        )
    )
    records = [(begin // 4 + at("11:00:00") * 3 // 4, record) for begin, record in measured(80, spike=50)]  # 4 a second
    found = Application(BLOOD, code).run(runner, tmp_path, records)
    scored = [(row["ROWTIME"][:19], -row["ANOMALY_SCORE"], row["Name"]) for row in found["TEMP_STREAM"]]
    rows = [(row["ROWTIME"][:19], -row["ANOMALY_SCORE"], row["Name"]) for row in found["OUT"]]
    assert rows == sorted(row for row in scored if row[1])
    assert rows != [row for row in scored if row[1]]
    assert len({row[0] for row in rows}) == 15


@pytest.mark.parametrize(
    "runner", ["prism"]
)  # at the end of input, Beam's own fires a pump's timers before its rows come
def test_c5_a_stream_with_a_column_rowtime_gets_it_from_its_pump(runner, tmp_path):
    code = (
        stream("FIRST", "ROWTIME TIMESTAMP, ticker VARCHAR(4), n INTEGER")
        + stream("OUT", "ROWTIME TIMESTAMP, n INTEGER")
        + pump(
            "FIRST",
            """SELECT STREAM ROWTIME, ticker, COUNT(*) FROM "SOURCE_SQL_STREAM_001"
               GROUP BY ticker, FLOOR("SOURCE_SQL_STREAM_001".ROWTIME TO MINUTE)""",
            "A",
        )
        + pump(
            "OUT",
            """SELECT STREAM ROWTIME, SUM(n) FROM "FIRST" GROUP BY STEP("FIRST".ROWTIME BY INTERVAL '1' HOUR)""",
            "B",
        )
    )
    found = Application(TICKS, code).run(runner, tmp_path, ticks((1, "A", 1.0), (2, "B", 1.0), (61, "A", 1.0)))
    assert [tuple(row.values()) for row in found["OUT"]] == [("2018-08-01 12:00:00.000", 3)]


@pytest.mark.parametrize("runner", ["prism"])
def test_rows_of_stagger_windows_are_in_time_for_the_windows_behind_them(runner, tmp_path):
    """Windows that close at any millisecond, and a pump behind whose own windows end in between."""
    code = (
        stream("FIRST", "ticker VARCHAR(4), n INTEGER")
        + stream("OUT", "n INTEGER, total INTEGER")
        + pump(
            "FIRST",
            """SELECT STREAM ticker, COUNT(*) FROM "SOURCE_SQL_STREAM_001"
               WINDOWED BY STAGGER (PARTITION BY ticker RANGE INTERVAL '0.3' SECOND)""",
            "A",
        )
        + pump(
            "OUT",
            """SELECT STREAM COUNT(*), SUM(n) FROM "FIRST" GROUP BY STEP("FIRST".ROWTIME BY INTERVAL '0.2' SECOND)""",
            "B",
        )
    )
    chance = random.Random(5)
    times = sorted(chance.uniform(0, 20) for _ in range(200))
    records = [(at("11:00:00") + round(time * 1000), {"TICKER": chance.choice("ABCDE")}) for time in times]
    found = Application(TICKS, code).run(runner, tmp_path, records)
    assert set(found) == {"FIRST", "OUT"}  # no errors: nothing was late
    assert sum(row["N"] for row in found["FIRST"]) == sum(row["TOTAL"] for row in found["OUT"]) == 200
    assert sum(row["N"] for row in found["OUT"]) == len(found["FIRST"])


def test_c4_null_is_part_of_no_aggregate(runner, tmp_path):
    code = stream(
        "OUT", "k VARCHAR(4), n INTEGER, p INTEGER, s DOUBLE, a DOUBLE, lo DOUBLE, hi DOUBLE, f DOUBLE, l DOUBLE"
    )
    code += pump(
        "OUT",
        """SELECT STREAM ticker, COUNT(*), COUNT(price), SUM(price), AVG(price), MIN(price), MAX(price),
                  FIRST_VALUE(price), LAST_VALUE(price)
           FROM "SOURCE_SQL_STREAM_001"
           GROUP BY ticker, FLOOR("SOURCE_SQL_STREAM_001".ROWTIME TO MINUTE)""",
    )
    records = ticks((1, "A", None), (2, "A", -4.0), (3, "B", None), (4, "A", -2.0), (5, None, 3.0), (6, "A", -3.0))
    rows = Application(TICKS, code).run(runner, tmp_path, records)["OUT"]
    assert {tuple(row.values())[1:] for row in rows} == {
        ("A", 4, 3, -9.0, -3.0, -4.0, -2.0, None, -3.0),
        ("B", 1, 0, None, None, None, None, None, None),
        (None, 1, 1, 3.0, 3.0, 3.0, 3.0, 3.0, 3.0),  # NULL is a key as any other
    }
