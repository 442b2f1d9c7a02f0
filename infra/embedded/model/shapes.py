"""Requests checked by AWS's own service model: required members, types, lengths, ranges, patterns, enumerations."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any, Final

from botocore.loaders import Loader
from botocore.model import ServiceModel

from infra.embedded.model.errors import garbled, malformed

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,), "blob": (str,), "integer": (int,), "long": (int,), "boolean": (bool,),
    "timestamp": (int, float), "list": (list,), "map": (dict,), "structure": (dict,),
}  # fmt: skip


def check(operation: str, request: Any) -> None:
    """Checks the JSON `request` of `operation`. Members that the model does not know are ignored, as AWS does.

    Raises:
        KinesisError: ValidationException with AWS's list of what is wrong, SerializationException for a wrong type.
    """
    problems = list(_problems(_model().operation_model(operation).input_shape, request, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise malformed(count + "; ".join(problems))


@cache
def _model() -> Any:
    return ServiceModel(Loader().load_service_model("kinesis", "service-2"), "kinesis")


def _problems(shape: Any, value: Any, where: str) -> Iterator[str]:
    kind = shape.type_name
    fits: bool = isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))
    if not fits:
        raise garbled(f"{where or 'The request'} is not of the type {kind}.")
    yield from _constraints(shape, value, where)
    if kind == "structure":
        for name, member in shape.members.items():
            at = f"{where}.{_lower(name)}" if where else _lower(name)
            if value.get(name) is not None:
                yield from _problems(member, value[name], at)
            elif name in shape.required_members:
                yield f"Value null at '{at}' failed to satisfy constraint: Member must not be null"
    elif kind == "list":
        for number, item in enumerate(value, 1):
            yield from _problems(shape.member, item, f"{where}.{number}.member")
    elif kind == "map":
        for key, item in value.items():
            yield from _problems(shape.key, key, f"{where}.key")
            yield from _problems(shape.value, item, f"{where}.{key}")


def _constraints(shape: Any, value: Any, where: str) -> Iterator[str]:
    limits = shape.metadata
    if shape.type_name == "blob":
        return  # a record's size is counted where it is put, decoded and with its key
    is_number = isinstance(value, int | float)
    size, noun = (value, "value") if is_number else (len(value), "length")
    wants = []
    if "min" in limits and size < limits["min"]:
        wants.append(f"have {noun} greater than or equal to {limits['min']}")
    if "max" in limits and size > limits["max"]:
        wants.append(f"have {noun} less than or equal to {limits['max']}")
    if "pattern" in limits and not re.fullmatch(limits["pattern"], value):
        wants.append(f"satisfy regular expression pattern: {limits['pattern']}")
    if "enum" in limits and value not in limits["enum"]:
        wants.append(f"satisfy enum value set: [{', '.join(limits['enum'])}]")
    for want in wants:
        yield f"Value '{value}' at '{where}' failed to satisfy constraint: Member must {want}"


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]
