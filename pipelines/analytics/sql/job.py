"""An application from its Kinesis stream to its destinations, as a Beam graph (C1, C14)."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa

from pipelines.analytics.destinations import ResultsToDeliveryStream, ResultsToFunction, ResultsToKinesis
from pipelines.analytics.sql.application import Application, Input, Output
from pipelines.analytics.sql.errors import ERROR_STREAM
from pipelines.analytics.sql.plan import Plan, plan
from pipelines.analytics.sql.transform import KeepRows, OutputRecords, RefusedRows, SqlApplication
from pipelines.firehose.invoke import Invoker
from pipelines.firehose.source import kinesis_source
from pipelines.kinesis import ReadFromKinesis
from pipelines.runtime.aws import client
from pipelines.runtime.errors import ConfigurationError

_FUNCTION: Final = re.compile(r"arn:[^:]+:lambda:[^:]+:\d{12}:function:[^:]+(:[^:]+)?")


@dataclass(frozen=True)
class SqlJob:
    """An application that is ready to run.

    Attributes:
        application: as AWS describes it.
        plan: of its code.
        stream: name of the Kinesis stream that is read: its input, or the source of the delivery stream that is (C1).
        invoker: makes callers of functions from their ARNs.
        lateness_s: how far event times may lie behind, where windows go by a TIMESTAMP of the records.
    """

    application: Application
    plan: Plan
    stream: str
    invoker: Callable[[str], Invoker]
    lateness_s: float = 10.0

    @classmethod
    def of(
        cls, application: Application, code: str, invoker: Callable[[str], Invoker], lateness_s: float = 10.0
    ) -> "SqlJob":
        """The job of an application. Where its input is a delivery stream, AWS is asked which stream that reads.

        Raises:
            ConfigurationError: the code is refused, an output is of a stream that it does not have or of a function
                that has no ARN, or nobody can read the delivery stream.
            NotFoundError: there is no such delivery stream.
        """
        planned = plan(code, application.fields, application.source)
        for output in application.outputs:
            if output.stream not in planned.filled:
                message = f"The output {output.stream} is no stream that a pump of the code inserts into."
                raise ConfigurationError(message, fix=f"name one of {', '.join(planned.filled)}")
            if output.kind == "lambda" and _FUNCTION.fullmatch(output.arn) is None:
                message = f"{output.arn!r}, the LambdaOutput of {output.stream}, is no function's ARN."
                raise ConfigurationError(message, fix="write arn:aws:lambda:<region>:<account>:function:<name>")
        return cls(application, planned, _stream(application.input), invoker, lateness_s)

    @property
    def kept(self) -> list[str]:
        """The streams whose rows are kept: those that neither an output nor a pump reads."""
        read = {output.stream for output in self.application.outputs} | {pump.source for pump in self.plan.pumps}
        return [name for name in self.plan.filled if name not in read]

    def pipeline(self, start: Any, until: Any, path: str) -> Callable[[beam.Pipeline], None]:
        """A function that draws the job into a pipeline.

        Args:
            start: a starting position of `ReadFromKinesis`.
            until: where it ends; None for never.
            path: of a file for the rows that are kept.
        """
        times = self.plan.event_times
        record_format = self.application.format
        event_time = record_format.source_time(times, round(self.lateness_s * 1000)) if times else None
        read = ReadFromKinesis(self.stream, start, until, event_time=event_time)

        def build(pipeline: beam.Pipeline) -> None:
            streams = pipeline | "Read" >> read | "Application" >> SqlApplication(record_format, self.plan)
            # Those of error_stream come last: what the others refuse is theirs, too.
            outputs = sorted(enumerate(self.application.outputs), key=lambda each: each[1].stream == ERROR_STREAM)
            for at, output in outputs:
                delivered = streams[output.stream] | f"Output {at}" >> self._destination(output)
                # The other kinds are tried for ever (C14); C7's columns always fit into a record (B1).
                if output.kind == "kinesis" and output.stream != ERROR_STREAM:
                    into_rows = beam.ParDo(RefusedRows(output.stream)).with_output_types(pa.RecordBatch)
                    refused = delivered.failed | f"Refused {at}" >> into_rows
                    streams[ERROR_STREAM] = (streams[ERROR_STREAM], refused) | f"Errors {at}" >> beam.Flatten()
            for name in self.kept:
                streams[name] | f"Keep {name}" >> beam.ParDo(KeepRows(path, name, self.plan.streams[name]))

        return build

    def _destination(self, output: Output) -> Any:
        records = OutputRecords(self.plan.streams[output.stream])
        if output.kind == "kinesis":
            return ResultsToKinesis(output.arn, records, ordered=False)
        if output.kind == "firehose":
            return ResultsToDeliveryStream(output.arn.rpartition("/")[2], records=records)
        _, _, _, region, account, _ = output.arn.split(":", 5)
        arn = f"arn:aws:kinesisanalytics:{region}:{account}:application/{self.application.name}"
        return ResultsToFunction(self.invoker(output.arn), arn, records=records)


def _stream(read: Input) -> str:
    if read.kind == "firehose":
        return kinesis_source(client("firehose"), read.arn).stream_name
    return read.arn.rpartition("/")[2]
