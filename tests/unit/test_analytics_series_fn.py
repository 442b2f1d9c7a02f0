"""The stateful step with state that can be taken back: a bundle that fails and is processed again changes nothing."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.analytics import journal, stages
from pipelines.analytics.forests import Forests
from pipelines.analytics.held import Snapshot
from pipelines.analytics.options import ForestOptions
from pipelines.analytics.order import Lateness
from pipelines.analytics.rows import rows_schema
from pipelines.analytics.series import SeriesForests
from pipelines.analytics.stages import SeriesFn
from pipelines.analytics.state import SeriesState
from pipelines.analytics.windows import Aggregate, Tumbling, Windowing, each_row

WINDOWING = Windowing(Tumbling(10), (Aggregate("SUM", "value"),))
FORESTS = Forests(ForestOptions(("value",), number_of_trees=5, sub_sample_size=10, time_decay=100))


class Cell:
    """A state of one key as Beam has it: what a bundle writes is encoded when the bundle is committed."""

    def __init__(self, spec):
        self._coder = spec.coder
        self.committed = []
        self.abort()

    def read(self):
        return self._values[0] if self._values else None

    def write(self, value):
        self._values = [value]

    def clear(self):
        self._values = []

    def add(self, value):
        self._values.append(value)

    def __iter__(self):
        return iter(self._values)

    def commit(self):
        self.committed = [self._coder.encode(value) for value in self._values]
        self.abort()

    def abort(self):
        self._values = [self._coder.decode(encoded) for encoded in self.committed]


class Bag(Cell):
    def read(self):
        return list(self._values)


class Timer:
    def __init__(self):
        self._committed = self.at_ms = None

    def set(self, timestamp):
        self.at_ms = timestamp.micros // 1000

    def commit(self):
        self._committed = self.at_ms

    def abort(self):
        self.at_ms = self._committed


class Machine:
    """One series on a worker; a bundle is rows that come and timers that fire. `failing` says which are lost."""

    def __init__(self, failing, windowing=WINDOWING, scoring=FORESTS):
        self._function = SeriesFn(Lateness(20, 5), windowing, scoring, tells_of_order=True)
        self._function.setup()
        self._bag, self._head = Bag(SeriesFn.WAITING), Cell(SeriesFn.HEAD)
        self._snapshot, self._journal, self._timer = Cell(SeriesFn.SNAPSHOT), Bag(SeriesFn.JOURNAL), Timer()
        self._failing = failing
        self.out = []
        self.failures = 0
        self.snapshots_found_alive = 0  # by steps of a bundle behind the one that put it there

    def come(self, rows):
        self.bundle([rows])

    def watermark(self, ms):
        while self._is_due(ms):
            self.bundle([ms])

    def bundle(self, steps):
        """Rows that come, and watermarks up to which timers fire, in one bundle; it is processed until it is kept."""
        states = (self._bag, self._head, self._snapshot, self._journal, self._timer)
        while True:
            output = [each for step in steps for each in self._step(step, states)]
            fails = self._failing()
            for state in states:
                state.abort() if fails else state.commit()
            if not fails:
                self.out += output
                return
            self.failures += 1

    def _step(self, step, states):
        self.snapshots_found_alive += any(isinstance(held, Snapshot) and held.is_alive for held in self._snapshot)
        if isinstance(step, pa.RecordBatch):
            yield from self._function.process(("s", step), *states)
            return
        while self._is_due(step):
            at_ms, self._timer.at_ms = self._timer.at_ms, None
            yield from self._function.on_due("s", Timestamp(micros=at_ms * 1000), *states)

    def _is_due(self, ms):
        return self._timer.at_ms is not None and self._timer.at_ms <= ms

    def committed_bytes(self):
        """Of what the series is between bundles, without the rows that wait."""
        return sum(len(packed) for state in (self._head, self._snapshot, self._journal) for packed in state.committed)

    def rows(self, tag=None):
        found = [o.value if isinstance(o, TaggedOutput) else o for o in self.out if getattr(o, "tag", None) == tag]
        return [row for batch in found for row in batch.to_pylist()]


def batch(times, begin, value=lambda number: float(number % 17)):
    size = len(times)
    return pa.RecordBatch.from_arrays(
        [
            pa.array(["s"] * size),
            pa.array(times, pa.int64()),
            pa.array(["shard"] * size),
            pa.array([str(begin + n) for n in range(size)]),
            pa.array([0] * size, pa.int64()),
            pa.array([value(begin + n) for n in range(size)], pa.float64()),
        ],
        schema=rows_schema(["value"]),
    )


@pytest.fixture(autouse=True)
def longest_rows(monkeypatch):
    """Is put back after each test."""
    monkeypatch.setattr(journal, "LONGEST_ROWS", journal.LONGEST_ROWS)


def story(seed):
    """Rows, some of them late or for the second time, and watermarks."""
    chance, come = random.Random(seed), []
    for turn in range(20):
        times = [max(0, 15 * turn + chance.randint(-40, 20)) for _ in range(chance.randint(1, 8))]
        come.append(batch(times, 1000 * turn))
        yield come[-1]
        if chance.random() < 0.3:
            yield chance.choice(come)  # again
        yield 15 * turn
    yield 1 << 40


def played(machine, seed):
    """Every call is a bundle of its own."""
    for step in story(seed):
        machine.come(step) if isinstance(step, pa.RecordBatch) else machine.watermark(step)
    return machine


def played_in_bundles(machine, seed, cuts):
    """Bundles have 1 to 6 steps."""
    chance, steps = random.Random(cuts), list(story(seed))
    while steps:
        size = chance.randint(1, 6)
        machine.bundle(steps[:size])
        del steps[:size]
    return machine


@settings(max_examples=30)
@given(
    seed=st.integers(0, 10**6),
    failures=st.integers(0, 10**6),
    share=st.sampled_from([0.2, 0.5, 0.8]),
    longest_rows=st.sampled_from([1, 10, 10_000]),
)
def test_bundles_that_fail_and_are_processed_again_change_nothing(seed, failures, share, longest_rows):
    whole = played(Machine(lambda: False), seed)
    journal.LONGEST_ROWS = longest_rows
    chance = random.Random(failures)
    again = played(Machine(lambda: chance.random() < share), seed)
    for tag in (None, stages.LATE, stages.ORDERED):
        assert again.rows(tag) == whole.rows(tag)
    ended = [row["sequence_number"] for tag in (stages.LATE, stages.ORDERED) for row in again.rows(tag)]
    assert len(set(ended)) == len(ended)  # what came twice is told of once


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    cuts=st.integers(0, 10**6),
    share=st.sampled_from([0.0, 0.2, 0.5]),
    longest_rows=st.sampled_from([1, 10, 40, 10_000]),
    live=st.sampled_from([0, 1, 1_000]),
)
def test_bundles_of_several_steps_give_what_single_ones_do_also_when_they_fail(seed, cuts, share, longest_rows, live):
    whole = played(Machine(lambda: False), seed)
    chance = random.Random(cuts)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(journal, "LONGEST_ROWS", longest_rows)
        patched.setattr(stages, "LIVE_SERIES", live)
        again = played_in_bundles(Machine(lambda: chance.random() < share), seed, cuts)
    for tag in (None, stages.LATE, stages.ORDERED):
        assert again.rows(tag) == whole.rows(tag)


@pytest.mark.parametrize("live", [0, 1])
@pytest.mark.parametrize("seed", range(4))
def test_a_snapshot_that_lives_on_in_its_bundle_is_followed_and_no_step_is_done_twice(seed, live, monkeypatch):
    whole = played(Machine(lambda: False), seed)
    monkeypatch.setattr(journal, "LONGEST_ROWS", 7)  # snapshots, and steps behind them that fit into a journal
    monkeypatch.setattr(stages, "LIVE_SERIES", live)
    chance = random.Random(seed)
    again = played_in_bundles(Machine(lambda: chance.random() < 0.4), seed, seed)
    assert again.failures
    assert again.snapshots_found_alive
    for tag in (None, stages.LATE, stages.ORDERED):
        assert again.rows(tag) == whole.rows(tag)


def test_there_were_failures_scores_and_late_rows_in_that():
    chance = random.Random(1)
    machine = played(Machine(lambda: chance.random() < 0.5), 1)
    assert machine.failures > 20
    assert machine.rows(stages.LATE)
    assert any(row["ANOMALY_SCORE"] > 0 for row in machine.rows())
    assert {row["pane"] for row in machine.rows()} == {"ON_TIME"}


@pytest.mark.parametrize("rows", [1, 10, 10_000])
@pytest.mark.parametrize("live", [0, 1, 1_000])
def test_what_is_kept_beside_the_state_makes_no_difference(live, rows, monkeypatch):
    whole = played(Machine(lambda: False), 3)
    monkeypatch.setattr(stages, "LIVE_SERIES", live)
    monkeypatch.setattr(journal, "LONGEST_ROWS", rows)
    assert played(Machine(lambda: False), 3).rows() == whole.rows()


def noise(number):
    return random.Random(number).gauss(0, 1)


@pytest.mark.parametrize(
    "scoring",
    [SeriesForests(ForestOptions(("value",))), Forests(ForestOptions(("value",), shingle_size=8))],
    ids=["series", "shingle-8"],
)
def test_a_series_has_1_2_mb_of_state_at_most_when_its_rows_come_one_by_one(scoring):
    machine, sizes = Machine(lambda: False, each_row(["value"]), scoring), []
    for number in range(0, 1_000, 100):
        machine.come(batch(list(range(100 * number, 100 * (number + 100), 100)), number, noise))
        machine.watermark(100 * (number + 100))
    for number in range(1_000, 1_600):
        machine.come(batch([100 * number], number, noise))
        machine.watermark(100 * (number + 1))
        sizes.append(machine.committed_bytes())
    assert 400_000 < max(sizes) <= 1_200_000
    assert len(set(sizes)) > 500  # the journal grew


CONTINUED = """
import sys
from test_analytics_series_fn import FORESTS, WINDOWING, batch
from pipelines.analytics.state import SeriesState

state = SeriesState.unpack("s", open(sys.argv[1], "rb").read(), WINDOWING, FORESTS)
state.waiting = [batch(list(range(200, 400)), 200)]
print([score.as_py().hex() for score in state.advance("s", 400).results["ANOMALY_SCORE"]])
"""


def test_another_process_goes_on_with_the_same_bits(tmp_path):
    state = SeriesState.new("s", WINDOWING, FORESTS)
    state.waiting = [batch(list(range(200)), 0)]
    state.advance("s", 200)
    (tmp_path / "state").write_bytes(state.pack())
    state.waiting = [batch(list(range(200, 400)), 200)]
    expected = [score.as_py().hex() for score in state.advance("s", 400).results["ANOMALY_SCORE"]]
    command = [sys.executable, "-c", CONTINUED, str(tmp_path / "state")]
    ended = subprocess.run(
        command, env=os.environ | {"PYTHONPATH": str(Path(__file__).parent)}, capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == str(expected)
    assert len(set(expected)) > 10
