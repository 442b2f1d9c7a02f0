"""`RemoveDuplicates`: takes out the records that were put twice, by the names that the producer gave them."""

import hashlib
import struct
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.coders import BytesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import BagStateSpec, ReadModifyWriteStateSpec, TimerSpec, on_timer
from apache_beam.utils.shared import Shared
from apache_beam.utils.timestamp import Timestamp

from pipelines.kinesis.aggregation_format import MAX_HASH_KEY, hash_key
from pipelines.kinesis.page import PAGE_SCHEMA
from pipelines.runtime.errors import ConfigurationError
from pipelines.runtime.metrics import StageMetrics

_COLUMN: Final = "dedup_key"
_DIGEST_BYTES: Final = 16
_SPAN: Final = struct.Struct(">q")
_HEAD: Final = struct.Struct(">16sq")


class RemoveDuplicates(beam.PTransform):
    """PCollection[pages of DEDUP_PAGE_SCHEMA] -> PCollection[pages of PAGE_SCHEMA], each `dedup_key` once.

    Of the records with one `dedup_key`, the first that comes here stays. The others are taken out if they arrived no
    more than `horizon_s` after it; whether in the same shard, or in another because the stream was resharded in
    between, or because an aggregate carried it into a shard where it did not belong. Records without a `dedup_key`
    pass. `WriteToKinesis(dedup_key=...)` gives the names, `ReadFromKinesis(dedup_keys=True)` reads them.

    **State.** The hash key space is cut into `buckets` equal ranges, and a record's bucket follows from the MD5 of its
    partition key, which both copies share. The names seen are kept for each bucket, as digests of 16 bytes, until the
    watermark has passed their arrival by one to one and a half `horizon_s`; so the state is bounded by what arrives in
    that time, plus how far the shards are apart. A record costs 16 bytes of state for each of the two or three times
    that they are written, and about 100 bytes of the worker's memory. A page costs one small read of state, unless
    its bucket comes from another worker, or its last bundle failed: then all of the bucket is read once.

    **Cost.** Pages are cut by bucket, and go through the runner's shuffle. When a stream has as many shards as there
    are buckets or a multiple, and they are even, each page has one bucket and stays whole; a page of a stream of one
    shard becomes `buckets` pages. Fewer buckets are fewer pages, and fewer workers at a time.

    **Order.** The records of a partition key stay in the order in which they come here, as far as the runner keeps it
    between stages: they are in one bucket.

    Use it before you window: state is kept for each window, and copies in two windows would both stay.

    Args:
        horizon_s: seconds between the arrival of a record and that of its latest double. The producer makes doubles
            within `retry_s` for a lost answer, and within the time that its runner takes to process a bundle again.
        buckets: ranges of hash keys.

    Raises:
        ConfigurationError: an argument makes no sense; when running: pages without the column `dedup_key`.
    """

    def __init__(self, horizon_s: float, *, buckets: int = 16) -> None:
        super().__init__()
        if horizon_s <= 0 or buckets < 1:
            message = f"horizon_s is {horizon_s}, buckets is {buckets}"
            raise ConfigurationError(message, fix="give a horizon of more than 0 s, and 1 bucket or more")
        self._horizon_ms = max(2, round(horizon_s * 1000))
        self._buckets = buckets

    def expand(self, pages: Any) -> Any:
        return (
            pages
            | "Buckets" >> beam.ParDo(_CutFn(self._buckets)).with_output_types(tuple[int, pa.RecordBatch])
            | "Seen" >> beam.ParDo(_SeenFn(self._horizon_ms)).with_output_types(pa.RecordBatch)
        )


