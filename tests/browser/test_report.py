"""The page that a run leaves, in a browser: it asks for nothing, complains of nothing, and nothing runs over."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import Page, chromium
from report_pictures import EVIL, config, empty, evil, findings, picture, stream, written

from pipelines.cli.report.page import page as rendered

HYDRANT = Path(sys.executable).parent / "hydrant"
SCREENSHOTS = os.environ.get("HYDRANT_SCREENSHOTS")
"""The folder in which the README's pictures are to be made anew."""
SCREENSHOT_HEIGHT = 1_300

OVERFLOWS = """(() => {
  const found = [], tell = (what, text) => found.push(what + ": " + text.trim().slice(0, 60));
  if (document.scrollingElement.scrollWidth > innerWidth) tell("the page is wider than the window", document.title);
  for (const svg of document.querySelectorAll("svg[role=img]")) {
    const all = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map((text) => [text, text.getBoundingClientRect()]);
    for (const [text, box] of texts) {
      if (box.left < all.left - 1 || box.right > all.right + 1 || box.top < all.top - 1 || box.bottom > all.bottom + 1)
        tell("beyond its picture", text.textContent);
      const frame = text.closest(".box")?.querySelector("rect").getBoundingClientRect();
      if (frame && (box.left < frame.left || box.right > frame.right)) tell("beyond its box", text.textContent);
      for (const [other, its] of texts)
        if (other !== text && box.left < its.right - 1 && its.left < box.right - 1 && box.top < its.bottom - 3
            && its.top < box.bottom - 3) tell("over " + other.textContent, text.textContent);
    }
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.textContent.trim() || node.parentElement.closest("svg, script, #tip, pre")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const block = node.parentElement.closest("td, th, dt, dd, p, h1, h2, h3, figcaption, figure, .verdict, .legend")
      .getBoundingClientRect();
    for (const box of range.getClientRects())
      if (box.right > block.right + 1 || box.left < block.left - 1) tell("beyond its block", node.textContent);
  }
  return found;
})()"""

CONTRAST = """(() => {
  const light = (css) => {
    const [r, g, b] = css.match(/[\\d.]+/g).map((part) => part / 255)
      .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor), low = [];
  for (const [selector, property] of [["p.soft", "color"], ["dd", "color"], [".verdict", "color"],
      ["svg .tick", "fill"], ["svg .name", "fill"], ["th", "color"], ["svg .line.data", "stroke"],
      [".mark.failed", "fill"]]) {
    const ink = light(getComputedStyle(document.querySelector(selector))[property]);
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) low.push(selector + " " + ratio.toFixed(2));
  }
  return low;
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


def report_of(scenario: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp(scenario)
    subprocess.run([HYDRANT, "run", scenario, "--runs", runs], check=True, capture_output=True, timeout=240)
    (folder,) = runs.iterdir()
    return folder / "report.html"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a real run."""
    return report_of("flights", tmp_path_factory)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run whose application scores series."""
    return report_of("cloudwatch", tmp_path_factory)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run whose application finds points in a plane."""
    return report_of("hotspots", tmp_path_factory)


KINDS = (
    "run", "scored", "mapped", "findings", "evil findings", "ordinary", "two streams", "no function", "evil", "empty",
)  # fmt: skip


