"""The page that a run leaves, without a browser: what is on it, and that nothing of a record becomes part of it."""

import re
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_pictures import EVIL, called, config, empty, evil, failure, picture, stream, written

from pipelines.cli.report import plots
from pipelines.cli.report.charts import Chart, count, size, ticks
from pipelines.cli.report.data import Picture, ended
from pipelines.cli.report.page import page, shown_data
from pipelines.cli.report.path import path_svg
from pipelines.firehose.ledger import Account

PICTURES = {
    "ordinary": picture(),
    "two streams": picture(stream("one"), stream("two")),
    "empty": empty(),
    "evil": evil(),
}


class Parts(HTMLParser):
    """The tags of a page, their attributes, and its text without style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text = ""
        self._skip = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        self._skip = tag in {"style", "script"}

    def handle_endtag(self, tag: str) -> None:
        self._skip = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._skip else data


@pytest.mark.parametrize("of", PICTURES.values(), ids=PICTURES)
def test_the_page_has_one_script_and_asks_for_nothing(of: Picture) -> None:
    parts = Parts(page(of))
    assert parts.tags["script"] == parts.tags["style"] == 1
    assert not {"img", "iframe", "object", "image", "use", "a"} & parts.tags.keys()
    assert [each for each in parts.attributes if each[1].startswith("on") or each[1] in {"src", "srcset"}] == []
    assert [value for _, name, value in parts.attributes if name in {"href", "xlink:href"}] == ["data:,"]
    assert [value for _, name, value in parts.attributes if name == "style" and "url" in str(value)] == []
    assert (
        "meta",
        "content",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:",
    ) in (parts.attributes)


def test_what_records_hold_is_shown_as_text_and_not_as_html() -> None:
    html = page(evil())
    assert EVIL not in html
    assert "<script>fetch" not in html
    assert EVIL in Parts(html).text
    assert EVIL in unescape(html)


@pytest.mark.parametrize("of", PICTURES.values(), ids=PICTURES)
def test_every_coordinate_is_a_number(of: Picture) -> None:
    html = page(of)
    assert not re.search(r"\b(nan|inf|None)\b", html.partition("</style>")[2].partition("<script>")[0])
    for _, name, value in Parts(html).attributes:
        if name in {"x", "y", "cx", "cy", "width", "height"}:
            float(str(value).removesuffix("device-width") or 0)


def test_the_account_stands_on_the_page_and_what_is_wrong_is_marked() -> None:
    account = Account(put=12_345, delivered=12_000, dropped=300, failed=44, lost=(("s", "1", 0),))
    html = page(picture(stream(account=account), passed=False, problems=["5 rows differ"]))
    text = Parts(html).text
    for words in ("12,345", "12,000", "300", "44", "It does not add up", "5 rows differ"):
        assert words in text
    assert '<dt>Lost</dt><dd class="bad">1</dd>' in html
    assert '<dt>Doubled</dt><dd class="">0</dd>' in html


def test_each_delivery_stream_has_its_part_of_the_page() -> None:
    text = Parts(page(picture(stream("one"), stream("two", failures=[], account=Account(7, 7, 0, 0))))).text
    for part in ("Delivery stream one", "Delivery stream two", "ended in one", "ended in two", "No record failed."):
        assert part in text
    assert "Delivery stream" not in Parts(page(picture(stream("one")))).text


def test_a_run_that_put_nothing_has_a_page() -> None:
    text = Parts(page(empty())).text
    for words in ("0 records", "No object was written.", "No record failed."):
        assert words in text
    assert "Over time" not in text


def test_stages_that_a_delivery_stream_does_not_have_are_not_drawn() -> None:
    bare = stream(
        config=config(function=False, conversion=False, backup=False),
        objects=[written("data", 1, 5, "end")],
        table=None,
    )
    drawn = re.findall(r'class="name"[^>]*>([^<]*)<', path_svg(picture(bare), bare))
    assert drawn == ["Kinesis", "Buffer", "S3"]
    whole = stream()
    drawn = re.findall(r'class="name"[^>]*>([^<]*)<', path_svg(picture(whole), whole))
    assert drawn == [
        "Kinesis", "Lambda", "Conversion", "Buffer", "S3", "Glue", "Backup buffer", "S3 backup", "Dropped", "S3 errors",
    ]  # fmt: skip


def test_bands_are_as_wide_as_what_flows() -> None:
    half = stream(
        account=Account(put=1_000, delivered=500, dropped=500, failed=0), objects=[written("data", 1, 500, "end")]
    )
    widths = re.findall(r'class="band (\w+)" stroke-width="([\d.]+)"', path_svg(picture(half), half))
    assert widths == [("data", "22.0"), *[("data", "11.0")] * 4, ("dropped", "11.0")]


def test_every_flush_is_marked_with_its_reason() -> None:
    drawn = plots.buffers(picture())
    tips = [unescape(tip) for tip in re.findall(r'data-tip="([^"]*)"', drawn)]
    reasons = Counter(
        next(line for line in tip.splitlines() if "after" in line).split(" after")[0] for tip in tips if "after" in tip
    )
    assert reasons == {"flushed by size": 1, "by interval": 2, "at the end of input": 1 + 4 + 4}


def test_records_that_failed_are_counted_by_code() -> None:
    of = stream(
        invocations=[called(n, {"Lambda.FunctionError": (0, 1), "Lambda.MissingRecordId": (2,)}) for n in range(3)]
    )
    text = Parts(page(picture(of))).text
    assert "format conversion 50, Lambda.FunctionError 6, Lambda.MissingRecordId 3; 1 of 100 are shown." in text


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", "(empty)"),
        (b'{"a": 1}\n', '{"a": 1}'),
        (b"\xff\x00\x1b[31m", "\\xff\\x00\\x1b[31m"),
        ("Zürich\u202e".encode(), "Zürich\\u202e"),
        (b"x" * 500, "x" * 400 + "… 100 bytes more"),
    ],
)
def test_raw_data_is_shown_so_that_every_byte_is_seen(data: bytes, shown: str) -> None:
    assert shown_data(data) == shown
    if shown_data(data):
        assert shown in Parts(page(picture(stream(failures=[failure(data)])))).text


@given(low=st.floats(0, 1e6), span=st.floats(1e-3, 1e9))
def test_ticks_are_round_and_reach_the_end(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert 2 <= len(found) <= 8
    assert found == sorted(set(found))
    assert found[-1] >= (low + span) * (1 - 1e-9)
    assert found[0] >= low - 1e-6 * (found[1] - found[0])


@given(
    moments=st.lists(st.tuples(st.floats(0, 20), st.integers(0, 10**6)), min_size=1, max_size=30),
)
def test_the_area_under_the_throughput_is_the_number_of_records(moments: list[tuple[float, int]]) -> None:
    points = plots._rates(moments, (0, 20.0), 0.5)
    areas = [(points[n + 1][0] - points[n][0]) * points[n][1] for n in range(0, len(points) - 2, 2)]
    late = sum(number for at, number in moments if at >= 20.0)
    assert sum(areas) == pytest.approx(sum(number for _, number in moments) - late)
    total = plots._cumulative(sorted(moments), (0, 20.0))
    assert total[-1] == (20.0, sum(number for _, number in moments))


def test_a_value_beyond_the_axis_stays_in_the_picture() -> None:
    chart = Chart("t", (0, 1), 10, "records", count)
    assert chart.py(1e9) == chart.py(chart.top) >= 0
    chart = Chart("t", (5, 5), 0, "records", count)
    assert "nan" not in chart.svg()


@pytest.mark.parametrize(
    ("value", "as_count", "as_size"),
    [(0, "0", "0 B"), (999, "999", "999 B"), (1_500, "1.5k", "1.46 KiB"), (2_000_000, "2M", "1.91 MiB")],
)
def test_numbers_are_short(value: float, as_count: str, as_size: str) -> None:
    assert count(value) == as_count
    assert size(value) == as_size


def test_what_ended_is_every_record_once() -> None:
    of: Any = stream()
    assert sum(number for _, number in ended(of)) == 4 * 1_000 + 4 * 25 + 10 * 90
