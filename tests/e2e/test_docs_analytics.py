"""The example of docs/analytics.md runs as it stands there, and prints what the page says."""

from pathlib import Path

from page_examples import blocks, printed

from infra.embedded.target import EmbeddedTarget

PAGE = "analytics.md"


def test_the_example_scores_windows_and_tells_what_is_late_and_bad(tmp_path: Path) -> None:
    (example,), (said,) = blocks(PAGE, "python"), blocks(PAGE, "text")
    with EmbeddedTarget().started():
        assert sorted(printed(example, tmp_path)) == sorted(said.splitlines())
