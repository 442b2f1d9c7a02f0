"""The laws hold for DoFns that are right."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sdf_toys import CountCase, TailCase

from pipelines.kinesis.testing import LAWS, check_laws, choices, every_split


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_beams_own_offset_tracker_keeps_the_law(law, data):
    law(CountCase(data.draw(st.integers(0, 9))), choices(data))


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_an_endless_reading_keeps_the_law(law, data):
    law(TailCase(data.draw(st.integers(0, 6))), choices(data))


def test_laws_need_no_hypothesis():
    for seed in range(50):
        check_laws(lambda seed=seed: CountCase(seed % 10), random.Random(seed).randrange)


def test_a_small_range_is_split_everywhere():
    assert every_split(lambda: CountCase(6)) > 50
