"""What must come of the log, computed a second time and in another way: lines are cut at their quotes, pandas counts.

Nothing is shared with handler.py but what README.md says.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

SQL: Final = """
SELECT status, date_trunc('hour', time) AS hour, count(*) AS hits, CAST(coalesce(sum(bytes), 0) AS BIGINT) AS bytes
FROM weblogs_db.weblogs GROUP BY status, hour ORDER BY status, hour
""".strip()

COLUMNS: Final = ("visitor", "time", "method", "path", "protocol", "status", "bytes", "referrer", "agent")
_ROBOTS: Final = ("bot", "crawl", "spider", "slurp")
_PARTS: Final = 7
"""Of a line that is cut at its quotes: three fields are quoted."""

Row = tuple[Any, ...]
"""The values of `COLUMNS`; the time as text."""


@dataclass(frozen=True)
class Expected:
    """What must come of some lines.

    Attributes:
        hits: the rows that must be delivered; a column for each of `COLUMNS`.
        robots: lines that must be dropped.
        broken: lines that must end as error objects.
        addresses: of every visitor of any line, also of those in `robots` and `broken`.
        agents: of every line that has one.
    """

    hits: pd.DataFrame
    robots: tuple[bytes, ...]
    broken: tuple[bytes, ...]
    addresses: frozenset[str]
    agents: frozenset[str]

    @property
    def rows(self) -> list[Row]:
        return [tuple(None if pd.isna(value) else value for value in row) for row in self.hits.itertuples(index=False)]

    @property
    def answer(self) -> pd.DataFrame:
        """The answer to `SQL`: hits and bytes by status and hour."""
        hours = self.hits.assign(hour=pd.to_datetime(self.hits["time"]).dt.floor("h"))
        grouped = hours.groupby(["status", "hour"], as_index=False)
        return grouped.agg(hits=("time", "size"), bytes=("bytes", "sum")).sort_values(
            ["status", "hour"], ignore_index=True
        )


def expect(lines: Iterable[bytes], key: bytes) -> Expected:
    """What must come of `lines`.

    Args:
        lines: of an access log in the combined format.
        key: that visitors' pseudonyms are made with.
    """
    hits, robots, broken = [], [], []
    addresses, agents = set(), set()
    for line in lines:
        parts = line.decode().rstrip("\n").split('"')
        addresses.add(parts[0].partition(" ")[0])
        if len(parts) != _PARTS:
            broken.append(line)
            agents.update(parts[-1:])  # cut off: what there is of it
            continue
        agent = parts[5]
        agents.add(agent)
        if any(word in agent.lower() for word in _ROBOTS):
            robots.append(line)
        else:
            hits.append(_row(parts, key))
    frame = pd.DataFrame(hits, columns=list(COLUMNS)).astype({"bytes": "Int64"})
    times = pd.to_datetime(frame["time"], format="[%d/%b/%Y:%H:%M:%S")  # the log is in UTC throughout
    frame["time"] = times.dt.strftime("%Y-%m-%d %H:%M:%S")
    return Expected(frame, tuple(robots), tuple(broken), frozenset(addresses), frozenset(agents - {"-", ""}))


def _row(parts: list[str], key: bytes) -> Row:
    address, _, _, day, _zone = parts[0].split()
    method, path, protocol = parts[1].split(" ")
    status, size = parts[2].split()
    return (
        _hmac(key, address),
        day,
        method,
        path,
        protocol,
        int(status),
        None if size == "-" else int(size),
        None if parts[3] == "-" else parts[3],
        _family(parts[5]),
    )


def _family(agent: str) -> str | None:
    if agent == "-":
        return None
    if agent.startswith("Opera") or "OPR/" in agent:
        return "Opera"
    for family, signs in (
        ("Chrome", ("Chrome/", "CriOS/")),
        ("Safari", ("Safari/",)),
        ("Firefox", ("Firefox/",)),
        ("Internet Explorer", ("MSIE ", "Trident/")),
    ):
        if any(sign in agent for sign in signs):
            return family
    return "feed reader" if any(word in agent.lower() for word in ("feed", "rss", "reader")) else "other"


def _hmac(key: bytes, address: str) -> str:
    """HMAC-SHA-256 as RFC 2104 writes it down, its first 16 digits."""
    assert len(key) <= 64
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + address.encode()).digest()
    return hashlib.sha256(bytes(byte ^ 0x5C for byte in block) + inner).hexdigest()[:16]
