"""`hydrant run --cloudwatch`: what the metrics say is what the account says, read back from CloudWatch itself (A9)."""

import json
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from hydrant_command import Running, hydrant

NAMESPACE = "Hydrant/Firehose"


def exports(run: Running) -> dict[str, str]:
    lines = [line.removeprefix("export ").strip() for line in run.said.splitlines() if line.startswith("export ")]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("scenario", ["flights"])
def test_a9_the_metrics_on_cloudwatch_are_what_the_account_says(scenario: str) -> None:
    begun = datetime.now(UTC)
    with hydrant("run", scenario, "--records", "3000", "--json", "--keep", "--cloudwatch") as run:
        run.until_it_says("left running until Ctrl-C")
        report = json.loads("".join(run.out))["deliveries"][scenario]
        env = exports(run)
        session = boto3.session.Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
        cloudwatch = session.client("cloudwatch", region_name=env["AWS_REGION"], endpoint_url=env["AWS_ENDPOINT_URL"])
        listed = cloudwatch.list_metrics(Namespace=NAMESPACE)["Metrics"]
        assert {tuple(pair.items()) for metric in listed for pair in metric["Dimensions"]} == {
            (("Name", "DeliveryStreamName"), ("Value", scenario))
        }
        sums = {
            metric["MetricName"]: sum(
                point["Sum"]
                for point in cloudwatch.get_metric_statistics(
                    Namespace=NAMESPACE,
                    MetricName=metric["MetricName"],
                    Dimensions=metric["Dimensions"],
                    StartTime=begun - timedelta(minutes=1),
                    EndTime=datetime.now(UTC) + timedelta(minutes=1),
                    Period=60,
                    Statistics=["Sum"],
                )["Datapoints"]
            )
            for metric in listed
        }
        run.signal(signal.SIGINT)
        assert run.status() == 0, run.said
    account, objects = report["account"], report["objects"]
    records: Counter[str] = Counter()
    for written in objects:
        records[written["kind"]] += written["records"]
    assert sums["IncomingRecords"] == sums["DataReadFromKinesisStream.Records"] == account["put"] == 3012
    assert sums["BackupToS3.Records"] == account["put"]
    assert sums["BackupToS3.Bytes"] == sums["IncomingBytes"]
    assert sums["DeliveryToS3.Records"] == account["delivered"] + account["failed"]
    backups = sum(written["kind"] == "backup" for written in objects)
    assert sums["DeliveryToS3.ObjectCount"] == sums["DeliveryToS3.Success"] == len(objects) - backups
    assert sums["SucceedProcessing.Records"] == account["delivered"] + records["format-conversion-failed"]
    assert sums["FailedConversion.Records"] == records["format-conversion-failed"] > 0
    assert sums["ExecuteProcessing.Success"] > 0
    assert 0 < sums["DeliveryToS3.DataFreshness"] < 60 * len(objects)


def test_without_it_nothing_is_published() -> None:
    with hydrant("run", "flights", "--records", "1000", "--json", "--keep") as run:
        run.until_it_says("left running until Ctrl-C")
        env = exports(run)
        session = boto3.session.Session(env["AWS_ACCESS_KEY_ID"], env["AWS_SECRET_ACCESS_KEY"])
        cloudwatch = session.client("cloudwatch", region_name=env["AWS_REGION"], endpoint_url=env["AWS_ENDPOINT_URL"])
        assert cloudwatch.list_metrics(Namespace=NAMESPACE)["Metrics"] == []
        run.signal()
        run.status()
