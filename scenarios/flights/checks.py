"""What must come out, computed by pandas straight from the source data: the oracle of the scenario."""

from typing import Final

import pandas as pd

from scenarios.flights.workload import Workload

SQL: Final = """
SELECT carrier, month, avg(dep_delay) AS mean_dep_delay, count(*) AS flights
FROM flights_db.flights GROUP BY carrier, month ORDER BY carrier, month
""".strip()

ROWS_SQL: Final = "SELECT * EXCLUDE (dt, hr) FROM flights_db.flights"


def expected_answer(workload: Workload) -> pd.DataFrame:
    """The answer to `SQL`: mean departure delay (minutes) and number of flights by carrier and month."""
    grouped = workload.left.groupby(["carrier", "month"], as_index=False)
    answer = grouped.agg(mean_dep_delay=("dep_delay", "mean"), flights=("dep_delay", "size"))
    return answer.sort_values(["carrier", "month"], ignore_index=True)


def same_answer(ours: pd.DataFrame, expected: pd.DataFrame) -> bool:
    """Whether both have the same groups and counts, and means equal to 1e-9 minutes."""
    keys = ["carrier", "month", "flights"]
    if len(ours) != len(expected) or not (ours[keys].astype(str) == expected[keys].astype(str)).all(axis=None):
        return False
    return bool(((ours["mean_dep_delay"] - expected["mean_dep_delay"]).abs() < 1e-9).all())


def same_rows(ours: pd.DataFrame, workload: Workload) -> bool:
    """Whether the delivered rows are the flights that left, each as often as in the source, in every column."""
    expected = workload.left.assign(time_hour=pd.to_datetime(workload.left["time_hour"]).dt.tz_localize(None))
    if len(ours) != len(expected):
        return False
    columns = list(expected.columns)
    return _canonical(ours[columns]).equals(_canonical(expected))


def _canonical(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows as text, sorted: independent of order and of integer width."""
    text = pd.DataFrame(
        {
            name: column.astype("Int64").astype(str)
            if pd.api.types.is_numeric_dtype(column)
            else column.astype("datetime64[s]").astype(str)
            if pd.api.types.is_datetime64_any_dtype(column)
            else column.astype(object).where(column.notna(), "<NA>").astype(str)
            for name, column in rows.items()
        }
    )
    return text.sort_values(list(text.columns), ignore_index=True)
