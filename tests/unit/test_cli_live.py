"""The picture of a run: drawn anew on a terminal; elsewhere printed, ever more rarely, and whole at the end."""

import io
import re
import time

import pytest
from rich.console import Console
from rich.text import Text

from pipelines.cli.live import live


def console(*, terminal, term="xterm"):
    return Console(file=io.StringIO(), width=80, height=24, force_terminal=terminal, _environ={"TERM": term})


def run(target, *, is_logged, seconds, transient=False):
    """Shows "at N s" five times a second, as a run does; says what was written before the end, and how often asked."""
    asked = []

    def picture(at):
        asked.append(at)
        return Text(f"at {at:g} s")

    with live(target, transient=transient, is_logged=is_logged) as screen:
        for tick in range(seconds * 5 + 1):
            screen.show(lambda at=tick / 5: picture(at), tick / 5)
        before = target.file.getvalue()
    return before, asked


@pytest.mark.parametrize(("terminal", "term"), [(False, "xterm"), (True, "dumb")])
def test_where_nothing_can_be_drawn_anew_pictures_are_printed_ever_more_rarely(terminal, term):
    target = console(terminal=terminal, term=term)
    before, asked = run(target, is_logged=True, seconds=300)
    at = [5, 10, 15, 22.6, 34, 51, 76.6, 115, 172.6, 232.6, 292.6]  # by ticks of 0.2 s; a minute apart at the most
    assert before.splitlines() == [line for moment in at for line in (f"at {moment:g} s", "")]
    assert asked == pytest.approx([*at, 300])  # a picture that is not shown is not made
    assert target.file.getvalue().removeprefix(before) == "at 300 s\n"
    assert "\x1b" not in target.file.getvalue()


def test_a_command_that_runs_for_ever_is_not_logged_and_says_how_it_ended():
    target = console(terminal=False)
    before, asked = run(target, is_logged=False, seconds=300)
    assert before == ""
    assert asked == [300]
    assert target.file.getvalue() == "at 300 s\n"


def test_on_a_terminal_a_picture_is_drawn_in_place_of_the_one_before():
    target = console(terminal=True)
    with live(target, is_logged=True) as screen:
        for at in (0, 1):
            screen.show(lambda at=at: Text(f"at {at} s"), at)
            written_by_s = time.monotonic() + 10
            while f"at {at} s" not in target.file.getvalue():  # rich draws four times a second
                assert time.monotonic() < written_by_s
                time.sleep(0.05)
    _, between, _ = re.split("at [01] s", target.file.getvalue(), maxsplit=2)
    assert "\x1b[2K" in between  # the line that was there is gone
    assert "\n" not in between


def test_nothing_stays_of_what_is_transient():
    target = console(terminal=False)
    run(target, is_logged=False, seconds=2, transient=True)
    assert target.file.getvalue().strip() == ""


def test_the_last_picture_is_printed_when_the_run_breaks_off():
    target = console(terminal=False)

    def broken():
        with live(target, is_logged=True) as screen:
            screen.show(lambda: Text("so far"), 1.0)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    assert target.file.getvalue() == "so far\n"
