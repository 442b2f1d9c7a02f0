"""What botocore's validator leaves out of botocore's service model: enums, patterns, upper bounds."""

import re
from collections.abc import Iterator
from typing import Any, Final

from pipelines.runtime.errors import ConfigurationError

# The model's patterns are Java's. Python's engine has all of it but the Unicode classes; those it has are a bit wider.
_UNICODE_CLASSES: Final = {r"\p{L}": r"\w", r"\p{N}": r"\d", r"\p{Z}": r"\s"}


def check_constraints(value: Any, shape: Any, where: str = "") -> None:
    """Checks `value`, of the right types already, against the enums, patterns, lengths and ranges of `shape`.

    Members that the shape does not know are passed over.

    Args:
        value: a (part of a) request.
        shape: botocore's model of it.
        where: path of `value` in the request, as AWS writes it, e.g. "extendedS3DestinationConfiguration".

    Raises:
        ConfigurationError: all that AWS's ValidationException would list, in its words.
    """
    found = list(_violations(value, shape, where))
    if found:
        errors = "error" if len(found) == 1 else "errors"
        message = f"{len(found)} validation {errors} detected: {'; '.join(found)}"
        raise ConfigurationError(message)


def _violations(value: Any, shape: Any, where: str) -> Iterator[str]:
    for constraint in _broken(value, shape):
        yield f"Value '{value}' at '{where}' failed to satisfy constraint: Member must {constraint}"
    if shape.type_name == "structure":
        for name, member in value.items():
            if name in shape.members:
                path = name[0].lower() + name[1:]
                yield from _violations(member, shape.members[name], f"{where}.{path}" if where else path)
    elif shape.type_name == "list":
        for number, item in enumerate(value, 1):
            yield from _violations(item, shape.member, f"{where}.{number}.member")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from _violations(key, shape.key, f"{where}.{key}.key")
            yield from _violations(item, shape.value, f"{where}.{key}.value")


def _broken(value: Any, shape: Any) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if shape.type_name in ("string", "list", "map"):
        size, what = len(value), "length"
    elif shape.type_name in ("integer", "long", "double", "float"):
        size, what = value, "value"
    else:
        return
    if low is not None and size < low:
        yield f"have {what} greater than or equal to {low}"
    if high is not None and size > high:
        yield f"have {what} less than or equal to {high}"
    if shape.type_name == "string" and shape.enum and value not in shape.enum:
        yield f"satisfy enum value set: [{', '.join(shape.enum)}]"
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(_in_python(pattern), value):
        yield f"satisfy regular expression pattern: {pattern}"


def _in_python(pattern: str) -> str:
    for java, python in _UNICODE_CLASSES.items():
        pattern = pattern.replace(java, python)
    return pattern
