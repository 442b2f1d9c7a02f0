"""Plans: the order of pumps, and how long rows wait for those that windows before them hold back."""

from pipelines.analytics.sql import types
from pipelines.analytics.sql.parse import Field
from pipelines.analytics.sql.plan import plan
from pipelines.analytics.sql.query import Score

FIELDS = (Field("PRICE", types.DOUBLE),)
STREAMS = "CREATE STREAM a (x DOUBLE); CREATE STREAM b (x DOUBLE); CREATE STREAM c (x DOUBLE);"


def pump(name, target, source, select="x"):
    return f"CREATE PUMP {name} AS INSERT INTO {target} SELECT STREAM {select} FROM {source};"


def window(source):
    return f"{source} GROUP BY STEP({source}.ROWTIME BY INTERVAL '1' MINUTE)"


def waits(planned):
    """pump -> (wait_ms, step_ms) of each of its windows."""
    return {
        pump.name: [(stage.wait_ms, stage.step_ms) for stage in pump.stages if isinstance(stage, Score)]
        for pump in planned.pumps
    }


def test_a_pump_stands_behind_those_that_feed_it():
    code = (
        STREAMS
        + pump("third", "c", "b")
        + pump("second", "b", "a")
        + pump("first", "a", "SOURCE_SQL_STREAM_001", "price")
    )
    planned = plan(code, FIELDS)
    assert [each.name for each in planned.pumps] == ["FIRST", "SECOND", "THIRD"]
    assert planned.filled == ["error_stream", "A", "B", "C"]


def test_rows_wait_a_step_longer_for_each_window_before():
    code = (
        STREAMS
        + pump("p", "a", window("SOURCE_SQL_STREAM_001"), "SUM(price)")
        + pump("q", "b", window("a"), "SUM(x)")
        + pump("direct", "b", "SOURCE_SQL_STREAM_001", "price")
        + pump("r", "c", window("b"), "SUM(x)")
    )
    assert waits(plan(code, FIELDS)) == {"P": [(0, 1000)], "Q": [(1000, 1000)], "DIRECT": [], "R": [(2000, 1000)]}


def test_rows_wait_for_whole_steps_to_be_sorted_and_those_behind_for_the_sorting():
    code = (
        STREAMS
        + pump("p", "a", window("SOURCE_SQL_STREAM_001"), "SUM(price)")
        + pump("q", "b", "a ORDER BY FLOOR(a.ROWTIME TO MINUTE), x DESC")
        + pump("r", "c", window("b"), "SUM(x)")
    )
    assert waits(plan(code, FIELDS)) == {"P": [(0, 1000)], "Q": [(60_000, 60_000)], "R": [(120_000, 1000)]}


def test_windows_in_a_cursor_and_several_of_one_query_wait_for_each_other():
    code = STREAMS + pump(
        "p",
        "a",
        f"TABLE(RANDOM_CUT_FOREST(CURSOR(SELECT STREAM SUM(price) AS s FROM {window('SOURCE_SQL_STREAM_001')})))",
        "ANOMALY_SCORE",
    )
    code += pump("q", "b", "a", "SUM(x) OVER (ROWS 2 PRECEDING) + SUM(x) OVER (ROWS 3 PRECEDING)")
    assert waits(plan(code, FIELDS)) == {"P": [(0, 1000), (1000, 1000)], "Q": [(2000, 1000), (3000, 1000)]}


def test_the_rows_of_two_pumps_into_one_stream_have_places_of_their_own():
    code = STREAMS + pump("p", "a", "SOURCE_SQL_STREAM_001", "price") + pump("q", "a", "SOURCE_SQL_STREAM_001", "price")
    code += pump("r", "b", "SOURCE_SQL_STREAM_001", "price")
    assert {pump.name: pump.stages[-1].place for pump in plan(code, FIELDS).pumps} == {"P": "P/", "Q": "Q/", "R": ""}


def test_c13_a_function_is_selected_from_without_stream_as_in_the_guide():
    code = """
        CREATE OR REPLACE STREAM "OUT" (p DOUBLE, HOTSPOTS_RESULT VARCHAR(10000));
        CREATE OR REPLACE PUMP "P" AS INSERT INTO "OUT"
        SELECT "PRICE", "HOTSPOTS_RESULT" FROM TABLE (
          HOTSPOTS(CURSOR(SELECT STREAM "PRICE" FROM "SOURCE_SQL_STREAM_001"), 1000, 0.2, 17));
    """
    assert waits(plan(code, FIELDS)) == {"P": [(0, 1000)]}
