"""Bad records, bad functions: each failure is an error object of AWS's shape, and its neighbours are delivered."""

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from deliveries import COLUMNS, declare, fed, found, transform
from stand_ins import Aws, Run

from pipelines.kinesis import StopFile

EVENTS = Path(__file__).parents[1] / "events"
MIB = 1024 * 1024

MALFORMED = "DataFormatConversion.MalformedData"
BAD_RECORDS = {
    b"": (MALFORMED, "The record was empty or contained only whitespace."),
    b"  \n": (MALFORMED, "The record was empty or contained only whitespace."),
    b'{"n": 2, "word": "\xff\xfe"}\n': (MALFORMED, "Encountered invalid characters."),
    b'[{"n": 3}]\n': (MALFORMED, "Data does not match the schema."),
    b'"n"\n': (MALFORMED, "Data does not match the schema."),
    b'{"n": 4, "word":\n': ("DataFormatConversion.ParseError", "Encountered malformed JSON."),
    b"carrier,flight\n": ("DataFormatConversion.ParseError", "Encountered malformed JSON."),
    b'{"n": 5, "size": "oops"}\n': (MALFORMED, 'Data does not match the schema. For input string: "oops"'),
    b'{"n": 6, "size": 2147483648}\n': (MALFORMED, "Data does not match the schema."),
    b'{"n": 7, "size": {"of": 1}}\n': (MALFORMED, "One or more fields have incorrect format."),
}
"""AWS's code, and how its message begins (A5.12)."""


def lines(result: Any) -> list[dict[str, Any]]:
    """The error objects' lines as they are written."""
    return [json.loads(line) for each in result.errors for line in each.body.splitlines()]


def test_a5_10_a_bad_record_fails_alone_with_awss_code_in_awss_shape(aws: Aws, run: Run, tmp_path: Path) -> None:
    """Many good records take the fast path of the converter with the bad ones among them."""
    declared = declare(aws, columns=COLUMNS, backup="UNCOMPRESSED")
    good = [json.dumps({"n": n, "word": "good"}).encode() + b"\n" for n in range(100, 200)]
    other_case = b'{"N": 201, "Word": "upper", "SIZE": 7}\n'
    one_mib = b'{"n": 202, "word": "%s"}\n' % (b"w" * (MIB - len("key-61") - 23))
    declared.put([*good[:50], *BAD_RECORDS, other_case, one_mib, *good[50:]])
    with pytest.raises(ClientError, match="1048577 bytes"):  # it was as much as AWS takes (B1)
        aws.kinesis.client.put_record(StreamName=declared.stream, Data=one_mib, PartitionKey="key-61+")
    stop = StopFile(f"{tmp_path}/stop.json")
    stop.write({shard_id: None for shard_id, *_ in declared.placed.values()})
    run(declared.job().pipeline("TRIM_HORIZON", stop, ledger=tmp_path))
    result = found(declared, tmp_path)
    assert result.delivered == {declared.placed[data] for data in [*good, one_mib, other_case]}
    assert {failure["rawData"] for failure in result.failures} == set(BAD_RECORDS)
    for failure in result.failures:
        code, message = BAD_RECORDS[failure["rawData"]]
        assert (failure["lastErrorCode"], failure["lastErrorMessage"][: len(message)]) == (code, message)
    example = json.loads((EVENTS / "firehose_format_conversion_failed.json").read_text())
    for line in lines(result):
        assert line.keys() == example.keys()
        assert line["dataCatalogTable"].keys() == example["dataCatalogTable"].keys()
        assert {name: type(value) for name, value in line.items()} == {n: type(v) for n, v in example.items()}


FUNCTION_ERROR = "Lambda.FunctionError"
OF_THE_BATCH = {
    "raise": (FUNCTION_ERROR, 2),
    "no JSON": (FUNCTION_ERROR, 2),
    "no object": ("Lambda.JsonProcessingException", 1),
    "records that are none": ("Lambda.JsonProcessingException", 1),
    "no records": ("Lambda.MissingRecordId", 1),
    "unknown result": (FUNCTION_ERROR, 1),
    "no base64": (FUNCTION_ERROR, 1),
}
"""What a function does -> the code of the whole batch, and the invocations made (A4.8, A4.10 to A4.12)."""
OF_ONE_RECORD = {
    "no data": "Lambda.InvalidReturnFormat",
    "no id": "Lambda.MissingRecordId",
    "forgotten": "Lambda.MissingRecordId",
    "twice": "Lambda.DuplicatedRecordId",
}
"""What a function does with one record -> that record's code; the others of its batch are delivered (A4.9, X18)."""
GOOD = ("nothing wrong", "stranger")


def test_a4_a_function_that_raises_or_returns_nonsense_fails_what_it_answered_so(
    aws: Aws, run: Run, tmp_path: Path
) -> None:
    """Each misbehaviour has a shard, hence a batch, of its own."""
    declared = declare(
        aws, backup="GZIP", ProcessingConfiguration=transform(NumberOfRetries="1"), Prefix="data/",
        ErrorOutputPrefix="errors/",
    )  # fmt: skip
    records = {
        do: [json.dumps({"n": 10 * number + n, "do": do}).encode() + b"\n" for n in range(3)]
        for number, do in enumerate([*OF_THE_BATCH, *OF_ONE_RECORD, *GOOD])
    }
    too_large = json.dumps({"n": 999, "word": "w" * 5 * MIB}).encode() + b"\n"  # more than 6 MiB as base64 (A4.5)
    records["large"] = [b'{"n": 998}\n', too_large, b'{"n": 1000}\n']
    run(fed(declared.job("spoiled"), declared.pages([[page] for page in records.values()]), tmp_path))
    result = found(declared, tmp_path)
    expected = {data: code for do, (code, _) in OF_THE_BATCH.items() for data in records[do]}
    expected |= {records[do][0]: code for do, code in OF_ONE_RECORD.items()}
    expected[too_large] = FUNCTION_ERROR
    assert result.codes == expected
    attempts = {failure["rawData"]: failure["attemptsMade"] for failure in result.failures}
    assert {do: attempts[records[do][0]] for do in OF_THE_BATCH} == {do: n for do, (_, n) in OF_THE_BATCH.items()}
    example = json.loads((EVENTS / "firehose_processing_failed.json").read_text())
    for line in lines(result):
        assert line.keys() == example.keys()
        assert {name: type(value) for name, value in line.items()} == {n: type(v) for n, v in example.items()}
