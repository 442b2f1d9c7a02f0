"""Windowed anomaly scores as a Beam graph, whole, on one screen.

    pages ── Rows ─┬─ Series (keyed) ── Score: order ─ window ─ score ─┬─► results   one series' results in order
                   └─ bad                                              ├─► late      too late to be sorted in
                                                                       ├─► early     of windows that are still open
                                                                       └─► ordered   rows as they were released

Each record ends in exactly one of results (through its window), late and bad, or waits. The graph is the same for a
bounded and for an unbounded run: at the end of input the watermark passes everything that waits.
"""

from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindows

from pipelines.analytics.order import Lateness
from pipelines.analytics.rows import RowFormat
from pipelines.analytics.stages import BAD, EARLY_RESULTS, LATE, ORDERED, RowsFn, SeriesFn, keyed
from pipelines.analytics.state import Scoring, Unscored
from pipelines.analytics.windows import Sliding, SlidingRows, Windowing, each_row
from pipelines.runtime.errors import ConfigurationError

RESULTS: Final = "results"
_ROWS: Final = "rows"


class ScoreRows(beam.PTransform):
    """PCollection[batch of rows] -> dict of PCollections: rows in order, in windows, scored.

    Elements are `pa.RecordBatch` with the columns of `rows_schema`, of one series or several, in any order. The event
    time of a row is its column `event_ms`; Beam's timestamp of the element only matters in so far as the watermark is
    to be right: it must not pass a row's event time before the row is there, or the row counts as behind it.

    Outputs, all batches in the global window:
        "results": one series' results, in order, scored; every window once, when it is complete.
        "late": rows that came when their series had been released beyond them (`late_schema`).
        "early": results so far, unscored, of windows that rows have just gone into; only where it is asked for.
        "ordered": the rows that were released, in order, each once; only where it is asked for.

    **Late** is what comes behind the watermark by more than the allowed lateness, when its series has been released
    beyond it. A row of a series that has released nothing behind it is never late, since nothing has been computed
    without it.

    **The same** for every order in which rows come within the lateness, every size of bundles, on every runner and
    after a restart: the results, to the last bit.

    Args:
        windowing: what is computed of the rows.
        scoring: what is computed of the windows, in their order.
        lateness: how long rows wait for those before them.
        early: whether there is an output "early".
        tells_of_order: whether there is an output "ordered".

    Raises:
        ConfigurationError: early results of windows that slide: they have none.
    """

    def __init__(
        self,
        windowing: Windowing,
        scoring: Scoring | None = None,
        lateness: Lateness | None = None,
        *,
        early: bool = False,
        tells_of_order: bool = False,
    ) -> None:
        super().__init__()
        if early and isinstance(windowing.window, Sliding | SlidingRows):
            message = "A sliding window gives a result for each row, and no early one."
            raise ConfigurationError(message, fix="leave early out, or use Tumbling, Stagger or Session")
        self._function = SeriesFn(
            lateness or Lateness(), windowing, scoring or Unscored(), early=early, tells_of_order=tells_of_order
        )
        self._outputs = [LATE, *[EARLY_RESULTS] * early, *[ORDERED] * tells_of_order]

    def expand(self, rows: Any) -> Any:
        scored = (
            rows
            | "Global" >> beam.WindowInto(GlobalWindows())  # state and timers of a series are for all of its time
            | "Series" >> beam.FlatMap(keyed).with_output_types(tuple[str, pa.RecordBatch])
            | "Score"
            >> beam.ParDo(self._function)
            .with_output_types(pa.RecordBatch, **dict.fromkeys(self._outputs, pa.RecordBatch))
            .with_outputs(*self._outputs, main=RESULTS)
        )
        return {name: scored[name] for name in (RESULTS, *self._outputs)}


class ScorePages(beam.PTransform):
    """PCollection[page] -> dict of PCollections: `ScoreRows` behind what makes rows of records.

    Outputs are those of `ScoreRows`, and "bad": batches of BAD_SCHEMA, the records that are no rows.

    The watermark must follow the records' event times: `ReadFromKinesis(..., event_time=layout.source_time(slack_ms))`.

    Args:
        layout: where a record's series, time and numbers are.
        windowing: None for each row by itself.
        scoring: as of `ScoreRows`.
        lateness: as of `ScoreRows`.
        early: as of `ScoreRows`.
        tells_of_order: as of `ScoreRows`.
    """

    def __init__(
        self,
        layout: RowFormat,
        windowing: Windowing | None = None,
        scoring: Scoring | None = None,
        lateness: Lateness | None = None,
        *,
        early: bool = False,
        tells_of_order: bool = False,
    ) -> None:
        super().__init__()
        self._layout = layout
        windowing = windowing or each_row(layout.values)
        missing = [name for name in windowing.columns if name not in layout.values]
        if missing:
            message = f"The windows need {', '.join(missing)}, which the rows do not have."
            raise ConfigurationError(message, fix="name it in RowFormat.values")
        self._score = ScoreRows(windowing, scoring, lateness, early=early, tells_of_order=tells_of_order)

    def expand(self, pages: Any) -> Any:
        parsed = pages | "Rows" >> beam.ParDo(RowsFn(self._layout)).with_output_types(
            pa.RecordBatch, **{BAD: pa.RecordBatch}
        ).with_outputs(BAD, main=_ROWS)
        return {**(parsed[_ROWS] | "Score" >> self._score), BAD: parsed[BAD]}
