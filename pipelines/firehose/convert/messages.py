"""What is wrong with a record, in AWS's codes and words (A5.12, A5.13)."""

from typing import Final

PARSE_ERROR: Final = "DataFormatConversion.ParseError"
MALFORMED_DATA: Final = "DataFormatConversion.MalformedData"


class BadRecordError(Exception):
    """One record cannot be converted. It becomes a failure record and never leaves the room as an exception.

    Attributes:
        code: `DataFormatConversion.ParseError` or `.MalformedData`.
        message: AWS's sentence.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


def malformed_json(detail: str) -> BadRecordError:
    """The text is not JSON."""
    return BadRecordError(PARSE_ERROR, f"Encountered malformed JSON. {detail}")


def empty_record() -> BadRecordError:
    """Nothing but whitespace."""
    return BadRecordError(MALFORMED_DATA, "The record was empty or contained only whitespace.")


def invalid_characters() -> BadRecordError:
    """The bytes are not UTF-8."""
    return BadRecordError(MALFORMED_DATA, "Encountered invalid characters.")


def highly_nested() -> BadRecordError:
    """Objects and arrays within each other, too deep."""
    message = "Data contains a highly nested JSON structure that is not supported."
    return BadRecordError(MALFORMED_DATA, message)


def mismatch(detail: str) -> BadRecordError:
    """A value that its column cannot take."""
    return BadRecordError(MALFORMED_DATA, f"Data does not match the schema. {detail}")


def bad_input(text: str) -> BadRecordError:
    """A number or boolean that does not parse or is out of range; the cause reads as Java's NumberFormatException."""
    return mismatch(f'For input string: "{text}"')


def bad_timestamp(text: str) -> BadRecordError:
    """A value that none of the timestamp forms matches (A5.5), or that nanoseconds since 1970 cannot hold."""
    message = f'Encountered invalid or unsupported timestamp format. For input string: "{text}"'
    return BadRecordError(MALFORMED_DATA, message)


def bad_date() -> BadRecordError:
    """A value that is no calendar date."""
    return mismatch("Invalid format for one or more dates.")


def not_numeric() -> BadRecordError:
    """Hive's deserializer: a string where the schema has a number."""
    return mismatch("Current token (VALUE_STRING) not numeric, can not use numeric value accessors")


def array_expected() -> BadRecordError:
    """Hive's deserializer: something else where the schema has an array."""
    return mismatch("java.io.IOException: Start of Array expected")


def object_expected() -> BadRecordError:
    """Hive's deserializer: something else where the schema has a struct or a map."""
    return mismatch("java.io.IOException: Start of Object expected")


def not_a_json_object(kind: str) -> BadRecordError:
    """A document that is an "array" or a "scalar" (A5.3)."""
    return mismatch(f"A record must hold JSON objects, not a JSON {kind}.")


def not_an_object(value: object) -> BadRecordError:
    """A scalar where the schema has a struct; the doubled space is AWS's."""
    return mismatch(f"Data is not JSONObject  but {_java_type(value)} with value {_text(value)}")


def scalar_for_complex() -> BadRecordError:
    """A scalar where the schema has a map."""
    message = "A scalar type was found in the data but a complex type was specified on the schema."
    return BadRecordError(MALFORMED_DATA, message)


def incorrect_format() -> BadRecordError:
    """A nested value where the schema has a scalar."""
    return BadRecordError(MALFORMED_DATA, "One or more fields have incorrect format.")


def _java_type(value: object) -> str:
    names = {bool: "java.lang.Boolean", int: "java.lang.Long", str: "java.lang.String"}
    return names.get(type(value), "java.lang.Double")


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
