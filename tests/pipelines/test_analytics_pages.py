"""From a Kinesis stream to scores: pages of several shards, event time of the records, all accounted for."""

import json
import math
import random

import apache_beam as beam
import pytest
from pages import ends_of
from streams_of_rows import LogBatches, Seen

from pipelines.analytics.forests import Forests
from pipelines.analytics.hotspots import HotspotOptions, Hotspots
from pipelines.analytics.options import ForestOptions
from pipelines.analytics.order import Lateness
from pipelines.analytics.rows import RowFormat
from pipelines.analytics.scoring import ScorePages
from pipelines.analytics.state import SeriesState
from pipelines.analytics.windows import Aggregate, Tumbling, Windowing
from pipelines.kinesis import ReadFromKinesis, Record, StopFile
from pipelines.runtime.errors import ConfigurationError

LAYOUT = RowFormat(("metric",), "at", ("value",))
WINDOWING = Windowing(Tumbling(10_000), (Aggregate("AVG", "value"),))
FORESTS = Forests(ForestOptions(("value",), number_of_trees=10, sub_sample_size=10, time_decay=1000))
BEGIN_MS = 1_700_000_000_000


def record(metric, second, value):
    data = {"metric": metric, "at": BEGIN_MS + round(second * 1000), "value": value}
    return Record(json.dumps(data).encode(), metric)


def story(metrics=("cpu", "disk", "net", "mem")):
    return [(metric, second, math.sin(second / 7 + len(metric))) for second in range(400) for metric in metrics]


def logged(outputs, seen):
    for name, batches in outputs.items():
        batches | f"Log {name}" >> beam.ParDo(LogBatches(str(seen.folder / f"{name}.jsonl")))


def windows_of(metric):
    """What comes out of a metric's rows, by the pure core alone."""
    from streams_of_rows import rows

    state = SeriesState.new(metric, WINDOWING, FORESTS)
    described = [(name, BEGIN_MS / 1000 + second, value) for name, second, value in story() if name == metric]
    state.waiting = [rows(*described)]
    return [
        (row["event_ms"], row["records"], row["value"], row["ANOMALY_SCORE"].hex())
        for row in state.advance(metric, 1 << 50).results.to_pylist()
    ]


@pytest.mark.parametrize("splits", [1, 4])
def test_records_out_of_order_in_several_shards_are_scored_in_order_and_each_is_accounted_for(
    kinesis, run, tmp_path, splits
):
    stream, seen, chance = kinesis.stream(3), Seen(tmp_path), random.Random(4)
    rows = sorted(story(), key=lambda row: row[1] + chance.uniform(0, 20))
    bad = [Record(b"no JSON", "cpu"), Record(b'{"metric":"cpu","at":1}', "cpu")]
    placed = kinesis.put(stream, [record(*row) for row in rows] + bad)
    # Across shards, how far one is read before another is the reader's affair: the slack spans the story.
    read = ReadFromKinesis(
        stream, "TRIM_HORIZON", ends_of(placed), event_time=LAYOUT.source_time(500_000), desired_num_splits=splits
    )

    def build(pipeline):
        pages = pipeline | read
        logged(pages | ScorePages(LAYOUT, WINDOWING, FORESTS, Lateness(1_000, 5_000), tells_of_order=True), seen)

    run(build)
    assert seen.rows("late") == []
    assert sorted(row["message"][:9] for row in seen.rows("bad")) == ["no JSON: ", "no member"]
    for metric in ("cpu", "disk", "net", "mem"):
        found = [row for row in seen.rows("results") if row["series"] == metric]
        assert [
            (row["event_ms"], row["records"], row["value"], row["ANOMALY_SCORE"].hex()) for row in found
        ] == windows_of(metric)
    numbers = [row["sequence_number"] for output in ("ordered", "bad", "late") for row in seen.rows(output)]
    assert sorted(numbers) == sorted(place.sequence_number for place in placed)


def test_windows_come_out_while_the_stream_is_read_and_what_is_too_late_is_told_of(kinesis, run, tmp_path):
    stream, seen, stop = kinesis.stream(1), Seen(tmp_path), StopFile(str(tmp_path / "stop.json"))
    placed = kinesis.put(stream, [record("cpu", second, 1.0) for second in range(60)])
    turns = iter(range(1000))

    def tick(_):
        if stop.read() is None and seen.rows("results"):  # windows are closed though nothing has ended
            if next(turns) == 0:
                placed.extend(kinesis.put(stream, [record("cpu", 3, 5.0)]))
            elif seen.rows("late"):
                stop.write(ends_of(placed))

    def build(pipeline):
        pages = pipeline | ReadFromKinesis(stream, "TRIM_HORIZON", stop, event_time=LAYOUT.source_time(5_000))
        logged(pages | ScorePages(LAYOUT, WINDOWING, None, Lateness(2_000, 1_000)), seen)

    run(build, on_tick=tick, deadline_s=40)
    (late,) = seen.rows("late")
    assert late["sequence_number"] == placed[-1].sequence_number
    assert late["late_ms"] == late["released_ms"] - (BEGIN_MS + 3_000) > 0
    assert [row["records"] for row in seen.rows("results")] == [10] * 6


def test_c13_hotspots_of_a_stream(kinesis, run, tmp_path):
    stream, seen, chance = kinesis.stream(2), Seen(tmp_path), random.Random(2)
    points = [
        (chance.gauss(5, 0.1), chance.gauss(5, 0.1)) if n % 2 else (chance.uniform(0, 100), chance.uniform(0, 100))
        for n in range(200)
    ]
    placed = kinesis.put(
        stream,
        [Record(json.dumps({"at": BEGIN_MS + n, "x": x, "y": y}).encode(), f"k{n}") for n, (x, y) in enumerate(points)],
    )
    layout = RowFormat((), "at", ("x", "y"))
    scoring = Hotspots(HotspotOptions(("x", "y"), 100, 1.0, 20))

    def build(pipeline):
        pages = pipeline | ReadFromKinesis(
            stream, "TRIM_HORIZON", ends_of(placed), event_time=layout.source_time(60_000)
        )
        logged(pages | ScorePages(layout, scoring=scoring), seen)

    run(build)
    found = seen.rows("results")
    assert [(row["x"], row["y"]) for row in found] == points
    told = [json.loads(row["HOTSPOTS_RESULT"])["hotspots"] for row in found]
    crowded = [bool(spots) for spots in told[100:]]
    assert sum(crowded[n] for n in range(1, 100, 2)) >= 48  # of the 50 in the crowd
    assert sum(crowded[n] for n in range(0, 100, 2)) == 0
    assert all(4 < low < high < 6 for spots in told[100:] for spot in spots
               for low, high in zip(spot["minValues"], spot["maxValues"], strict=True))  # fmt: skip


def test_windows_need_columns_that_rows_have():
    with pytest.raises(ConfigurationError, match="need other, which the rows do not have"):
        ScorePages(LAYOUT, Windowing(Tumbling(1), (Aggregate("SUM", "other"),)))


def test_sliding_windows_have_no_early_results():
    with pytest.raises(ConfigurationError, match="no early one"):
        ScorePages(LAYOUT, early=True)
