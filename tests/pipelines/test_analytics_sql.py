"""The queries of the guide (C8 to C13), planned and run: their rows, exactly, on Prism and on Beam's own runner."""

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
