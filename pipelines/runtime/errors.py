"""The exception tree. Every error a user can meet is one of these and names the next command to run.

HydrantError
├── TransientError            trying again can help
│   ├── ThrottledError        a service limit was hit (ProvisionedThroughputExceeded, SlowDown, 429)
│   ├── EndpointDownError     nothing answers at the endpoint, or it broke off
│   ├── ServiceFaultError     the service answered with a fault of its own (5xx)
│   ├── ExpiredIteratorError  a Kinesis shard iterator is older than 5 minutes (B7)
│   └── ExpiredNextTokenError a page of ListShards was asked for more than 5 minutes after the one before it
└── TerminalError             trying again gives the same
    ├── ConfigurationError    a request AWS would refuse, with AWS's message
    ├── NotFoundError         a stream, bucket, table, function or scenario that does not exist
    ├── CredentialsError      no credentials, or AWS refuses them
    ├── InvalidDataError      stored data that cannot be read as what it should be
    ├── RunnerError           the runner is missing, died, or the pipeline failed on it
    └── AccountError          put != delivered + dropped + failed + late, or the answers differ
"""


class HydrantError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: one sentence that says what is wrong.
        fix: the command or change that mends it; empty when there is none.
    """

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message, fix)  # both, so that pickle and Beam can make the same error again
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        # AWS's own messages end with a full stop or without one.
        message = self.message if self.message.endswith((".", "!", "?")) else f"{self.message}."
        return f"{message} Fix: {self.fix}" if self.fix else message


class TransientError(HydrantError):
    """Trying again can help."""


class ThrottledError(TransientError):
    """A service limit was hit."""


class EndpointDownError(TransientError):
    """Nothing answers at the endpoint, or the connection broke off."""


class ServiceFaultError(TransientError):
    """The service answered with a fault of its own (HTTP 5xx)."""


class ExpiredIteratorError(TransientError):
    """A Kinesis shard iterator is older than 5 minutes (B7)."""


class ExpiredNextTokenError(TransientError):
    """A page of ListShards was asked for more than 5 minutes after the one before it."""


class TerminalError(HydrantError):
    """Trying again gives the same result."""


class ConfigurationError(TerminalError):
    """A request that AWS would refuse; the message is AWS's."""


class NotFoundError(TerminalError):
    """A named thing that does not exist."""


class CredentialsError(TerminalError):
    """No credentials, or AWS refuses them."""


class InvalidDataError(TerminalError):
    """Stored data that cannot be read as what it should be."""


class RunnerError(TerminalError):
    """The runner is missing, died, or the pipeline failed on it."""


class AccountError(TerminalError):
    """The records do not add up, or an answer differs from the expected one."""