@pytest.fixture(params=KINDS)
def report(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param in ("run", "scored", "mapped"):
        return request.getfixturevalue(request.param)
    bare = stream(
        config=config(function=False, conversion=False, backup=False),
        objects=[written("data", n, 1_250, "interval") for n in range(4)],
        invocations=[],
        failures=[],
        table=None,
    )
    pictures: dict[str, Any] = {
        "ordinary": picture(), "two streams": picture(stream("one"), stream("two")), "no function": picture(bare),
        "evil": evil(), "empty": empty(), "findings": picture(findings=findings()),
        "evil findings": picture(findings=findings(EVIL)),
    }  # fmt: skip
    path = tmp_path / "report.html"
    path.write_text(rendered(pictures[request.param]), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [1280, 800])
def test_nothing_runs_over_nothing_is_asked_for_and_nothing_complains(browser: Page, report: Path, width: int) -> None:
    browser.open(report.as_uri(), width)
    assert browser.asks(OVERFLOWS) == []
    assert browser.complaints() == []
    assert browser.requests() == [report.as_uri()]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_on_light_and_on_dark(browser: Page, tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "report.html"
    path.write_text(rendered(picture()), encoding="utf-8")
    browser.open(path.as_uri(), 1280, scheme)
    paper = browser.asks("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert browser.asks(CONTRAST) == []


def test_the_numbers_of_the_account_are_on_the_page(browser: Page, run: Path) -> None:
    browser.open(run.as_uri(), 1280)
    counts = browser.asks("[...document.querySelectorAll('dl.counts div')].map((each) => each.innerText)")
    found = dict(each.split("\n") for each in counts)
    assert {name: found[name] for name in ("Put", "Failed", "Lost", "Doubled")} == {
        "Put": "50,200", "Failed": "200", "Lost": "0", "Doubled": "0",
    }  # fmt: skip
    number = {name: int(count.replace(",", "")) for name, count in found.items()}
    assert number["Delivered"] + number["Dropped"] == 50_000
    assert "It adds up" in browser.asks("document.querySelector('.verdict').innerText")


def test_what_the_pointer_is_on_says_more(browser: Page, run: Path) -> None:
    browser.open(run.as_uri(), 1280)
    at = browser.asks("""(() => {
      const mark = document.querySelector("figure svg[aria-label^='Backup'] .mark");
      mark.scrollIntoView({block: "center"});
      const box = mark.getBoundingClientRect();
      return [box.x + box.width / 2, box.y + box.height / 2];
    })()""")
    assert browser.asks("getComputedStyle(tip).visibility") == "hidden"
    browser.do("Input.dispatchMouseEvent", type="mouseMoved", x=at[0], y=at[1])
    assert browser.asks("getComputedStyle(tip).visibility") == "visible"
    assert "shardId-" in browser.asks("tip.innerText")
    browser.do("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    assert browser.asks("getComputedStyle(tip).visibility") == "hidden"


def test_every_series_has_its_value_its_score_its_labels_and_what_was_found(browser: Page, scored: Path) -> None:
    browser.open(scored.as_uri(), 1280)
    drawn = browser.asks("""[...document.querySelectorAll(".findings figure")].map((each) => [
      each.querySelector("b").innerText, each.querySelectorAll("svg[role=img]").length,
      each.querySelectorAll("svg:first-of-type .span").length,
      each.querySelectorAll("svg:first-of-type .mark").length])""")
    assert len(drawn) == 8
    assert {charts for _, charts, _, _ in drawn} == {2}
    labels = {name: spans for name, _, spans, _ in drawn}
    assert labels["rds_cpu_utilization_e47b3b"] == 2
    assert labels["ec2_cpu_utilization_c6585a"] == 0
    assert sum(marks for *_, marks in drawn) > 10
    tip = browser.asks("document.querySelector('.findings .mark.good').dataset.tip")
    assert "score" in tip
    assert "lasts" in tip


def test_a_map_shows_the_points_and_the_hotspots_with_their_density(browser: Page, mapped: Path) -> None:
    browser.open(mapped.as_uri(), 1280)
    drawn = browser.asks("""[...document.querySelectorAll(".findings figure")].map((each) => [
      each.querySelector("b").innerText, each.querySelector(".dots").getAttribute("d").split("M").length - 1,
      each.querySelectorAll(".frame").length])""")
    (city, points, frames), *places = drawn
    assert (city, points, frames) == ("The city", 4_000, len(places))
    assert all(frames == 1 and points > 10 for _, points, frames in places)
    assert "density" in browser.asks("document.querySelector('.findings .frame').dataset.tip")


@pytest.mark.parametrize(
    ("name", "of"), [("report.png", "run"), ("cloudwatch.png", "scored"), ("hotspots.png", "mapped")]
)
def test_the_pictures_of_the_readme_can_be_made(
    browser: Page, tmp_path: Path, request: pytest.FixtureRequest, name: str, of: str
) -> None:
    path = Path(SCREENSHOTS) / name if SCREENSHOTS else tmp_path / name
    browser.open(request.getfixturevalue(of).as_uri(), 1280)
    browser.screenshot(path, SCREENSHOT_HEIGHT)
    assert 20_000 < path.stat().st_size < 250_000
