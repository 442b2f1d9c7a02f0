"""Running a pipeline on Prism and seeing it to its end, whatever the end is."""

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import apache_beam as beam
import grpc
from apache_beam.options.pipeline_options import PortableOptions, PrismRunnerOptions
from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability.portable_metrics import from_monitoring_infos
from apache_beam.runners.runner import PipelineState
from apache_beam.runners.worker import sdk_worker

from pipelines.runtime import errors
from pipelines.runtime.clock import Clock, SystemClock
from pipelines.runtime.metrics import NAMESPACE
from pipelines.runtime.options import HydrantOptions
from pipelines.runtime.prism import find_prism
from pipelines.runtime.processes import Child, free_port

Snapshot = dict[str, dict[str, float]]
"""Stage -> metric -> value: counters, gauges and the mean of distributions."""

_LOG = logging.getLogger(__name__)

_POLL_S: Final = 0.2
_NOTICE_S: Final = 5.0
_OURS: Final = re.compile(r"pipelines\.runtime\.errors\.(\w+): (.*)", re.DOTALL)
_CHAIN: Final = re.compile(r"\n\n(?:The above exception was|During handling of) .*\n\n")
_FRAME: Final = re.compile(r'  File ".*\n(?: {4,}.*\n)*')
_STEP: Final = re.compile(r" \[while running '.*?'\]\.?(?= Fix: |\s*\Z)")


def run_pipeline(
    build: Callable[[beam.Pipeline], None],
    options: HydrantOptions,
    *,
    on_tick: Callable[[Snapshot], None] | None = None,
    children: Sequence[Child] = (),
    clock: Clock | None = None,
) -> Snapshot:
    """Runs a pipeline to its end and returns its last metrics.

    Prism is a child process of ours, started and stopped here; the DoFns run in this process.

    Args:
        build: draws the graph into the pipeline it is given.
        options: `HydrantOptions.for_runner(...)`.
        on_tick: called about five times a second with the metrics; what it raises ends the run.
        children: processes the run depends on; the run ends when one of them does.
        clock: for the pauses between polls.

    Raises:
        RunnerError: Prism or one of `children` died, or the pipeline failed with an error that is not one of ours.
        HydrantError: the error a DoFn raised, as it raised it.
    """
    clock = clock or SystemClock()
    _hush_beam()
    with _prism(options) as prism:
        pipeline = beam.Pipeline(options=options)
        build(pipeline)
        return _watch(_Job(pipeline), [prism, *children], on_tick, clock)


def _hush_beam() -> None:
    """What went wrong is told once, in one sentence, by what we raise; Beam's tracebacks are for -v."""
    sdk_worker.print = lambda text, **_: _LOG.info("%s", text)  # of a DoFn that fails
    tell = threading.excepthook
    if tell.__module__ == __name__:
        return

    def hook(ended: threading.ExceptHookArgs, /) -> None:
        if isinstance(ended.exc_value, grpc.RpcError):  # of the worker's threads, whose runner has gone
            _LOG.info("%s: %s", ended.thread and ended.thread.name, ended.exc_value)
        else:
            tell(ended)

    threading.excepthook = hook


def _watch(
    job: "_Job", children: Sequence[Child], on_tick: Callable[[Snapshot], None] | None, clock: Clock
) -> Snapshot:
    job.start()
    while job.is_alive():
        for child in children:
            child.check()
        if on_tick is not None and job.result is not None:
            with contextlib.suppress(grpc.RpcError):  # a child that died is noticed above, on the next round
                on_tick(snapshot(job.result))
        job.join(_POLL_S)
    if job.state != PipelineState.DONE:
        _blame(children, clock, isinstance(job.error, grpc.RpcError))
        raise job.cause()
    last: Snapshot = {}
    with contextlib.suppress(grpc.RpcError):
        last = snapshot(job.result)
        if on_tick is not None:
            on_tick(last)
    return last


