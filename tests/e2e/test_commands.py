"""The commands as a user meets them: what they print, how they end by a signal, and what they say of a mistake."""

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from embedded_aws import SCENARIO
from hydrant_command import HYDRANT, Running, all_ended, assert_one_sentence, environment, hydrant

PROBE = """
import json, boto3
print(json.dumps([
    boto3.client("kinesis").describe_stream_summary(StreamName="flights")["StreamDescriptionSummary"]["StreamStatus"],
    [bucket["Name"] for bucket in boto3.client("s3").list_buckets()["Buckets"]],
    boto3.client("glue").get_table(DatabaseName="flights_db", Name="flights")["Table"]["Name"],
    boto3.client("firehose").list_delivery_streams()["DeliveryStreamNames"],
]))
"""

PUT = """
import boto3
one = {"Data": b"one", "PartitionKey": "k"}
boto3.client("kinesis").put_records(StreamName="flights", Records=[one] * 50)
"""


def plain(**changes: str) -> dict[str, str]:
    """An environment without anything of AWS but `changes`, in which nobody's own settings are found."""
    nothing = dict.fromkeys(name for name in os.environ if name.startswith("AWS_"))
    missing = {"AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"}
    return environment(**(nothing | missing | {"AWS_EC2_METADATA_DISABLED": "true"} | changes))


@pytest.fixture(scope="module")
def up() -> Iterator[Running]:
    with hydrant("up", "flights", env=plain()) as running:
        running.until_it_says("AWS_EC2_METADATA_DISABLED")
        yield running


def exports(up: Running) -> dict[str, str]:
    return dict(line.strip().removeprefix("export ").split("=", 1) for line in up.out)


def test_up_prints_export_lines_that_a_shell_takes_and_boto3_works_with(up: Running, tmp_path: Path) -> None:
    (tmp_path / "exports").write_text("".join(up.out))
    ask = f". {shlex.quote(str(tmp_path))}/exports && exec {shlex.join([sys.executable, '-c', PROBE])}"
    answer = subprocess.run(["sh", "-ec", ask], capture_output=True, text=True, env=plain(), timeout=60, check=False)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == ["ACTIVE", ["hydrant-flights"], "flights", ["flights"]]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 0), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_up_ends_by_a_signal_and_leaves_no_process(number: signal.Signals, status: int) -> None:
    with hydrant("up", "--json", env=plain()) as running:
        running.until_it_says("\n")
        assert "AWS_ENDPOINT_URL_KINESIS" in json.loads(running.said)
        children = running.children()
        assert len(children) >= 2
        running.signal(number)
        assert running.status(within_s=15) == status
        assert running.err == []
        assert psutil.wait_procs(children, timeout=15)[1] == []


def test_up_that_is_interrupted_while_it_starts_leaves_no_process() -> None:
    with hydrant("up", env=plain()) as running:
        running.until(lambda: len(running.children()) >= 2, "the stand-ins' processes")
        children = running.children()
        running.signal()
        assert running.status(within_s=15) == 130
        assert running.out == []
        assert "Traceback" not in running.said
        assert psutil.wait_procs(children, timeout=15)[1] == []


def test_up_says_which_stand_in_has_died() -> None:
    with hydrant("up", "--json", env=plain()) as running:
        running.until_it_says("\n")
        children = running.children()
        (moto,) = [
            each
            for each in children
            if each.cmdline()[-2:] == ["-m", "infra.embedded.moto_server"] and not each.children()
        ]
        moto.kill()
        assert running.status(within_s=15) == 1
        assert running.err[-1].startswith("hydrant: moto (S3, Glue, Firehose) has ended")
        assert "Traceback" not in running.said
        assert psutil.wait_procs(children, timeout=15)[1] == []


