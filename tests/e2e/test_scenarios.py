"""The scenarios `weblogs` and `redelivery` by the command: they pass, and what is broken on purpose is found."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hydrant_command import plugin, run_json

BROKEN = '''
import gzip, json
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from infra.faults.function import FunctionFaults
from infra.faults.journal import Journal
from infra.faults.kinesis import KinesisFaults
from infra.faults.s3 import S3Faults
from infra.faults.schedule import Schedule
from pipelines.firehose.invoke import InProcessInvoker
from pipelines.kinesis import put
from pipelines.runtime.aws import client
from scenarios.redelivery import disturbance
from scenarios.redelivery.disturbance import Faults
from scenarios.redelivery.scenario import Redelivery
from scenarios.weblogs.scenario import Weblogs

def changed(written, change):
    """Writes the object again, with the same metadata, its text changed."""
    s3, place = client("s3"), {"Bucket": written.bucket, "Key": written.key}
    answer = s3.get_object(**place)
    packed = written.key.endswith(".gz")
    text = answer["Body"].read()
    text = change(gzip.decompress(text) if packed else text)
    s3.put_object(**place, Body=gzip.compress(text) if packed else text, Metadata=answer["Metadata"])

class LeaksAnAddress(Weblogs):
    name = "leaks-an-address"
    def invoker(self, function_arn):
        made = super().invoker(function_arn)
        return InProcessInvoker(Path(__file__).with_name("leaking.py"), "leaking.lambda_handler", function_arn, 60, 512,
                                environment=made.environment)

class LosesALine(Weblogs):
    """A line of the text is gone: the object is there, and its receipt too."""
    name = "loses-a-line"
    def verify(self, workload, deliveries, folder):
        written = next(each for each in deliveries["weblogs-text"].objects if each.kind == "data")
        changed(written, lambda text: text[text.index(b"\\n") + 1:])
        return super().verify(workload, deliveries, folder)

class SwapsABackup(Weblogs):
    """Two lines of the backup have changed places."""
    name = "swaps-a-backup"
    def verify(self, workload, deliveries, folder):
        written = next(each for each in deliveries["weblogs"].objects if each.kind == "backup")
        def swap(text):
            first, second, *rest = text.splitlines(keepends=True)
            return b"".join([second, first, *rest])
        changed(written, swap)
        return super().verify(workload, deliveries, folder)

class SaysOneAttempt(Redelivery):
    name = "says-one-attempt"
    def verify(self, workload, deliveries, folder):
        written = next(each for each in deliveries["redelivery"].objects if each.kind == "processing-failed")
        def once(text):
            lines = [json.loads(line) for line in text.splitlines()]
            lines[0]["attemptsMade"] = 17
            return b"".join(json.dumps(line).encode() + b"\\n" for line in lines)
        changed(written, once)
        return super().verify(workload, deliveries, folder)

class ForgetsARefusal(Redelivery):
    """A producer that does not put again what was refused, and says that it was taken."""
    name = "forgets-a-refusal"
    def workload(self, count, seed):
        class Forgetful:
            def __init__(self, kinesis):
                self.kinesis = kinesis
            def put_records(self, **request):
                answer = self.kinesis.put_records(**request)
                good = next((each for each in answer["Records"] if "SequenceNumber" in each), None)
                if good is not None:
                    answer["Records"] = [each if "SequenceNumber" in each else good for each in answer["Records"]]
                return answer
        from pipelines.cli import scenario_run
        real = put.put_records
        scenario_run.put_records = lambda kinesis, *rest: real(Forgetful(kinesis), *rest)
        return super().workload(count, seed)

class HidesAnAttempt(Redelivery):
    """An invoker that makes an attempt more than the journal knows the batch to be allowed."""
    name = "hides-an-attempt"
    def invoker(self, function_arn):
        return Twice(super().invoker(function_arn))

class Twice:
    def __init__(self, inner):
        self.inner = inner
    def invoke(self, payload):
        self.inner.invoke(payload)
        return self.inner.invoke(payload)

class FailsTooSeldom(Redelivery):
    """Nothing is spoiled, so all is well: which shows nothing."""
    name = "fails-too-seldom"
    @contextmanager
    def disturbed(self, workload, seed):
        calm = {name: Schedule(seed, name, {}, calm=1) for name in ("puts", "gets", "objects", "plans")}
        faults, journal = Faults.of(seed), Journal()
        self._faults = replace(
            faults, journal=journal, kinesis=KinesisFaults(calm["puts"], calm["gets"], journal, seed),
            s3=S3Faults(calm["objects"], journal), function=FunctionFaults(calm["plans"], {}, journal))
        with disturbance.in_force(self._faults):
            yield

SCENARIOS = [made() for made in (
    LeaksAnAddress, LosesALine, SwapsABackup, SaysOneAttempt, ForgetsARefusal, HidesAnAttempt, FailsTooSeldom)]
leaks, loses, swaps, says, forgets, hides, seldom = SCENARIOS
'''

LEAKING = """
import base64, json, re
from scenarios.weblogs.handler import lambda_handler as redacting

