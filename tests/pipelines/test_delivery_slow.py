"""Slow flushes on Prism, which would lose state without prism_disable_sdf_split (docs/decisions/0004)."""

import json
import time
from pathlib import Path

import pytest
from deliveries import declare, fed, found
from stand_ins import Aws, Run

from pipelines.firehose.chunk import DeliveredObject, Sealed
from pipelines.firehose.deliver import ObjectWriter


def test_slow_flushes_with_pages_waiting_lose_and_double_nothing(
    aws: Aws, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = ObjectWriter.write

    def slowly(self: ObjectWriter, sealed: Sealed) -> DeliveredObject:
        time.sleep(0.7)  # Prism splits what makes no progress for 0.1 s
        return at_once(self, sealed)

    monkeypatch.setattr(ObjectWriter, "write", slowly)
    declared = declare(aws)
    pages = [[json.dumps({"n": n, "word": "w" * 29_000}).encode() + b"\n"] for n in range(400)]
    run(fed(declared.job(), declared.pages([pages]), tmp_path))
    result = found(declared, tmp_path)
    assert result.account.delivered == 400
    assert len(result.data) > 5
