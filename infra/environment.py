"""Environment variables for as long as a target is used."""

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def environment(changes: Mapping[str, str], without: Iterable[str] = ()) -> Iterator[None]:
    """Our environment without the variables `without` and with `changes`; as it was before when the context ends."""
    before = {name: os.environ.get(name) for name in {*without, *changes}}
    try:
        for name in without:
            os.environ.pop(name, None)
        os.environ.update(changes)
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