class Seen:
    """The names seen, in spans of half a horizon by arrival.

    Args:
        horizon_ms: for how long a name is remembered at least.
    """

    def __init__(self, horizon_ms: int) -> None:
        self._horizon_ms = horizon_ms
        self._span_ms = max(1, horizon_ms // 2)
        self._spans: dict[int, set[bytes]] = {}

    def load(self, packed: Iterable[bytes]) -> None:
        """Takes in what `pack` and `see` gave."""
        for text in packed:
            (span,) = _SPAN.unpack_from(text)
            self._spans.setdefault(span, set()).update(
                text[at : at + _DIGEST_BYTES] for at in range(_SPAN.size, len(text), _DIGEST_BYTES)
            )

    def see(self, names: Sequence[str | None], arrival_ms: int) -> tuple[list[bool], bytes]:
        """Which of `names` are new, None always is, and what to keep of them (empty for nothing).

        Args:
            names: dedup keys.
            arrival_ms: the latest arrival of their records.
        """
        span = arrival_ms // self._span_ms
        here = self._spans.get(span, set())
        others = [digests for other, digests in self._spans.items() if other != span]
        is_new, added = [], []
        for name in names:
            if name is None:
                is_new.append(True)
                continue
            digest = hashlib.blake2b(name.encode(), digest_size=_DIGEST_BYTES).digest()
            known = digest in here or any(digest in digests for digests in others)
            is_new.append(not known)
            if not known:
                here.add(digest)
                added.append(digest)
        if not added:
            return is_new, b""
        self._spans[span] = here
        return is_new, _SPAN.pack(span) + b"".join(added)

    def due_ms(self) -> int | None:
        """When the oldest names may be forgotten; None when there are none."""
        return (min(self._spans) + 1) * self._span_ms + self._horizon_ms if self._spans else None

    def forget(self, now_ms: int) -> None:
        """Forgets the names that are due at `now_ms`."""
        gone = (now_ms - self._horizon_ms) // self._span_ms
        self._spans = {span: digests for span, digests in self._spans.items() if span >= gone}

    def pack(self) -> Iterator[bytes]:
        """All that is remembered."""
        for span, digests in self._spans.items():
            yield _SPAN.pack(span) + b"".join(digests)


class _CutFn(beam.DoFn):
    """Page -> (bucket, its rows of the bucket), in their order."""

    def __init__(self, buckets: int) -> None:
        self._buckets = buckets

    def process(self, page: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
        if _COLUMN not in page.schema.names:
            message = "RemoveDuplicates got a page without the column dedup_key"
            raise ConfigurationError(message, fix="read with ReadFromKinesis(..., dedup_keys=True)")
        keys = page.column("partition_key").dictionary_encode()
        of_key = [hash_key(key) * self._buckets // (MAX_HASH_KEY + 1) for key in keys.dictionary.to_pylist()]
        buckets = np.array(of_key, np.int64)[keys.indices.to_numpy()]
        for bucket in np.unique(buckets).tolist():
            rows = np.flatnonzero(buckets == bucket)
            yield bucket, page if len(rows) == page.num_rows else page.take(pa.array(rows))


class _Memory:
    """What the buckets of this process have seen, each with the token of the state that it is equal to."""

    def __init__(self) -> None:
        self._of: dict[int, tuple[bytes, Seen]] = {}

    def take(self, bucket: int, token: bytes) -> Seen | None:
        """What is known of `bucket`, for the caller alone; None when that is not what the state holds."""
        known, seen = self._of.pop(bucket, (b"", None))
        return seen if known == token else None

    def give(self, bucket: int, token: bytes, seen: Seen) -> None:
        """`seen` is equal to the state that carries `token`."""
        self._of[bucket] = (token, seen)


class _SeenFn(beam.DoFn):
    """(bucket, page) -> page of PAGE_SCHEMA without the rows whose names were seen before.

    The state is what counts: names in a bag that is only ever added to, and a head with a token that changes with each
    addition. What a bundle has added in memory, and its failure took back in the state, has another token.
    """

    HEAD = ReadModifyWriteStateSpec("head", BytesCoder())
    NAMES = BagStateSpec("names", BytesCoder())
    FORGET = TimerSpec("forget", TimeDomain.WATERMARK)

    def __init__(self, horizon_ms: int) -> None:
        self._horizon_ms = horizon_ms
        self._shared = Shared()
        self._metrics = StageMetrics("dedup")

    def setup(self) -> None:
        self._memory = self._shared.acquire(_Memory)

    def process(
        self,
        element: tuple[int, pa.RecordBatch],
        head: Any = beam.DoFn.StateParam(HEAD),
        names: Any = beam.DoFn.StateParam(NAMES),
        forget: Any = beam.DoFn.TimerParam(FORGET),
    ) -> Iterator[pa.RecordBatch]:
        bucket, page = element
        self._metrics.records_in.inc(page.num_rows)
        dedup_keys, page = page.column(_COLUMN), page.select(PAGE_SCHEMA.names)
        if dedup_keys.null_count < len(dedup_keys):
            token, due_ms = _HEAD.unpack(head.read() or _HEAD.pack(b"", 0))
            seen = self._recall(bucket, token, names)
            is_new, addition = seen.see(dedup_keys.to_pylist(), pc.max(page.column("arrival_ms")).as_py())
            if addition:
                names.add(addition)
                token = uuid.uuid4().bytes
                due_ms = self._forget_later(seen, due_ms, forget)
                head.write(_HEAD.pack(token, due_ms))
            self._memory.give(bucket, token, seen)
            doubles = is_new.count(False)
            if doubles:
                self._metrics.dropped.inc(doubles)
                page = page.filter(pa.array(is_new))
        if page.num_rows:
            self._metrics.records_out.inc(page.num_rows)
            yield page

    @on_timer(FORGET)
    def on_forget(
        self,
        bucket: int = beam.DoFn.KeyParam,
        time: Any = beam.DoFn.TimestampParam,
        head: Any = beam.DoFn.StateParam(HEAD),
        names: Any = beam.DoFn.StateParam(NAMES),
        forget: Any = beam.DoFn.TimerParam(FORGET),
    ) -> None:
        """The watermark has passed the horizon of the oldest names."""
        token, _ = _HEAD.unpack(head.read() or _HEAD.pack(b"", 0))
        seen = self._recall(bucket, token, names)
        seen.forget(time.micros // 1000)
        names.clear()
        for packed in seen.pack():
            names.add(packed)
        token = uuid.uuid4().bytes
        head.write(_HEAD.pack(token, self._forget_later(seen, 0, forget)))
        self._memory.give(bucket, token, seen)

    def _recall(self, bucket: int, token: bytes, names: Any) -> Seen:
        seen = self._memory.take(bucket, token)
        if seen is None:
            seen = Seen(self._horizon_ms)
            seen.load(names.read())
        return seen

    def _forget_later(self, seen: Seen, due_ms: int, forget: Any) -> int:
        """Sets the timer to when the oldest names are due, unless it stands there: at `due_ms`, 0 for nowhere."""
        wanted_ms = seen.due_ms()
        if wanted_ms is not None and wanted_ms != due_ms:
            forget.set(Timestamp(micros=wanted_ms * 1000))
        return wanted_ms or 0
