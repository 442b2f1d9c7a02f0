"""Logs: one JSON object a line on standard error, and silence by default."""

import json
import logging
import sys
import warnings


class JsonFormatter(logging.Formatter):
    """A record as `{"time", "level", "logger", "message"}`, with the traceback when there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def set_up(*, verbose: bool) -> None:
    """Our own warnings and errors always; everything else, and everybody else's, with `verbose`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if verbose else logging.CRITICAL)
    logging.getLogger("pipelines").setLevel(logging.INFO if verbose else logging.WARNING)
    if not verbose:
        warnings.simplefilter("ignore")
