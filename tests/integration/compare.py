"""Compares what a client sees of two services, step by step."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from player import Outcome
from steps import Step

ABSENT: Final = "absent"


@dataclass(frozen=True)
class Difference:
    """One thing that a client sees otherwise.

    Attributes:
        steps: the history.
        number: of the step in it.
        path: where in the answer; empty, when one answers and the other refuses.
        model: what the model says there.
        localstack: what LocalStack says there.
        outcomes: LocalStack's play, for its times.
    """

    steps: Sequence[Step]
    number: int
    path: tuple[str | int, ...]
    model: Any
    localstack: Any
    outcomes: Sequence[Outcome]

    @property
    def step(self) -> Step:
        return self.steps[self.number]

    def __str__(self) -> str:
        where = ".".join(map(str, self.path)) or "outcome"
        request = f"{dict(self.step.request)}"
        return (
            f"step {self.number}, {self.step.operation} {request[:500]}\n"
            f"  {where}\n    model:      {str(self.model)[:1000]}\n    LocalStack: {str(self.localstack)[:1000]}"
        )


def differences(
    steps: Sequence[Step],
    model: Sequence[Mapping[str, Any]],
    localstack: Sequence[Mapping[str, Any]],
    outcomes: Sequence[Outcome],
) -> list[Difference]:
    """What differs between the visible answers of both services; `outcomes` are LocalStack's."""
    return [
        Difference(steps, number, path, one, other, outcomes)
        for number in range(len(steps))
        for path, one, other in _compare(model[number], localstack[number], ())
    ]


def _compare(
    model: Any, localstack: Any, path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Any, Any]]:
    if isinstance(model, Mapping) and isinstance(localstack, Mapping):
        if any((name in model) != (name in localstack) for name in ("Error", "Unsaid")):
            yield path, model, localstack
        elif "Error" in model:
            if model != localstack:
                yield (*path, "Error"), model, localstack
        else:
            for name in dict.fromkeys((*model, *localstack)):
                yield from _compare(model.get(name, ABSENT), localstack.get(name, ABSENT), (*path, name))
    elif isinstance(model, list) and isinstance(localstack, list) and _names(model) == _names(localstack):
        for index, (one, other) in enumerate(zip(model, localstack, strict=True)):
            yield from _compare(one, other, (*path, index))
    elif model != localstack:
        yield path, model, localstack


def _names(items: list[Any]) -> list[Any]:
    """What is compared one by one: lists of other shards are different lists."""
    return [item.get("ShardId") if isinstance(item, Mapping) else None for item in items]
