"""Whole columns at once: what the JSON reader reads a column as, and how that becomes the column of the table.

A column is read as one *kind* of JSON value (number, string, boolean); a table's integers may well come as strings.
Values that the vectorised rule does not cover are coerced one by one, by the rule of the slow path; what that refuses
is flagged, and its record decided by the slow path.
"""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.firehose.convert.coerce import INTEGER_BITS, NUMBER_FORM, Coercion, coercion
from pipelines.firehose.convert.lines import Flags
from pipelines.firehose.convert.messages import BadRecordError
from pipelines.firehose.convert.rules import Rules
from pipelines.firehose.convert.timestamps import MAX_EPOCH_MS, MILLISECONDS_FROM
from pipelines.firehose.schema import (
    DecimalType,
    HiveType,
    PrimitiveType,
    TextType,
    arrow_type,
)

NUMBER: Final = "number"
WIDE_NUMBER: Final = "wide number"
"""Integers read into 64 bits, when one of them is out of the column's range: the reader would not say which one."""
STRING: Final = "string"
BOOLEAN: Final = "boolean"

_FIRST_DATE: Final = -719_162  # 0001-01-01, the first that a Python date can be
_STRAYS: Final = 0.1  # share of values of another form that the slow path may have; beyond it goes one by one
_INTEGER_18: Final = r"^-?[0-9]{1,18}$"  # no 18 digits overflow 64 bits

Finish = Callable[[pa.Array], tuple[pa.Array, Flags | None]]
"""From what was read to the column of the table, and which rows remain open (None: none)."""

_Finished = tuple[pa.Array, Flags | None]
_Vectorised = Callable[[pa.Array], _Finished | None]
"""A `Finish` of a few calls for the whole column; None when the column is of a form that they do not cover."""


@dataclass(frozen=True)
class Reading:
    """How one column, or nested value, is read.

    Attributes:
        kinds: JSON kind -> Arrow type to read it as; the usual kind first. Empty for arrays and structs.
        finish: kind -> what makes the column of the table of it.
    """

    kinds: dict[str, pa.DataType]
    finish: dict[str, Finish]


def reading(hive: HiveType, rules: Rules) -> Reading:
    """How a scalar Hive type is read."""
    kinds, vectorised = _leaf(hive, rules)
    one_by_one = functools.partial(_one_by_one, coerce=coercion(hive, rules), target=arrow_type(hive))
    return Reading(kinds, {kind: functools.partial(_finish, vectorised.get(kind), one_by_one) for kind in kinds})


def finish_array(
    array: pa.Array, child: Callable[[pa.Array], tuple[pa.Array, Flags | None]]
) -> tuple[pa.Array, Flags | None]:
    """A list column with its elements finished; a row is open when one of its elements is."""
    elements, flags = child(array.values)
    offsets = array.offsets
    finished = pa.ListArray.from_arrays(
        offsets, elements, type=pa.list_(pa.field("element", elements.type)), mask=_mask(array)
    )
    if flags is None:
        return finished, None
    counts = np.concatenate([[0], np.cumsum(flags)])[offsets.to_numpy(zero_copy_only=False)]
    return finished, counts[1:] > counts[:-1]


def finish_struct(array: pa.Array, children: dict[str, Finish]) -> tuple[pa.Array, Flags | None]:
    """A struct column with its fields finished and named as in the table."""
    finished = [finish(array.field(i)) for i, finish in enumerate(children.values())]
    columns = [column for column, _ in finished]
    fields = [pa.field(name, column.type) for name, column in zip(children, columns, strict=True)]
    struct = pa.StructArray.from_arrays(columns, fields=fields, mask=_mask(array))
    return struct, any_of(flags for _, flags in finished)


def any_of(flags: Iterable[Flags | None]) -> Flags | None:
    """Rows that any of the flags (each may be None: no row) is set for."""
    found = [each for each in flags if each is not None]
    return functools.reduce(np.logical_or, found) if found else None


def _mask(array: pa.Array) -> pa.Array | None:
    return array.is_null() if array.null_count else None


def _finish(vectorised: _Vectorised | None, one_by_one: Finish, array: pa.Array) -> tuple[pa.Array, Flags | None]:
    try:
        if vectorised is not None and (finished := vectorised(array)) is not None:
            return finished
    except pa.ArrowInvalid:
        pass  # a value that one call cannot cast; find out which
    return one_by_one(array)


def _one_by_one(array: pa.Array, coerce: Coercion, target: pa.DataType) -> tuple[pa.Array, Flags | None]:
    values = array.to_pylist()
    flags = np.zeros(len(values), np.bool_)
    for i, value in enumerate(values):
        if value is None:
            continue
        try:
            values[i] = coerce(value)
        except BadRecordError:
            values[i] = None
            flags[i] = True
    return pa.array(values, target), flags if flags.any() else None


