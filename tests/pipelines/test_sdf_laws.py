"""The source keeps the laws of splittable DoFns: `test_b12_...` and the rest of section B in any history."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sdf_laws import AtOnce, KinesisCase

from pipelines.kinesis import read
from pipelines.kinesis.testing import LAWS, choices


@pytest.fixture(autouse=True, scope="module")
def look_ahead_at_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "ThreadPoolExecutor", lambda *_: AtOnce())
        yield


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_source_keeps_the_law(law, data):
    choose = choices(data)
    law(KinesisCase(choose), choose)
