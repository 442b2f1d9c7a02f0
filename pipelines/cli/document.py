"""`python -m pipelines.cli.document`: prints docs/commands.md, made of the help texts of the commands."""

import sys
from collections.abc import Iterator
from typing import Any, Final

import typer
from typer.main import get_command

from pipelines.cli.main import app

_HEAD: Final = """\
# Commands

Written by `python -m pipelines.cli.document > docs/commands.md` from the commands' own help; a test holds them equal.
`.venv/bin/python -m pipelines.cli` is the same as `.venv/bin/hydrant`. Every command has `--help`.

Exit status: 0; 1 when what was asked for did not succeed, with one sentence on standard error that says why and names
the fix; 2 when it was asked for wrongly; 130 after a Ctrl-C that broke it off.

These come before the command's name, as in `hydrant -v run flights`:
"""


def document() -> str:
    """The page. It is made of the commands' structure and not of what they print, which a terminal's width decides."""
    group: Any = get_command(app)
    context = typer.Context(group, info_name="hydrant", terminal_width=1_000)
    parts = [_HEAD, *_table("option", group, context, "option")]
    for name, command in group.commands.items():
        inner = typer.Context(command, info_name=name, parent=context, terminal_width=1_000)
        usage = " ".join(command.get_usage(inner).split()).removeprefix("Usage: ")
        parts += [f"## hydrant {name}\n", f"```\n{usage}\n```\n", f"{command.help.strip()}\n"]
        parts += _table("argument", command, inner, "argument")
        parts += _table("option", command, inner, "option")
    return "\n".join(parts)


def _table(kind: str, command: Any, context: typer.Context, title: str) -> Iterator[str]:
    found = [each.get_help_record(context) for each in command.params if each.param_type_name == kind]
    if found:
        yield f"| {title} | meaning |\n|---|---|"
        for name, meaning in found:
            yield f"| `{_cell(name)}` | {_cell(' '.join(meaning.split()))} |"
        yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(document())
