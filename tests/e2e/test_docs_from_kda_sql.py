"""The example of docs/from-kda-sql.md runs as it stands there, and prints what the page says."""

import re
from pathlib import Path
from typing import Final

from hydrant_command import hydrant
from page_examples import blocks, printed

from infra.embedded.target import EmbeddedTarget

PAGE: Final = "from-kda-sql.md"
TIME: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")


def first(kind: str) -> str:
    return blocks(PAGE, kind)[0]


def told(line: str) -> str:
    """What the page shows of a line: of rows all but ROWTIME, of errors two columns."""
    line = TIME.sub("", line, count=1).strip()
    if not line.startswith("error_stream"):
        return line
    stream, *columns = line.split("  ")
    return "  ".join([stream, *(each for each in columns if each.startswith(("ERROR_NAME", "MESSAGE")))])


def test_the_example_of_the_migration_guide_prints_what_the_page_says(tmp_path: Path) -> None:
    for kind, name in (("json", "ticks.json"), ("sql", "ticks.sql")):
        (tmp_path / name).write_text(first(kind))
    command = ("sql", str(tmp_path / "ticks.sql"), "--application", str(tmp_path / "ticks.json"), "--until-now")
    with EmbeddedTarget().started():
        printed(first("python"), tmp_path)
        with hydrant(*command) as run:
            assert run.status() == 0, run.said
    rows = [line for line in "".join(run.out).splitlines()]
    assert all(TIME.match(line) for line in rows)
    shown = [told(line) for line in rows]
    assert sorted(shown) == sorted(first("text").splitlines())
    for ticker in ("TICKER=AMZN", "TICKER=TGT"):
        assert [line for line in shown if ticker in line] == [
            line for line in first("text").splitlines() if ticker in line
        ]
