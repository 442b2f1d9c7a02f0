"""S3 prefixes: what they evaluate to and which are refused in which words."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.firehose.prefix import (
    ERROR_OUTPUT_TYPES,
    check_prefixes,
    check_time_zone,
    compile_error_prefix,
    compile_prefix,
)
from pipelines.runtime.errors import ConfigurationError

MOMENT_MS = 1_377_604_800_999  # 2013-08-27T12:00:00.999Z
LAST_SECOND_MS = 1_798_761_599_000  # 2026-12-31T23:59:59Z


def evaluated(text: str, ms: int = MOMENT_MS, zone: str = "UTC", seed: int = 0, **keys: str) -> str:
    return compile_prefix(text, zone).evaluate(ms, rng=random.Random(seed), partition_keys=keys)


def error_evaluated(text: str, data_prefix: str = "", kind: str = "processing-failed", zone: str = "UTC") -> str:
    prefix = compile_error_prefix(text, data_prefix, zone)
    return prefix.evaluate(MOMENT_MS, rng=random.Random(0), error_output_type=kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "2013/08/27/12/"),
        ("legacy", "legacy2013/08/27/12/"),
        ("legacy/", "legacy/2013/08/27/12/"),
        ("dt=yyyy/", "dt=yyyy/2013/08/27/12/"),
    ],
)
def test_a7_2_x4_a_literal_prefix_gets_the_date_with_no_slash_between(text: str, expected: str) -> None:
    assert evaluated(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("!{timestamp:yyyy/MM/dd}", "2013/08/27"),
        ("!{timestamp:yyyy}/!{timestamp:HH}/", "2013/12/"),
        (
            "myPrefix/year=!{timestamp:yyyy}/month=!{timestamp:MM}/day=!{timestamp:dd}/hour=!{timestamp:HH}/",
            "myPrefix/year=2013/month=08/day=27/hour=12/",
        ),
        ("!{timestamp:'year='yyyy'/'}x", "year=2013/x"),
        ("a/!{timestamp:YYYY-'W'ww-e}/", "a/2013-W35-3/"),
        ("!{timestamp:ppppppH}/", "    12/"),
        ("!{timestamp:VV}/", "UTC/"),
        ("!{timestamp:ss.SSS}/", "00.000/"),
        ("{timestamp:yyyy}/!{timestamp:yy}", "{timestamp:yyyy}/13"),
    ],
)
def test_a7_3_timestamps(text: str, expected: str) -> None:
    assert evaluated(text) == expected


def test_a7_3_all_timestamps_are_of_one_instant_with_second_precision() -> None:
    assert evaluated("!{timestamp:HH:mm:ss}/!{timestamp:ss}/", LAST_SECOND_MS + 999) == "23:59:59/59/"
    assert evaluated("", LAST_SECOND_MS + 999) == "2026/12/31/23/"
    assert evaluated("", LAST_SECOND_MS + 1000) == "2027/01/01/00/"


def test_a7_4_the_custom_time_zone_moves_the_date() -> None:
    assert evaluated("", LAST_SECOND_MS, "Asia/Tokyo") == "2027/01/01/08/"
    assert evaluated("!{timestamp:yyyy-MM-dd'T'HHxxx}/", LAST_SECOND_MS, "America/New_York") == "2026-12-31T18-05:00/"
    assert error_evaluated("", zone="Asia/Calcutta") == "processing-failed/2013/08/27/17/"
    assert evaluated("", LAST_SECOND_MS, "") == "2026/12/31/23/"


def test_a7_5_x5_random_strings_have_11_characters_and_are_new_each_time() -> None:
    first, second, date = evaluated("!{firehose:random-string}/!{firehose:random-string}/").split("/", 2)
    assert (len(first), len(second)) == (11, 11)
    assert first != second
    assert (first + second).isalnum()
    assert date == "2013/08/27/12/"  # the date is appended: no timestamp and no key in it


def test_a7_5_the_same_seed_gives_the_same_random_string() -> None:
    text = "!{firehose:random-string}/"
    assert evaluated(text, seed=7) == evaluated(text, seed=7) != evaluated(text, seed=8)


def test_x5_a_partition_key_is_enough_to_keep_the_date_away() -> None:
    assert evaluated("c=!{partitionKeyFromQuery:c}/d=!{partitionKeyFromLambda:d}/", c="1", d="!{x}") == "c=1/d=!{x}/"


def test_a_partition_key_without_a_value_is_told() -> None:
    with pytest.raises(ConfigurationError, match="partition key c of the prefix has no value"):
        evaluated("!{partitionKeyFromQuery:c}/")


@pytest.mark.parametrize(
    ("text", "data_prefix", "expected"),
    [
        ("", "", "processing-failed/2013/08/27/12/"),
        ("", "legacy/", "legacy/processing-failed/2013/08/27/12/"),
        ("errors/", "data/", "errors/processing-failed/2013/08/27/12/"),
        ("errors/!{firehose:error-output-type}/", "data/", "errors/processing-failed/"),
        (
            "e/!{firehose:error-output-type}/!{timestamp:yyyy/MM}/",
            "",
            "e/processing-failed/2013/08/",
        ),
    ],
)
def test_x6_and_a7_6_error_prefixes(text: str, data_prefix: str, expected: str) -> None:
    assert error_evaluated(text, data_prefix) == expected


@pytest.mark.parametrize("kind", sorted(ERROR_OUTPUT_TYPES))
def test_a7_6_each_error_output_type_is_written_as_it_is(kind: str) -> None:
    assert error_evaluated("!{firehose:error-output-type}/", kind=kind) == f"{kind}/"


BAD_CHARACTER = "Invalid conversion character used in the value of the expression in Prefix"
TOO_LONG = "Length of evaluated prefix cannot be greater than 512"
REFUSED = [
    ("!{timestamp:T}", BAD_CHARACTER),
    ("!{timestamp:yyyy/R/MM}", BAD_CHARACTER),
    ("!{timestamp:yyyy'}", BAD_CHARACTER),
    ("!{timestamp:ddd}", BAD_CHARACTER),
    ("!{timestamp:pH}", BAD_CHARACTER),  # would print until 9 o'clock only
    ("!{timestamp:ppppppppMMMM}", BAD_CHARACTER),  # September is wider
    ("!{timestamp:ppppppppB}", BAD_CHARACTER),  # and "in the afternoon"
    ("!{firehose:random}", BAD_CHARACTER),
    ("!{firehose:}", BAD_CHARACTER),
    ("!{firehose:error-output-type}/", "Prefix must not contain any occurrence of !{firehose:error-output-type}"),
    ("!{time:yyyy}", "Namespace to the left of colon (time) is an invalid keyword!"),
    ("!{Timestamp:yyyy}", "Namespace to the left of colon (Timestamp) is an invalid keyword!"),
    ("!{", "Invalid expression usage"),
    ("a!{timestamp:yyyy}/!{timestamp:MM", "Invalid expression usage"),
    ("!{yyyy}", "Invalid expression usage"),
    ("!{:yyyy}", "Invalid expression usage"),
    ("!{timestamp:yyyy{MM}}", "Invalid expression usage"),
    ("!{partitionKeyFromQuery:}", "Invalid expression usage"),
    ("p" * 513, TOO_LONG),
    ("p" * 512 + "!{partitionKeyFromQuery:c}", TOO_LONG),
    ("p" * 502 + "!{firehose:random-string}", TOO_LONG),
    ("p" * 1025, "Length of Prefix cannot be greater than 1024"),
]


@pytest.mark.parametrize(("text", "message"), REFUSED, ids=[text[:30] for text, _ in REFUSED])
def test_a7_3_a7_6_a7_8_broken_prefixes_are_refused_in_the_words_of_aws(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compile_prefix(text)
    assert caught.value.message == message
    assert check_prefixes(text, "e/!{firehose:error-output-type}/", partitioning=False) == message


@pytest.mark.parametrize("letter", "CIJPRTUVbfijloprt")
def test_a7_3_a_lone_refused_letter(letter: str) -> None:
    with pytest.raises(ConfigurationError, match="Invalid conversion character"):
        compile_prefix(f"!{{timestamp:{letter}}}")


ERROR_REFUSED = [
    (
        "e/!{timestamp:yyyy}/",
        "ErrorOutputPrefix must contain at least one occurrence of !{firehose:error-output-type}",
    ),
    (
        "!{firehose:error-output-type}/!{partitionKeyFromQuery:c}/",
        "Dynamic Partitioning Namespaces can't be part of an error prefix expression",
    ),
    (
        "!{firehose:error-output-type}/!{timestamp:T}/",
        "Invalid conversion character used in the value of the expression in ErrorOutputPrefix",
    ),
    ("e" * 513, "Length of evaluated ErrorOutputPrefix cannot be greater than 512"),
    ("!{firehose:error-output-type", "Invalid expression usage"),
]


@pytest.mark.parametrize(("text", "message"), ERROR_REFUSED, ids=[text[:30] for text, _ in ERROR_REFUSED])
def test_a6_5_a7_7_a7_8_broken_error_prefixes(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compile_error_prefix(text)
    assert caught.value.message == message
    assert check_prefixes("", text, partitioning=False) == message


def test_a7_8_512_characters_are_allowed_and_the_implicit_date_is_not_counted() -> None:
    assert evaluated("p" * 512) == "p" * 512 + "2013/08/27/12/"
    assert len(error_evaluated("e" * 512)) == 512 + len("processing-failed/2013/08/27/12/")


def test_a7_8_what_grows_beyond_512_when_it_is_evaluated_is_refused_then() -> None:
    text = "p" * 500 + "!{partitionKeyFromQuery:c}"
    assert len(evaluated(text, c="k" * 12)) == 512
    with pytest.raises(ConfigurationError, match=TOO_LONG):
        evaluated(text, c="k" * 13)


@pytest.mark.parametrize("pattern", ["zzzz", "v", "yyyy vvvv"])
def test_a_name_that_java_has_and_we_have_not_is_told_as_such(pattern: str) -> None:
    with pytest.raises(ConfigurationError, match="is not supported yet"):
        compile_prefix(f"!{{timestamp:{pattern}}}/")


def test_z_depends_on_the_zone_having_an_abbreviation() -> None:
    assert evaluated("!{timestamp:z}/", zone="America/New_York") == "EDT/"
    with pytest.raises(ConfigurationError, match="is not supported yet: the name of the time zone Asia/Dubai"):
        compile_prefix("!{timestamp:z}/", "Asia/Dubai")


@pytest.mark.parametrize("zone", ["", "UTC", "America/New_York", "Asia/Calcutta", "Africa/Sao_Tome"])
def test_a7_4_time_zones_that_are_taken(zone: str) -> None:
    assert check_time_zone(zone) is None


@pytest.mark.parametrize("zone", ["EST", "utc", "America", "Mars/Olympus", "/etc/passwd", "../UTC", "Africa/", "zone"])
def test_a7_4_time_zones_that_are_not(zone: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^Provided custom time zone is not supported\."):
        compile_prefix("", zone)


@pytest.mark.parametrize(
    ("prefix", "error_prefix", "partitioning", "message"),
    [
        ("", "", False, None),
        ("data/", "", False, None),
        ("!{timestamp:yyyy}/", "errors/", False, None),
        ("!{timestamp:yyyy}/", "", False, "ErrorOutputPrefix cannot be null or empty when Prefix contains expressions"),
        ("!{partitionKeyFromLambda:c}/", "e/", True, None),
        (
            "!{partitionKeyFromLambda:c}/",
            "e/",
            False,
            "Dynamic Partitioning Namespaces can only be part of a prefix expression "
            "when Dynamic Partitioning is enabled.",
        ),
        (
            "data/",
            "e/",
            True,
            "S3 Prefix should contain Dynamic Partitioning namespaces when Dynamic Partitioning is enabled",
        ),
    ],
)
def test_a6_1_a6_5_a7_7_the_two_prefixes_together(
    prefix: str, error_prefix: str, partitioning: bool, message: str | None
) -> None:
    assert check_prefixes(prefix, error_prefix, partitioning=partitioning) == message


PIECES = st.sampled_from([
    "data/", "!{timestamp:", "yyyy", "MM'", "'", "}", "!{", "{", "!", ":", "/", "firehose", "random-string",
    "!{firehose:random-string}", "!{firehose:error-output-type}", "!{partitionKeyFromQuery:c}", "!{timestamp:HH}", "p",
    "zzzz", "[", "]", "#", "\n", "é",
])  # fmt: skip
TEXTS = st.lists(PIECES, max_size=12).map("".join) | st.text(max_size=40)


@settings(max_examples=200, deadline=None)
@given(
    TEXTS,
    st.sampled_from(["UTC", "America/New_York", "Asia/Dubai"]),
    st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - UTC is given
)
def test_a_prefix_is_refused_when_it_is_compiled_or_always_evaluates(text: str, zone: str, moment: datetime) -> None:
    for compile_it in (compile_prefix, lambda t, z: compile_error_prefix(t, "data/", z)):
        try:
            prefix = compile_it(text, zone)
        except ConfigurationError:
            continue
        made = prefix.evaluate(
            int(moment.timestamp() * 1000),
            rng=random.Random(0),
            error_output_type="processing-failed",
            partition_keys=dict.fromkeys(["c", *text.split(":")], "value")
            | {key.partition("}")[0]: "value" for key in text.split(":")},
        )
        assert "!{" not in made
        assert made.endswith(prefix.appended and moment.astimezone(prefix._zone).strftime("%Y/%m/%d/%H/"))