def test_doctor_looks_at_everything_and_says_what_mends_it(up: Running, tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        port = silent.getsockname()[1]
    down = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    with (
        hydrant("doctor", "--json", env=plain(**exports(up))) as well,
        hydrant("doctor", "--json", env=plain(XDG_CACHE_HOME=str(tmp_path), **down)) as ill,
    ):
        assert well.status() == 0
        assert ill.status() == 1
    checks = {check["name"]: check for check in json.loads("".join(well.out))}
    assert all(check["ok"] for check in checks.values() if check["required"])
    assert exports(up)["AWS_ENDPOINT_URL"] in checks["AWS_ENDPOINT_URL"]["found"]
    missing = {check["name"]: check for check in json.loads("".join(ill.out)) if not check["ok"]}
    assert missing["Prism, the runner"]["required"]
    assert "make setup" in missing["Prism, the runner"]["fix"]
    assert "hydrant up" in missing["AWS_ENDPOINT_URL"]["fix"]


def test_doctor_prints_a_table_for_people() -> None:
    with hydrant("doctor", env=plain()) as running:
        assert running.status() == 0
    assert "Prism" in running.said


def test_list_names_the_scenarios_for_people_and_in_json() -> None:
    with hydrant("list", env=plain()) as people, hydrant("list", "--json", env=plain()) as programs:
        assert people.status() == 0
        assert programs.status() == 0
    assert "flights" in people.said
    found = [scenario["name"] for scenario in json.loads("".join(programs.out))]
    assert found == sorted(path.parent.name for path in SCENARIO.parent.glob("*/scenario.py"))


def test_tail_goes_on_until_ctrl_c_and_ends_quietly_when_its_reader_does(up: Running) -> None:
    env = plain(**exports(up))
    subprocess.run([sys.executable, "-c", PUT], env=env, timeout=60, check=True)
    with hydrant("tail", "flights", "--from", "TRIM_HORIZON", env=env) as running:
        running.until_it_says("one")
        running.signal()
        assert running.status(within_s=15) == 130
        assert running.err == ["hydrant: stopped.\n"]
    endless = f"{shlex.quote(str(HYDRANT))} tail flights --from TRIM_HORIZON"
    piped = subprocess.run(
        ["sh", "-c", f"{endless} | head -n 1"], capture_output=True, text=True, env=env, timeout=60, check=False
    )
    assert len(piped.stdout.splitlines()) == 1
    assert piped.stderr == ""


KEYS = {"AWS_ACCESS_KEY_ID": "some", "AWS_SECRET_ACCESS_KEY": "thing"}
REGION = {"AWS_REGION": "us-east-1"}
DOWN = {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
UP = {"what": "the export lines say"}

MISTAKES: dict[str, tuple[tuple[str, ...], dict[str, str], tuple[str, ...]]] = {
    "no scenario": (("run", "no-such"), {}, ("no-such", "there are: cloudwatch, flights", " Fix: ")),
    "no scenario to put up": (("up", "no-such"), {}, ("no-such", "there are: cloudwatch, flights", " Fix: ")),
    "no target": (("run", "flights", "--target", "moon"), {}, ("moon", "embedded", " Fix: ")),
    "no number of records": (("run", "flights", "--records", "some"), {}, ("--records", "all", "some")),
    "no records": (("run", "flights", "--records", "0"), {}, ("--records", "all", "0")),
    "no stream": (("tail", "no-such"), UP, ("no-such", "does not exist", " Fix: ")),
    "no table": (("query", "SELECT * FROM no_such"), UP, ("no_such", "does not exist", " Fix: ")),
    "no object": (("inspect", "s3://hydrant-flights/no-such"), UP, ("s3://hydrant-flights/no-such", " Fix: ")),
    "no delivery stream": (("deliver", "no-such"), UP, ("no-such", "does not exist", " Fix: ")),
    "no region": (("tail", "flights"), KEYS | DOWN, ("region", "AWS_REGION", " Fix: ")),
}
for command, arguments in {
    "tail": ("tail", "flights"),
    "query": ("query", "SELECT * FROM flights_db.flights"),
    "inspect": ("inspect", "s3://hydrant-flights/key"),
}.items():
    without, down = REGION | DOWN, REGION | KEYS | DOWN  # boto3 by itself would ask for AWS_DEFAULT_REGION
    MISTAKES[f"{command} without credentials"] = (arguments, without, ("credentials", "AWS_ACCESS_KEY_ID", " Fix: "))
    MISTAKES[f"{command} with nothing there"] = (arguments, down, ("127.0.0.1:1", "hydrant up", " Fix: "))


@pytest.fixture(scope="module")
def ended(up: Running) -> dict[str, Running]:
    commands = {name: arguments for name, (arguments, _, _) in MISTAKES.items()}
    env = {name: plain(**(exports(up) if env is UP else env)) for name, (_, env, _) in MISTAKES.items()}
    return all_ended(commands, env)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_said_in_one_sentence(ended: dict[str, Running], name: str) -> None:
    assert_one_sentence(ended[name], *MISTAKES[name][2])


@pytest.mark.parametrize(
    "arguments", [("no-such",), ("tail",), ("tail", "flights", "--from", "YESTERDAY"), ("list", "--no-such")]
)
def test_what_is_asked_for_wrongly_ends_with_2_and_names_the_help(arguments: tuple[str, ...]) -> None:
    with hydrant(*arguments, env=plain()) as running:
        assert running.status() == 2
    assert "--help" in running.said
    assert "Traceback" not in running.said