def lambda_handler(event, context):
    answer = redacting(event, context)
    for sent, record in zip(event["records"], answer["records"]):
        line = base64.b64decode(sent["data"]).decode()
        if record["result"] == "Ok" and "/presentations/" in line:
            hit = json.loads(base64.b64decode(record["data"]))
            hit["path"] += "?from=" + line.split()[0]
            record["data"] = base64.b64encode(json.dumps(hit).encode() + b"\\n").decode()
    return answer
"""


ENDPOINT = """
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from infra.embedded.target import EmbeddedTarget
from infra.environment import environment
from scenarios.redelivery.handler import lambda_handler

class Lambda(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps(lambda_handler(event, None)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
    def log_message(self, *args):
        pass

class LambdaIsAnEndpoint(EmbeddedTarget):
    name = "lambda-endpoint"
    runs_handlers_in_process = False
    @contextmanager
    def started(self):
        server = ThreadingHTTPServer(("127.0.0.1", 0), Lambda)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with super().started():
            with environment({"AWS_ENDPOINT_URL_LAMBDA": f"http://127.0.0.1:{server.server_port}"}):
                yield self
        server.shutdown()
"""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with scenarios that go wrong and a target, found as installed ones are."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / "leaking.py").write_text(LEAKING)
    (folder / "lambda_endpoint.py").write_text(ENDPOINT)
    names = {
        "leaks-an-address": "leaks", "loses-a-line": "loses", "swaps-a-backup": "swaps",
        "says-one-attempt": "says", "forgets-a-refusal": "forgets", "hides-an-attempt": "hides",
        "fails-too-seldom": "seldom",
    }  # fmt: skip
    return plugin(
        folder,
        "broken_scenarios",
        BROKEN,
        scenarios={name: f"broken_scenarios:{attribute}" for name, attribute in names.items()},
        targets={"lambda-endpoint": "lambda_endpoint:LambdaIsAnEndpoint"},
    )


def accounts(document: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {name: delivery["account"] for name, delivery in document["deliveries"].items()}


def journal(document: dict[str, Any]) -> list[dict[str, Any]]:
    text = Path(document["folder"], "observed", "faults.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_weblogs_gives_the_same_from_both_delivery_streams() -> None:
    status, document, said = run_json("weblogs")
    assert (status, document["problems"]) == (0, []), said
    of_both = {"put": 10_000, "delivered": 8_602, "dropped": 1_397, "failed": 1, "late": 0, "buffered": 0}
    expected = of_both | {"lost": 0, "doubled": 0}
    assert accounts(document) == {"weblogs": expected, "weblogs-text": expected}
    kinds = {name: {each["kind"] for each in found["objects"]} for name, found in document["deliveries"].items()}
    assert kinds["weblogs"] == {"data", "backup", "processing-failed"}
    assert kinds["weblogs-text"] == {"data", "processing-failed"}
    assert document["query"]["equal"] is True
    assert sum(row["hits"] for row in document["query"]["ours"]) == 8_602


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_redelivery_adds_up_whatever_the_order_of_the_faults(seed: str) -> None:
    status, document, said = run_json("redelivery", "--seed", seed)
    assert (status, document["problems"]) == (0, []), said
    (account,) = accounts(document).values()
    assert account["put"] == 20_080 == account["delivered"] + account["dropped"] + account["failed"]
    noted = journal(document)
    injected = Counter((line["operation"], line["fault"]) for line in noted if line["fault"])
    assert injected == {(each["operation"], each["kind"]): each["injected"] for each in document["query"]["faults"]}
    # Metrics know of the function's retries; Prism may lose a first report, and never invents one.
    repeated = sum(line["operation"] == "Invoke" and line["number"] > 1 for line in noted)
    last = json.loads(Path(document["folder"], "run.json").read_text())["samples"][-1]["stages"]
    assert 0 < last["transform"]["retries"] <= repeated


def test_where_lambda_is_an_endpoint_the_proxy_fails_its_calls(broken: Path) -> None:
    status, document, said = run_json("redelivery", "--target", "lambda-endpoint", python_path=broken)
    assert (status, document["problems"]) == (0, []), said
    invoked = {each["kind"]: each["injected"] for each in document["query"]["faults"] if each["operation"] == "Invoke"}
    assert min(invoked.values()) > 0


@pytest.mark.parametrize(
    ("scenario", "records", "said"),
    [
        ("leaks-an-address", "2000", "addresses of the log stand in what was delivered"),
        ("loses-a-line", "2000", "the text and the table: 1 rows are missing"),
        ("swaps-a-backup", "2000", "in the order of sequence numbers"),
        ("says-one-attempt", "4000", "'Lambda."),
        ("forgets-a-refusal", "4000", "of the records put"),
        ("hides-an-attempt", "4000", "was sent again after an answer"),
        ("fails-too-seldom", "20000", "only 0 calls of PutObject were reset-after, 1 are needed to show anything"),
    ],
)
def test_what_is_broken_on_purpose_is_found(broken: Path, scenario: str, records: str, said: str) -> None:
    status, document, told = run_json(scenario, "--records", records, python_path=broken)
    assert status == 1
    assert document["passed"] is False
    assert [problem for problem in document["problems"] if said in problem], (document["problems"], told)
