"""Keys that the JSON reader drops: none of them may be a column's key in another spelling (A5.4, A5.9).

The reader compares keys byte by byte. In a text with keys that the schema does not have, `Year` would go unseen and
its column would be null. So every distinct key of such a text is compared by the deserializer's rules.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.firehose.convert.lines import Flags, Octets, Positions
from pipelines.firehose.convert.rules import MAX_DEPTH, Rules, names
from pipelines.firehose.schema import TableSchema

_QUOTE: Final = ord('"')
_COLON: Final = ord(":")
_LOWER_BIT: Final = 0x20  # makes `[` a `{`
_BEFORE_VALUE: Final = np.frombuffer(b":,[- \t\r\n", np.uint8)
_NOT_NUMBER: Final = re.compile(rb"(?:NaN|Inf(?:inity)?)(?=[\s,\]}])")


@dataclass(frozen=True)
class KeyFindings:
    """What the keys of a text say.

    Attributes:
        undecided: lines that the reader would read differently from the slow path (None: no line).
        has_others: whether there are keys that the schema does not have.
        respelled: normalised key -> the spelling that this text uses and the reader does not expect.
    """

    undecided: Flags | None
    has_others: bool
    respelled: dict[str, str]


class KeyCheck:
    """Knows how the stream spells the schema's keys, and finds the lines that spell them in another way.

    Args:
        schema: the table.
        rules: the deserializer's rules.
    """

    def __init__(self, schema: TableSchema, rules: Rules) -> None:
        self._rules = rules
        self._spellings = {name: name for name in names(schema, rules)}
        # The check cuts the text at quotes, and takes no escape apart.
        self.usable = not any('"' in name or "\\" in name for name in self._spellings)

    def spelling(self, name: str) -> str:
        """The key that the reader is to look for."""
        return self._spellings[name]

    def respell(self, spellings: dict[str, str]) -> None:
        """Takes over the spellings of a text."""
        self._spellings |= spellings

    def check(self, text: pa.Buffer, starts: Positions) -> KeyFindings:
        """Compares all keys of the lines of `text` that begin at `starts`."""
        octets = np.frombuffer(text, np.uint8)
        suspects = [*_too_deep(octets, starts), *_not_numbers(text, octets)]
        has_others, respelled = True, {}
        if not self._rules.exact_keys:
            keys, positions = _keys(text, octets)
            distinct = {key[:-1].decode() for key in pc.unique(keys).to_pylist()}
            has_others = not distinct <= set(self._spellings.values())
            other_spellings = {key for key in distinct if self._is_other_spelling(key)}
            respelled = self._respelled(distinct, other_spellings)
            if other_spellings:
                wanted = pa.array([f'{key}"'.encode() for key in other_spellings], pa.binary())
                found = pc.is_in(keys, value_set=wanted).to_numpy(zero_copy_only=False)
                suspects.extend(positions[found].tolist())
        if not suspects:
            return KeyFindings(None, has_others, respelled)
        undecided = np.zeros(len(starts) - 1, np.bool_)
        undecided[np.searchsorted(starts, suspects, side="right") - 1] = True
        return KeyFindings(undecided, has_others, respelled)

    def _is_other_spelling(self, key: str) -> bool:
        name = self._rules.normalise(key)
        return "\\" in key or (name in self._spellings and self._spellings[name] != key)

    def _respelled(self, distinct: set[str], other_spellings: set[str]) -> dict[str, str]:
        """A spelling is taken over when it is the only one that the text has for its name."""
        found: dict[str, list[str]] = {}
        for key in other_spellings:
            found.setdefault(self._rules.normalise(key), []).append(key)
        return {
            name: keys[0]
            for name, keys in found.items()
            if len(keys) == 1 and "\\" not in keys[0] and self._spellings[name] not in distinct
        }


def _keys(text: pa.Buffer, octets: Octets) -> tuple[pa.Array, Positions]:
    """What stands before a colon, with its closing quote, and where: all keys, and perhaps some values."""
    quotes = np.flatnonzero(octets == _QUOTE)
    if len(quotes) < 2:
        return pa.array([], pa.binary()), quotes
    after = octets[quotes[1:] + 1]  # there is one: a line ends with a brace
    is_key = (after == _COLON) | (after <= ord(" "))
    offsets = pa.py_buffer((quotes + 1).astype(np.int32))
    # Each token is the text after a quote up to and with the next one: neighbours share no byte, so no copy is made.
    tokens = pa.Array.from_buffers(pa.binary(), len(quotes) - 1, [None, offsets, text])
    return tokens.filter(pa.array(is_key)), quotes[:-1][is_key]


def _too_deep(octets: Octets, starts: Positions) -> list[int]:
    """Lines that may be nested too deep: the slow path counts exactly."""
    opening = np.flatnonzero((octets | _LOWER_BIT) == ord("{"))
    lines = len(starts) - 1
    if len(opening) - lines <= MAX_DEPTH:  # every line has at least one
        return []
    counts = np.diff(np.searchsorted(opening, starts))
    return starts[:-1][counts > MAX_DEPTH].tolist()


def _not_numbers(text: pa.Buffer, octets: Octets) -> list[int]:
    """Where NaN or Infinity may stand, which the reader takes for numbers and JSON does not know."""
    found: list[int] = []
    for word in (b"NaN", b"Inf"):
        at = np.flatnonzero(octets[: -len(word)] == word[0])
        for i in (1, 2):
            at = at[octets[at + i] == word[i]]
        at = at[np.isin(octets[at - 1], _BEFORE_VALUE)]  # a text never starts with a value
        if len(at):
            octet_string = text.to_pybytes()
            found += [i for i in at.tolist() if _NOT_NUMBER.match(octet_string, i)]
    return found
