"""The scenario `flights` many times over: nothing may be lost or doubled in any run. `make soak`, about 15 minutes.

Twenty runs with other seeds, then five of all flights whose flushes sleep on purpose: a flush that takes longer than
its buffer takes to fill again is when a runner that loses state would show it (docs/decisions/0004).
"""

import json
import random
import subprocess
import sys
import time
from typing import Any

SEEDS = range(2, 22)
SLOW_RUNS = 5


def slowly(arguments: list[str]) -> None:
    """The command `hydrant`, with each object written up to three seconds late and each batch up to half a second."""
    from pipelines.cli.main import run
    from pipelines.firehose.deliver import ObjectWriter
    from pipelines.firehose.transform import LambdaProcessor

    write, process = ObjectWriter.write, LambdaProcessor.process

    def write_late(self: ObjectWriter, sealed: Any) -> Any:
        time.sleep(random.uniform(0.5, 3))
        return write(self, sealed)

    def process_late(self: LambdaProcessor, page: Any) -> Any:
        time.sleep(random.uniform(0, 0.5))
        return process(self, page)

    ObjectWriter.write = write_late  # type: ignore[method-assign]
    LambdaProcessor.process = process_late  # type: ignore[method-assign]
    sys.argv = ["hydrant", *arguments]
    run()


def one(what: str, command: list[str]) -> bool:
    """Runs `command`, says what came of it in a line, and whether all is well."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        report = json.loads(ended.stdout)
    except json.JSONDecodeError:
        last = ended.stderr.strip().splitlines()[-1:] or ["no output"]
        sys.stdout.write(f"{what}: status {ended.returncode}: {last[0]}\n")
        return False
    account, objects = (report["deliveries"]["flights"][what] for what in ("account", "objects"))
    counts = ", ".join(f"{count} {name}" for name, count in account.items())
    sys.stdout.write(
        f"{what}: status {ended.returncode}, {counts}, answers equal: {report['query']['equal']}, "
        f"{len(objects)} objects, {report['seconds']} s, first after {report['first_object_seconds']} s\n"
    )
    sys.stdout.flush()
    return ended.returncode == 0 and report["passed"] and account["lost"] == account["doubled"] == 0


def main() -> int:
    """All runs; 1 when one of them is not as it should be."""
    hydrant = [sys.executable, "-m", "pipelines.cli", "run", "flights", "--json"]
    passed = [one(f"seed {seed}", [*hydrant, "--seed", str(seed)]) for seed in SEEDS]
    slow = [sys.executable, __file__, "run", "flights", "--json", "--records", "all"]
    passed += [one(f"all, slow {n}", [*slow, "--seed", str(n)]) for n in range(1, SLOW_RUNS + 1)]
    sys.stdout.write(f"{sum(passed)} of {len(passed)} runs are as they should be\n")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        slowly(sys.argv[1:])
    else:
        sys.exit(main())
