"""`python -m pipelines.cli`: the `hydrant` command, as a debugger starts it."""

from pipelines.cli.main import run

run()
