import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from pipelines.cli.document import document
from pipelines.cli.main import app

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
COMMANDS: Final = sorted(get_command(app).commands)
ROOMS: Final = ("pipelines", "infra", "scenarios", "tests", "docs", ".vscode", ".ci")
FILES: Final = {path for path in (ROOT / room for room in ROOMS) if path.exists()} | {
    path for room in (*ROOMS, ".") for path in (ROOT / room).glob("**/*" if room != "." else "*")
}


def code(page: Path) -> list[str]:
    """What stands in backticks, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE))


def is_there(name: str) -> bool:
    name = name.rstrip("/")
    return any(str(path).endswith(f"/{name}") for path in FILES)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def test_the_page_of_commands_is_what_the_commands_say_of_themselves() -> None:
    fix = "run `.venv/bin/python -m pipelines.cli.document > docs/commands.md`"
    assert (ROOT / "docs/commands.md").read_text() == document(), fix


@pytest.mark.parametrize("environment", [{"COLUMNS": "30", "TERM": "dumb"}, {"COLUMNS": "300", "FORCE_COLOR": "1"}])
def test_the_page_of_commands_does_not_depend_on_the_terminal(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pipelines.cli.document"]
    printed = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, check=True).stdout
    assert printed.decode() == document()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_readme(command: str) -> None:
    rows = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| `hydrant ")]
    assert any(re.match(rf"\| `hydrant {command}\b", row) for row in rows)


def test_every_command_of_the_readme_exists() -> None:
    spans = (re.match(r"hydrant ([a-z]+)\b", text) for text in code(ROOT / "README.md"))
    assert {found[1] for found in spans if found} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_parameter_has_a_help_text(command: str) -> None:
    found = get_command(app).commands[command]
    assert found.help
    assert [each.name for each in found.params if not each.help] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_relative_link_leads_to_a_file(page: Path) -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_file_named_in_backticks_exists(page: Path) -> None:
    suffixes = ("py", "md", "json", "toml", "lock", "yml")
    named = [
        text
        for text in code(page)
        if re.fullmatch(rf"[\w./-]+\.({'|'.join(suffixes)})|({'|'.join(map(re.escape, ROOMS))})/[\w./-]*", text)
    ]
    assert [text for text in named if not is_there(text) and not (ROOT / text).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_test_named_in_backticks_exists(page: Path) -> None:
    named = [text.rstrip(".") for text in code(page) if re.fullmatch(r"test_\w+\.*", text)]
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert [name for name in named if f"def {name}" not in tests] == []


def test_the_places_for_breakpoints_are_in_their_files() -> None:
    page = (ROOT / "docs/debugging.md").read_text()
    rows = [line.split("|")[2:4] for line in page.splitlines() if re.match(r"\| [^|]+ \| `[\w/]+\.py` \|", line)]
    assert len(rows) == 5
    for file, places in rows:
        text = (ROOT / file.strip(" `")).read_text()
        for place in re.findall(r"`([^`]+)`", places):
            for name in place.split("."):
                assert re.search(rf"(class|def) {name}\b|\b{name} ", text), place


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_is_there_for_every_command(command: str) -> None:
    answer = CliRunner().invoke(app, [*command.split(), "--help"])
    assert answer.exit_code == 0
    assert "Usage:" in answer.output
