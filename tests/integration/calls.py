"""Which AWS calls the product's text has, and which of them were made: the tests of calls are held against both."""

import ast
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

import botocore.session
from botocore import xform_name
from botocore.client import BaseClient

ROOT: Final = Path(__file__).parents[2]
PRODUCT: Final = ("infra", "pipelines", "scenarios")
SERVICES: Final = ("cloudwatch", "firehose", "glue", "kinesis", "lambda", "s3")

NOT_OURS: Final = ("infra/embedded/model/", "infra/localstack/ready.d/", "pipelines/cli/benchmarks/")
"""The model Kinesis answers calls and makes none; LocalStack itself runs its hook; benchmarks are no product."""

NO_CALLS: Final = {
    "socket.create_connection": "a TCP connection, not Glue's CreateConnection",
    "urllib3.util.connection.create_connection": "the same",
    "botocore.session.get_session": "botocore's own session, not Glue's GetSession",
    "retries.get_records": "a check of the scenario `redelivery`, by the name of the call that it is about",
    "retries.put_records": "a check of the scenario `redelivery`, by the name of the call that it is about",
    "self._invoker.invoke": "the Invoker that a transform was given: in process, or Lambda's",
}
"""What looks like a call of AWS and is none, with what it is."""

ELSEWHERE: Final = {
    (
        "lambda",
        "invoke",
    ): "no stand-in here runs a function without a Docker socket; it is tried on a container of its own",
}
"""Calls of AWS that these tests do not make, with the reason."""


@dataclass(frozen=True, order=True)
class Call:
    """A call in the product's text.

    Attributes:
        file: path from the repository's root.
        operation: as boto3 names it.
        text: what is called, e.g. "self._kinesis.list_shards"; the operation alone where its name is a string.
        line: of the file.
    """

    file: str
    operation: str
    text: str
    line: int

    @property
    def services(self) -> tuple[str, ...]:
        """The services that have such an operation."""
        return operations()[self.operation]

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.text}"


@cache
def operations() -> Mapping[str, tuple[str, ...]]:
    """boto3's name of every operation, with the services that have one of that name."""
    session = botocore.session.get_session()
    found: dict[str, tuple[str, ...]] = {}
    for service in SERVICES:
        for operation in session.get_service_model(service).operation_names:
            name = xform_name(operation)
            found[name] = (*found.get(name, ()), service)
    return found


def calls_in(source: str, file: str) -> Iterator[Call]:
    """What `source` calls or names that is an operation: `x.list_shards`, `get_paginator("list_shards")`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and node.attr in operations():
            yield Call(file, node.attr, ast.unparse(node), node.lineno)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in operations():
            yield Call(file, node.value, node.value, node.lineno)


def calls_of_the_product() -> list[Call]:
    """Every call of AWS in the product's text, and what only looks like one."""
    files = [path for folder in PRODUCT for path in sorted((ROOT / folder).rglob("*.py"))]
    named = [(path, path.relative_to(ROOT).as_posix()) for path in files]
    return [call for path, name in named if not name.startswith(NOT_OURS) for call in calls_in(path.read_text(), name)]


def calls_to_try() -> list[Call]:
    """The calls that the tests must make on every target."""
    return [
        call
        for call in calls_of_the_product()
        if call.text not in NO_CALLS and not all((service, call.operation) in ELSEWHERE for service in call.services)
    ]


@dataclass
class Recorder:
    """Notes every call that the product makes.

    Attributes:
        made: (target, service, operation, file of the product that made it).
    """

    made: set[tuple[str, str, str, str]] = field(default_factory=set)

    @contextmanager
    def on(self, target: str) -> Iterator[None]:
        """Notes calls as made on `target` for as long as the context is open."""
        make = BaseClient._make_api_call

        def noted(client: Any, operation: str, arguments: Any) -> Any:
            if (file := _product_file()) is not None:
                self.made.add((target, client.meta.service_model.service_name, xform_name(operation), file))
            return make(client, operation, arguments)

        BaseClient._make_api_call = noted
        try:
            yield
        finally:
            BaseClient._make_api_call = make

    def missing(self, target: str) -> list[Call]:
        """The calls that no test has made on `target`.

        Of the commands (`pipelines/cli`), which are tested as commands, it is enough that somebody made the call; of
        all other files each must have made each of its own.
        """
        of_files = {(operation, file) for on, _, operation, file in self.made if on == target}
        of_services = {(service, operation) for on, service, operation, _ in self.made if on == target}
        return [
            call
            for call in calls_to_try()
            if not any((service, call.operation) in of_services for service in call.services)
            or (not call.file.startswith("pipelines/cli/") and (call.operation, call.file) not in of_files)
        ]


def _product_file() -> str | None:
    """The file of the product that is nearest on the stack; None where a test makes the call itself."""
    frame = sys._getframe(2)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(ROOT) and (name := path.relative_to(ROOT).as_posix()).split("/")[0] in PRODUCT:
            return name
        frame = frame.f_back
    return None