def _blame(children: Sequence[Child], clock: Clock, broke_off: bool) -> None:
    """Raises for the child that took the pipeline down, if one did; its death may show later than its effect."""
    give_up_s = clock.monotonic_s() + (_NOTICE_S if broke_off else _POLL_S)
    while clock.monotonic_s() < give_up_s:
        for child in children:
            child.check()
        clock.sleep(_POLL_S / 4)


class _Job(threading.Thread):
    """Submits the pipeline and waits for its end, on a thread of its own: neither call of Beam's can be interrupted.

    Both would wait for a runner that is gone, so that its caller has to look after the runner.
    """

    def __init__(self, pipeline: beam.Pipeline) -> None:
        super().__init__(name="job", daemon=True)
        self.state = PipelineState.UNKNOWN
        self.result: Any = None
        """Beam's result, once the pipeline is submitted."""
        self.error: Exception | None = None
        self._pipeline = pipeline

    def run(self) -> None:
        try:
            self.result = self._pipeline.run()
            self.state = self.result.wait_until_finish()
        except Exception as error:  # Beam raises RuntimeError, grpc its own
            self.error = error
            self.state = PipelineState.FAILED

    def cause(self) -> errors.HydrantError:
        """Why it did not end as it should."""
        if self.result is not None or self.error is None:
            return _cause(str(self.error or ""))
        chain: list[BaseException] = [self.error]
        while chain[-1].__cause__ is not None:
            chain.append(chain[-1].__cause__)
        for error in chain:
            if isinstance(error, errors.HydrantError):
                return error
        message = f"The pipeline could not be submitted: {': '.join(' '.join(str(error).split()) for error in chain)}"
        told = errors.RunnerError(message, fix="run again with -v for the whole story")
        told.__cause__ = self.error
        return told


def snapshot(result: Any) -> Snapshot:
    """The metrics of a running or ended job, summed over its steps.

    Beam's `result.metrics()` remembers its first answer, so the job service is asked directly. Values are the
    attempted ones: what bundles under way have counted so far is in them.
    """
    request = beam_job_api_pb2.GetJobMetricsRequest(job_id=result._job_id)
    answer = result._job_service.GetJobMetrics(request, timeout=5).metrics
    merged: dict[Any, float] = {}
    for infos in (answer.attempted, answer.committed):
        counters, distributions, gauges, *_ = from_monitoring_infos(infos, user_metrics_only=True)
        found = {key: float(value) for key, value in counters.items()}
        found |= {key: float(value.value) for key, value in gauges.items() if value.value is not None}
        found |= {key: value.sum / value.count for key, value in distributions.items() if value.count}
        for key, value in found.items():
            merged[key] = max(value, merged.get(key, value))
    stages: Snapshot = {}
    for key, value in merged.items():
        if key.metric.namespace.startswith(NAMESPACE):
            stage = stages.setdefault(key.metric.namespace.removeprefix(NAMESPACE), {})
            stage[key.metric.name] = stage.get(key.metric.name, 0.0) + value
    return stages


def _cause(reason: str) -> errors.HydrantError:
    """The error of ours that a DoFn raised, read back from the job's last message, which is a traceback."""
    raised = [_FRAME.split(traceback)[-1].strip() for traceback in _CHAIN.split(reason)]
    for text in reversed(raised):
        match = _OURS.search(text)
        kind = getattr(errors, match.group(1), None) if match else None
        if match and kind:
            message, _, fix = _STEP.sub("", match.group(2)).partition(" Fix: ")
            return kind(message, fix=fix)
    message = f"The pipeline failed: {' '.join(_STEP.sub('', raised[-1]).split()) or 'the runner gave no reason.'}"
    return errors.RunnerError(message, fix="run again with -v for the whole story")


@contextlib.contextmanager
def _prism(options: HydrantOptions) -> Iterator[Child]:
    location = find_prism(options.view_as(PrismRunnerOptions).prism_location)
    port = free_port()
    child = Child(
        "Prism", [str(location), f"--job_port={port}", "--serve_http=false", "--log_level=error", "--log_kind=text"]
    )
    try:
        child.ready_at(port, options.start_timeout_s)
        options.view_as(PortableOptions).job_endpoint = f"localhost:{port}"
        yield child
    finally:
        child.stop()
