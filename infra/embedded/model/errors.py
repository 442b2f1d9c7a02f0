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
    return KinesisError("InvalidArgumentException", message)


def malformed(message: str) -> KinesisError:
    return KinesisError("ValidationException", message)


def not_found(message: str) -> KinesisError:
    return KinesisError("ResourceNotFoundException", message)


def in_use(message: str) -> KinesisError:
    return KinesisError("ResourceInUseException", message)


def limit(message: str) -> KinesisError:
    return KinesisError("LimitExceededException", message)


def throttled(message: str) -> KinesisError:
    return KinesisError("ProvisionedThroughputExceededException", message)
