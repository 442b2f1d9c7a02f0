"""The options of every command that runs a pipeline: which runner, and which Prism."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # Beam comes with it
    from pipelines.runtime.options import HydrantOptions

Runner = Annotated[str, typer.Option(help="The Beam runner.")]
PrismLocation = Annotated[
    str | None, typer.Option("--prism_location", help="A Prism binary to run in place of the one in the cache.")
]

CloudWatch = Annotated[
    bool,
    typer.Option(
        "--cloudwatch",
        envvar="HYDRANT_CLOUDWATCH",
        help="Publish Firehose's metrics of the delivery stream to CloudWatch, namespace Hydrant/Firehose.",
    ),
]


def runner_options(runner: str, prism_location: str | None, *, cloudwatch: bool = False) -> "HydrantOptions":
    """The pipeline options that these ask for.

    Raises:
        ConfigurationError: a runner that this project does not run on.
    """
    from pipelines.runtime.options import HydrantOptions

    more = [f"--prism_location={prism_location}"] if prism_location else []
    return HydrantOptions.for_runner(runner, [*more, "--cloudwatch"] if cloudwatch else more)
