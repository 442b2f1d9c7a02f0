"""The embedded default: stand-ins on loopback, in processes of their own."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from infra.environment import environment
from pipelines.runtime.processes import Child, module

REGION = "us-east-1"


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
        """Starts both, sets our environment to them and nothing else of AWS, and ends both at the end.

        Raises:
            RunnerError: one of them does not start.
        """
        with ExitStack() as stack:
            stack.enter_context(environment({}, without=[name for name in os.environ if name.startswith("AWS_")]))
            moto = Child("moto (S3, Glue, Firehose)", module("infra.embedded.moto_server"))
            stack.callback(moto.stop)
            kinesis = Child("the embedded Kinesis", module("infra.embedded.kinesis_server", "--port", "0"))
            stack.callback(kinesis.stop)
            self.children = (moto, kinesis)
            self.env = {
                "AWS_ENDPOINT_URL": moto.ready()["endpoint"],
                "AWS_ENDPOINT_URL_KINESIS": kinesis.ready()["endpoint"],
                "AWS_REGION": REGION,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_ACCESS_KEY_ID": "embedded",
                "AWS_SECRET_ACCESS_KEY": "embedded",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
            stack.enter_context(environment(self.env))
            yield self