def _leaf(hive: HiveType, rules: Rules) -> tuple[dict[str, pa.DataType], dict[str, _Vectorised]]:
    """Kinds of a scalar type, and the vectorised rule of each (none: one by one)."""
    target = arrow_type(hive)
    match hive:
        case PrimitiveType(name) if name in INTEGER_BITS:
            kinds = {NUMBER: target, WIDE_NUMBER: pa.int64()} | ({STRING: pa.string()} if rules.lenient else {})
            parse = functools.partial(_parse, form=_INTEGER_18, target=target)
            return kinds, {NUMBER: _as_it_is, WIDE_NUMBER: functools.partial(_cast, target=target), STRING: parse}
        case PrimitiveType("float" | "double"):
            # Read as a double also when the column is 32 bits wide: text to float in one step would round differently.
            kinds = {NUMBER: pa.float64(), STRING: pa.string()} if rules.lenient else {NUMBER: pa.float64()}
            return kinds, {
                NUMBER: functools.partial(_finite, target=target),
                STRING: functools.partial(_parse_floats, target=target),
            }
        case PrimitiveType("boolean"):
            kinds = {BOOLEAN: pa.bool_(), STRING: pa.string()} if rules.lenient else {BOOLEAN: pa.bool_()}
            return kinds, {BOOLEAN: _as_it_is}
        case PrimitiveType("timestamp"):
            kinds = {STRING: pa.string(), NUMBER: pa.float64()} if rules.epoch_numbers else {STRING: pa.string()}
            text = functools.partial(_timestamps, forms=rules.timestamp_forms, target=target)
            return kinds, {STRING: text, NUMBER: functools.partial(_epochs, target=target)}
        case PrimitiveType("date"):
            return {STRING: pa.string()}, {STRING: _dates}
        case DecimalType(_, scale):
            # Into 128 bits the reader would let 18446744073709551616 at scale 20 wrap around; with this precision
            # the scaled digits always fit.
            return {NUMBER: pa.decimal256(76 - scale, scale)}, {NUMBER: functools.partial(_cast, target=target)}
        case PrimitiveType("binary"):
            return {STRING: pa.binary()}, {STRING: _as_it_is}
        case _:
            kinds = {STRING: pa.string(), NUMBER: pa.int64(), BOOLEAN: pa.bool_()}
            length = hive.length if isinstance(hive, TextType) else None
            return kinds, dict.fromkeys(kinds, functools.partial(_text, length=length))


def _as_it_is(array: pa.Array) -> _Finished:
    return array, None


def _cast(array: pa.Array, target: pa.DataType) -> _Finished:
    return array.cast(target), None


def _parse(array: pa.Array, form: str, target: pa.DataType) -> _Finished | None:
    matching = _matching(array, form)
    return None if matching is None else (matching[0].cast(target), matching[1])


def _parse_floats(array: pa.Array, target: pa.DataType) -> _Finished | None:
    parsed = _parse(array, f"^{NUMBER_FORM}$", pa.float64())
    finished = _finite(parsed[0], target) if parsed else None
    return (finished[0], parsed[1]) if parsed and finished else None


def _finite(array: pa.Array, target: pa.DataType) -> _Finished | None:
    finished = pc.add(array, 0.0)  # -0.0 becomes 0.0, as one by one
    if finished.type != target:
        finished = finished.cast(target, safe=False)
    return (finished, None) if pc.all(pc.is_finite(finished)).as_py() is not False else None


def _timestamps(array: pa.Array, forms: tuple[str, ...], target: pa.DataType) -> _Finished | None:
    for form in forms:
        if matching := _matching(array, f"^(?:{form})$"):
            return pc.ascii_rtrim(matching[0], "Z").cast(target), matching[1]
    return None


def _epochs(array: pa.Array, target: pa.DataType) -> _Finished | None:
    epochs = array.to_numpy(zero_copy_only=False)  # null is NaN
    with np.errstate(invalid="ignore", over="ignore"):
        seconds = np.abs(epochs) < MILLISECONDS_FROM
        millis = np.floor(np.where(seconds, epochs * 1000, epochs) + 0.5)
        if np.count_nonzero(np.abs(millis) <= MAX_EPOCH_MS) < len(array) - array.null_count:
            return None
        nanos = np.where(np.isnan(millis), 0, millis).astype(np.int64) * 1_000_000
    return pa.array(nanos, target, mask=np.isnan(epochs)), None


def _dates(array: pa.Array) -> _Finished | None:
    days = array.cast(pa.date32())
    first = pc.min(days.cast(pa.int32())).as_py()
    return None if first is not None and first < _FIRST_DATE else (days, None)


def _text(array: pa.Array, length: int | None) -> _Finished:
    text = array if array.type == pa.string() else array.cast(pa.string())
    if length is None or (pc.max(pc.binary_length(text)).as_py() or 0) <= length:
        return text, None
    return pc.utf8_slice_codeunits(text, 0, length), None


def _matching(array: pa.Array, form: str) -> tuple[pa.Array, Flags | None] | None:
    """The values of this form, null for others, and which those are; None when the column is of another form."""
    matches = pc.match_substring_regex(array, form)
    if pc.all(matches).as_py() is not False:
        return array, None
    others = ~matches.fill_null(True).to_numpy(zero_copy_only=False)
    if np.count_nonzero(others) > len(array) * _STRAYS:
        return None
    return pc.if_else(matches, array, None), others
