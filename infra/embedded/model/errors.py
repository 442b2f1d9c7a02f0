"""AWS's errors, as the model answers with them."""


class KinesisError(Exception):
    """An error answer of Kinesis.

    Args:
        code: AWS's error code, e.g. "ResourceNotFoundException".
        message: AWS's message.
        status: HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status


def invalid(message: str) -> KinesisError:
    """An argument that fits its shape and makes no sense."""
    return KinesisError("InvalidArgumentException", message)


def malformed(message: str) -> KinesisError:
    """An argument that does not fit its shape."""
    return KinesisError("ValidationException", message)


def garbled(message: str) -> KinesisError:
    """A request that cannot be read."""
    return KinesisError("SerializationException", message)


def not_found(message: str) -> KinesisError:
    """A stream, shard or consumer that does not exist, or does not exist yet."""
    return KinesisError("ResourceNotFoundException", message)


def in_use(message: str) -> KinesisError:
    """A stream or shard in a state that does not allow the operation."""
    return KinesisError("ResourceInUseException", message)


def limit(message: str) -> KinesisError:
    """More than an account or a stream may have."""
    return KinesisError("LimitExceededException", message)


def throttled(message: str) -> KinesisError:
    """More than a shard takes or gives in a second (B6)."""
    return KinesisError("ProvisionedThroughputExceededException", message)
