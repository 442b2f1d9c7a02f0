"""Windows over event time: tumbling, stagger, session and sliding, and what is computed of each. Pure.

Rows come here in the order of their event time (`order`), so a window can be closed when everything before
its end has come: no result is ever revised. What a window gives before that is marked EARLY. `open_windows` has what
a series holds meanwhile.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import pyarrow as pa

from pipelines.analytics.rows import LATEST_MS, RESERVED
from pipelines.runtime.errors import ConfigurationError

EARLY: Final = "EARLY"
ON_TIME: Final = "ON_TIME"
"""What `pane` says of a result: it is of a window that may still get rows, or of all rows of its window. The words are
those of Beam's PaneInfoTiming."""

WINDOW_COLUMNS: Final = ("series", "event_ms", "window_start_ms", "pane", "records")
"""What every result has before its aggregates. `event_ms` is the window's end, exclusive (C8: ROWTIME of the output);
of a sliding window it is the time of the row that it is for."""

Function = Literal["COUNT", "SUM", "AVG", "MIN", "MAX", "FIRST", "LAST"]
_FUNCTIONS: Final = ("COUNT", "SUM", "AVG", "MIN", "MAX", "FIRST", "LAST")


@dataclass(frozen=True, slots=True)
class Tumbling:
    """Windows of `size_ms` one behind the other, from the epoch on (C8: STEP, FLOOR)."""

    size_ms: int


@dataclass(frozen=True, slots=True)
class Stagger:
    """A window opens with the first row of a series that no window holds, and closes `range_ms` later (C9)."""

    range_ms: int


@dataclass(frozen=True, slots=True)
class Session:
    """A window holds rows that are less than `gap_ms` apart, and ends `gap_ms` behind its last."""

    gap_ms: int


@dataclass(frozen=True, slots=True)
class Sliding:
    """A result for each row, of it and what is at most `range_ms` before it (C10: RANGE INTERVAL PRECEDING)."""

    range_ms: int


@dataclass(frozen=True, slots=True)
class SlidingRows:
    """A result for each row, of it and `preceding` rows before it (C10: ROWS n PRECEDING).

    `SlidingRows(0)` is each row by itself.
    """

    preceding: int


Window = Tumbling | Stagger | Session | Sliding | SlidingRows


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A column of the results: `function` of the column `column` of a window's rows, called `name` or as that column.

    SUM adds in the order of the rows, so that it is the same to the last bit wherever it is computed. Of rows with NaN,
    SUM, AVG, MIN and MAX are NaN, and of rows with infinity they are what IEEE 754 makes of it; MIN and MAX know one
    zero, 0.0. `ScorePages` makes rows of finite numbers alone; others come from whoever feeds `ScoreRows` himself.
    """

    function: Function
    column: str
    name: str = ""

    @property
    def label(self) -> str:
        """The column of the results."""
        return self.name or self.column


@dataclass(frozen=True, slots=True)
class Windowing:
    """How rows become windows.

    Attributes:
        window: which.
        aggregates: what is computed of each, float64 columns in this order.
        carried: further columns of the rows that each row's result has as they are, of any type; of windows that slide
            alone, as others have no result for each row.

    Raises:
        ConfigurationError: a length is not positive, or longer than from 1970 to 9999, where event times are: such a
            window would never close; there are no aggregates, or two have one name.
    """

    window: Window
    aggregates: tuple[Aggregate, ...]
    carried: tuple[pa.Field, ...] = ()

    def __post_init__(self) -> None:
        lengths = [getattr(self.window, name) for name in type(self.window).__dataclass_fields__]
        if lengths[0] < (0 if isinstance(self.window, SlidingRows | Sliding) else 1):
            message = f"{self.window} is no window."
            raise ConfigurationError(message, fix="give a length of 1 ms or more")
        if not isinstance(self.window, SlidingRows) and lengths[0] > LATEST_MS:
            message = f"{self.window} is longer than event times go, which end with the year 9999."
            raise ConfigurationError(message, fix=f"give milliseconds, {LATEST_MS:,} at most")
        if self.carried and not isinstance(self.window, SlidingRows | Sliding):
            message = f"{self.window} has no result for each row that columns could be carried to."
            raise ConfigurationError(message, fix="leave carried out, or use Sliding or SlidingRows")
        labels = [aggregate.label for aggregate in self.aggregates]
        taken = [name for name in labels if name in (*RESERVED, *WINDOW_COLUMNS) or labels.count(name) > 1]
        if not labels or taken:
            message = f"The aggregates are called {labels}."
            fix = f"name one or more, each differently, and none {', '.join(WINDOW_COLUMNS)}"
            raise ConfigurationError(message, fix=fix)
        unknown = [aggregate.function for aggregate in self.aggregates if aggregate.function not in _FUNCTIONS]
        if unknown:
            message = f"There is no aggregate function {unknown[0]}."
            raise ConfigurationError(message, fix=f"use {', '.join(_FUNCTIONS)}")

    @property
    def schema(self) -> pa.Schema:
        """The schema of results."""
        return pa.schema(
            [
                pa.field("series", pa.string(), nullable=False),
                pa.field("event_ms", pa.int64(), nullable=False),
                pa.field("window_start_ms", pa.int64(), nullable=False),
                pa.field("pane", pa.string(), nullable=False),
                pa.field("records", pa.int64(), nullable=False),
                *(pa.field(aggregate.label, pa.float64(), nullable=False) for aggregate in self.aggregates),
                *self.carried,
            ]
        )

    @property
    def columns(self) -> list[str]:
        """The columns of rows that are needed, each once."""
        return list(dict.fromkeys(aggregate.column for aggregate in self.aggregates))


def each_row(values: Sequence[str]) -> Windowing:
    """No windows: a result for each row, with its numbers as they are."""
    return Windowing(SlidingRows(0), tuple(Aggregate("LAST", name) for name in values))
