"""DateTimeFormatter patterns against a table that Java 17 made (A7.3), see tests/data/JavaTimePatterns.java."""

import json
import string
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.firehose.java_time import PatternError, UnsupportedPatternError, format_time

ROWS: list[tuple[str, int, str, str | None]] = json.loads(
    (Path(__file__).parent.parent / "data" / "java_time_patterns.json").read_text("utf-8")
)
NOT_DONE = {"v", "vvvv", "zzzz"}
"""Letters for names of time zones that the tz database does not have. z is done where it has the abbreviation."""


def ours(pattern: str, ms: int, zone: str) -> str | None:
    try:
        return format_time(pattern, datetime.fromtimestamp(ms // 1000, UTC).astimezone(ZoneInfo(zone)))
    except UnsupportedPatternError:
        return "not done"
    except PatternError:
        return None


def test_a7_3_all_of_javas_texts_and_refusals() -> None:
    wrong = {}
    not_done = set()
    for pattern, ms, zone, text in ROWS:
        made = ours(pattern, ms, zone)
        if made == "not done":
            not_done.add((pattern, zone))
        elif made != text:
            wrong[pattern, ms, zone] = (text, made)
    assert wrong == {}
    assert {pattern for pattern, _ in not_done} - {"z", "zz", "zzz"} == NOT_DONE
    assert {zone for pattern, zone in not_done if pattern not in NOT_DONE} == {"Asia/Katmandu", "Australia/Lord_Howe"}


def test_the_table_is_worth_its_name() -> None:
    assert len(ROWS) > 1_000
    assert {pattern[0] for pattern, _, _, text in ROWS if text and pattern} >= set(
        "GuyYDMLdQqwWEecFgaBhKkHmsSAnNVzOXxZ"
    )
    assert sum(text is None for *_, text in ROWS) > 300


@pytest.mark.parametrize("letter", "CIJPRTUVbfijloprt")
def test_a7_3_letters_that_aws_refuses_alone(letter: str) -> None:
    with pytest.raises(PatternError) as caught:
        format_time(letter, datetime(2026, 1, 1, tzinfo=UTC))
    assert not isinstance(caught.value, UnsupportedPatternError)


def test_a7_3_the_other_letters_are_taken_alone() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    taken = set(string.ascii_letters) - set("CIJPRTUVbfijloprt") - {"v"}
    assert {letter: format_time(letter, moment) for letter in sorted(taken)} == {
        "A": "0", "B": "midnight", "D": "1", "E": "Thu", "F": "1", "G": "AD", "H": "0", "K": "0", "L": "1", "M": "1",
        "N": "0", "O": "GMT", "Q": "1", "S": "0", "W": "1", "X": "Z", "Y": "2026", "Z": "+0000", "a": "AM", "c": "5",
        "d": "1", "e": "5", "g": "61041", "h": "12", "k": "24", "m": "0", "n": "0", "q": "1", "s": "0", "u": "2026",
        "w": "1", "x": "+00", "y": "2026", "z": "UTC",
    }  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.text("yMdHhmsSEaGDwWQzVXxOpB'[]{}#/-Tt ", max_size=20),
    st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - the zone is given below
    st.sampled_from(["UTC", "America/New_York", "Asia/Tokyo"]),
)
def test_a_pattern_is_formatted_or_refused(pattern: str, moment: datetime, zone: str) -> None:
    try:
        text = format_time(pattern, moment.replace(tzinfo=ZoneInfo(zone)))
    except PatternError:
        return
    assert "'" not in text or "''" in pattern


@given(st.text(st.characters(exclude_characters="'", exclude_categories=["Cs"]), min_size=1))
def test_what_is_quoted_is_itself(text: str) -> None:
    assert format_time(f"'{text}'", datetime(2026, 1, 1, tzinfo=UTC)) == text
