"""Pipeline options: only what neither Beam nor the AWS SDK has a name for."""

from collections.abc import Sequence
from typing import Any, Final

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.runtime.errors import ConfigurationError

PRISM: Final = "prism"

PRISM_OPTIONS: Final = (
    "--runner=PrismRunner",
    "--environment_type=LOOPBACK",  # DoFns run in this process: a debugger stops in them
    "--experiments=prism_disable_sdf_split",  # else Prism loses state, see docs/decisions/0004
    "--job_server_timeout=60",
)


class HydrantOptions(PipelineOptions):
    """Options of a hydrant pipeline. AWS settings are the AWS SDK's environment variables, not options."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument(
            "--start_timeout_s", type=float, default=60.0, help="Seconds that the runner may take to start."
        )

    @classmethod
    def for_runner(cls, runner: str, more: Sequence[str] = ()) -> "HydrantOptions":
        """The options that make a pipeline run right on `runner`.

        Args:
            runner: "prism".
            more: further Beam options, e.g. ["--prism_location=..."].

        Raises:
            ConfigurationError: a runner that this project does not run on.
        """
        if runner != PRISM:
            message = f"The runner {runner!r} is not supported."
            raise ConfigurationError(message, fix="use --runner prism")
        return cls([*PRISM_OPTIONS, *more])
