"""The options of every command that runs a pipeline: which runner, and which Prism."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # Beam comes with it
    from pipelines.runtime.options import HydrantOptions

Runner = Annotated[str, typer.Option(help="The Beam runner.")]
PrismLocation = Annotated[
    str | None, typer.Option("--prism_location", help="A Prism binary to run in place of the one in the cache.")
]


def runner_options(runner: str, prism_location: str | None) -> "HydrantOptions":
    """The pipeline options that these ask for.

    Raises:
        ConfigurationError: a runner that this project does not run on.
    """
    from pipelines.runtime.options import HydrantOptions

    return HydrantOptions.for_runner(runner, [f"--prism_location={prism_location}"] if prism_location else [])
