"""The embedded default: stand-ins on loopback, in processes of their own."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipelines.runtime.processes import Child, module

REGION = "us-east-1"
_DROPPED = (
    "AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL_GLUE", "AWS_ENDPOINT_URL_FIREHOSE", "AWS_ENDPOINT_URL_LAMBDA",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
)  # fmt: skip


class EmbeddedTarget:
    """moto for S3, Glue and Firehose's control plane; our own model for Kinesis. Needs no Docker.

    Implements `pipelines.cli.plugins.Target`.
    """

    name = "embedded"
    runs_handlers_in_process = True

    def __init__(self) -> None:
        self.children: Sequence[Child] = ()
        self.env: dict[str, str] = {}

    @contextmanager
    def started(self) -> Iterator["EmbeddedTarget"]:
        """Starts both, sets our environment to them, and ends both at the end."""
        before = dict(os.environ)
        for name in _DROPPED:
            os.environ.pop(name, None)
        moto = Child("moto (S3, Glue, Firehose)", module("infra.embedded.moto_server"))
        kinesis = Child("the embedded Kinesis", module("infra.embedded.kinesis_server", "--port", "0"))
        self.children = (moto, kinesis)
        try:
            self.env = {
                "AWS_ENDPOINT_URL": moto.ready()["endpoint"],
                "AWS_ENDPOINT_URL_KINESIS": kinesis.ready()["endpoint"],
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ACCESS_KEY_ID": "embedded",
                "AWS_SECRET_ACCESS_KEY": "embedded",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
            os.environ.update(self.env)
            yield self
        finally:
            for child in self.children:
                child.stop()
            os.environ.clear()
            os.environ.update(before)
