"""Tags of a stream or a consumer."""

import unicodedata
from collections.abc import Mapping
from typing import Any, Final

from infra.embedded.model.errors import invalid

MAX_TAGS: Final = 50
_SIGNS: Final = frozenset("_.:/=+-%@")


def add_tags(tags: dict[str, str], more: Mapping[str, str]) -> None:
    """Adds `more` to `tags`; the caller holds the lock of what they belong to.

    Raises:
        KinesisError: InvalidArgumentException, when there would be too many, or one is not what a tag may be.
    """
    for key, value in more.items():
        if key.lower().startswith("aws:"):
            raise invalid(f"Tag key {key} begins with aws:, which is reserved.")
        if not all(char in _SIGNS or unicodedata.category(char)[0] in "LNZ" for char in key + value):
            raise invalid(f"Tag {key} has characters other than letters, digits, white space and _ . : / = + - % @.")
    if len({**tags, **more}) > MAX_TAGS:
        raise invalid(f"There would be more than {MAX_TAGS} tags.")
    tags.update(more)


def listed(tags: Mapping[str, str], after: str = "") -> list[dict[str, Any]]:
    """The shape TagList of the API, by key, from behind the key `after`."""
    return [{"Key": key, "Value": value} for key, value in sorted(tags.items()) if key > after]
