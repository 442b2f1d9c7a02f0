"""An application as AWS describes it: the CreateApplication request of kinesisanalytics (C1, C2, C14). Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipelines.analytics.sql.parse import Field
from pipelines.analytics.sql.source import RecordFormat, SourceColumn
from pipelines.analytics.sql.types import type_of_text
from pipelines.firehose.constraints import check_constraints
from pipelines.runtime.aws import service_model, validate_shape
from pipelines.runtime.errors import ConfigurationError

Json = Mapping[str, Any]
_SOURCES: Final = {"KinesisStreamsInput": "kinesis", "KinesisFirehoseInput": "firehose"}
_DESTINATIONS: Final = {
    "KinesisStreamsOutput": "kinesis",
    "KinesisFirehoseOutput": "firehose",
    "LambdaOutput": "lambda",
}


@dataclass(frozen=True)
class Input:
    """What the application reads (C1).

    Attributes:
        kind: "kinesis" or "firehose".
        arn: of the Kinesis stream or the delivery stream.
    """

    kind: str
    arn: str


@dataclass(frozen=True)
class Output:
    """Where the rows of a stream go (C14).

    Attributes:
        stream: the in-application stream.
        kind: "kinesis", "firehose" or "lambda".
        arn: of the destination.
    """

    stream: str
    kind: str
    arn: str


@dataclass(frozen=True)
class Application:
    """What is to run.

    Attributes:
        name: of it.
        code: ApplicationCode; "" where the request has none.
        input: what it reads.
        source: name of the input's in-application stream (C1).
        format: how a record becomes a row.
        outputs: where rows go.
    """

    name: str
    code: str
    input: Input
    source: str
    format: RecordFormat
    outputs: tuple[Output, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        """The columns of the input's stream."""
        return tuple(Field(column.name, column.type) for column in self.format.columns)


def parse_application(request: Json) -> Application:
    """The application that a CreateApplication request describes.

    Raises:
        ConfigurationError: AWS would refuse the request, or it asks for what is not supported.
    """
    validate_shape("kinesisanalytics", "CreateApplication", request)
    check_constraints(request, service_model("kinesisanalytics").operation_model("CreateApplication").input_shape)
    inputs = request.get("Inputs", [])
    if len(inputs) != 1:
        message = f"The application has {len(inputs)} Inputs, and needs one."
        raise ConfigurationError(message, fix="name the stream in Inputs, with its InputSchema")
    (described,) = inputs
    read = [member for member in _SOURCES if member in described]
    if len(read) != 1:
        message = f"The input has {len(read)} sources, and needs one."
        raise ConfigurationError(message, fix=f"give one of {', '.join(_SOURCES)}")
    if "InputProcessingConfiguration" in described:
        message = "InputProcessingConfiguration, a function that preprocesses records, is not supported."
        raise ConfigurationError(message, fix="let a function read the stream and write another, and read that")
    if described.get("InputParallelism", {}).get("Count", 1) != 1:
        message = "InputParallelism makes several in-application streams, which is not supported."
        raise ConfigurationError(message, fix="leave it out: the shards of the stream are read side by side anyway")
    return Application(
        name=request["ApplicationName"],
        code=request.get("ApplicationCode", ""),
        input=Input(_SOURCES[read[0]], described[read[0]]["ResourceARN"]),
        source=f"{described['NamePrefix']}_001",
        format=_format(described["InputSchema"]),
        outputs=tuple(map(_output, request.get("Outputs", []))),
    )


def _format(schema: Json) -> RecordFormat:
    kind = schema["RecordFormat"]["RecordFormatType"]
    path = (
        schema["RecordFormat"].get("MappingParameters", {}).get("JSONMappingParameters", {}).get("RecordRowPath", "$")
    )
    if kind != "JSON" or path != "$":
        message = f"Records of {kind} with the RecordRowPath {path!r} are not supported."
        raise ConfigurationError(message, fix='put a JSON object a record, with the RecordRowPath "$"')
    columns = []
    for column in schema["RecordColumns"]:
        name, mapping = column["Name"], column.get("Mapping", f"$.{column['Name']}")
        columns.append(SourceColumn(name, type_of_text(column["SqlType"], f"column {name}"), _path(name, mapping)))
    if len({column.name for column in columns}) < len(columns):
        message = "RecordColumns has a name twice."
        raise ConfigurationError(message, fix="call each column otherwise")
    return RecordFormat(tuple(columns))


def _path(name: str, mapping: str) -> tuple[str, ...]:
    """The members that lead to a column's value: of $.detail.cpu, detail and cpu."""
    parts = mapping.split(".")
    if parts[0] != "$" or len(parts) < 2 or not all(part and not set(part) & set("[]*?()") for part in parts[1:]):
        message = f"The Mapping {mapping!r} of column {name} is not supported."
        raise ConfigurationError(message, fix="write $.member or $.object.member")
    return tuple(parts[1:])


def _output(described: Json) -> Output:
    found = [member for member in _DESTINATIONS if member in described]
    name = described["Name"]
    if len(found) != 1:
        message = f"The output {name} has {len(found)} destinations, and needs one."
        raise ConfigurationError(message, fix=f"give one of {', '.join(_DESTINATIONS)}")
    if described["DestinationSchema"].get("RecordFormatType", "JSON") != "JSON":
        message = f"The output {name} has another DestinationSchema than JSON, which is not supported."
        raise ConfigurationError(message, fix='write {"RecordFormatType": "JSON"}')
    return Output(name, _DESTINATIONS[found[0]], described[found[0]]["ResourceARN"])
