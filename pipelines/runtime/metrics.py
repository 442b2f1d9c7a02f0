"""Stage metrics: Beam counters, gauges and distributions under one naming scheme, which the live table reads.

The namespace is `hydrant.<stage>`; stages are the words of `STAGES`, in the order of the data path. Increments are a
page's, never a record's.
"""

from typing import Final

from apache_beam.metrics.metric import Metrics
from apache_beam.metrics.metricbase import Counter, Distribution, Gauge

NAMESPACE: Final = "hydrant."
STAGES: Final = (
    "source", "dedup", "batch", "transform", "convert", "buffer", "deliver",
    "error_buffer", "errors", "backup_buffer", "backup", "rows", "score", "put",
)  # fmt: skip


class StageMetrics:
    """The metrics of one stage. Cheap to make, holds no state, can be pickled inside a DoFn.

    Args:
        stage: a word of `STAGES`.
    """

    def __init__(self, stage: str) -> None:
        if stage not in STAGES:
            message = f"unknown stage {stage!r}"
            raise ValueError(message)
        space = NAMESPACE + stage
        self.records_in: Counter = Metrics.counter(space, "records_in")
        self.bytes_in: Counter = Metrics.counter(space, "bytes_in")
        self.records_out: Counter = Metrics.counter(space, "records_out")
        self.bytes_out: Counter = Metrics.counter(space, "bytes_out")
        self.failed: Counter = Metrics.counter(space, "failed")
        self.dropped: Counter = Metrics.counter(space, "dropped")
        self.objects: Counter = Metrics.counter(space, "objects")
        self.retries: Counter = Metrics.counter(space, "retries")
        self.read_failures: Counter = Metrics.counter(space, "read_failures")
        self.millis_behind: Gauge = Metrics.gauge(space, "millis_behind")
        self.watermark_lag_ms: Gauge = Metrics.gauge(space, "watermark_lag_ms")
        self.page_records: Distribution = Metrics.distribution(space, "page_records")
        self.latency_ms: Distribution = Metrics.distribution(space, "latency_ms")
