"""Pipeline options: only what neither Beam nor the AWS SDK has a name for."""

from collections.abc import Sequence
from typing import Any, Final

from apache_beam.options.pipeline_options import PipelineOptions

from pipelines.runtime.errors import ConfigurationError

PRISM: Final = "prism"

TEN_YEARS_S: Final = 10 * 365 * 24 * 3600

PRISM_OPTIONS: Final = (
    "--runner=PrismRunner",
    "--environment_type=LOOPBACK",  # DoFns run in this process: a debugger stops in them
    "--experiments=prism_disable_sdf_split",  # else Prism loses state, see docs/decisions/0004
    # Beam gives it to the streams that tell the job's state, too: a job that runs longer would end with
    # DEADLINE_EXCEEDED. Ours run until they are stopped; a Prism that dies is noticed otherwise.
    f"--job_server_timeout={TEN_YEARS_S}",
)


class HydrantOptions(PipelineOptions):
    """Options of a hydrant pipeline. AWS settings are the AWS SDK's environment variables, not options."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        parser.add_argument(
            "--start_timeout_s", type=float, default=60.0, help="Seconds that the runner may take to start."
        )
        parser.add_argument("--cloudwatch", action="store_true", help="Publish metrics to CloudWatch.")

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
