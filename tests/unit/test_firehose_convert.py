"""Record format conversion by its rows (A5.3 to A5.13, X7, X8), each case on the fast and on the slow path."""

import json
from datetime import date
from decimal import Decimal

import pyarrow as pa
import pytest

from pipelines.firehose.config import HiveJsonSerDe, OpenXJsonSerDe
from pipelines.firehose.convert import ConversionFailure, RecordConverter
from pipelines.firehose.convert.slow import SlowReader
from pipelines.firehose.schema import table_schema
from pipelines.kinesis.page import make_page
from pipelines.runtime.errors import ConfigurationError

MALFORMED = "DataFormatConversion.MalformedData"
PARSE = "DataFormatConversion.ParseError"
NOT_NUMERIC = (
    "Data does not match the schema. Current token (VALUE_STRING) not numeric, can not use numeric value accessors"
)
NOT_OBJECTS = "Data does not match the schema. A record must hold JSON objects, not a JSON "
NESTED = "Data contains a highly nested JSON structure that is not supported."
BAD_TIMESTAMP = "Encountered invalid or unsupported timestamp format. For input string: "
OPENX, HIVE = OpenXJsonSerDe(), HiveJsonSerDe()
FILLERS = 100
"""Records around the one in question: enough for the fast path to be tried, and they must not be harmed."""


def schema_of(**types):
    columns = [{"Name": name, "Type": text} for name, text in types.items()]
    return table_schema({"Name": "t", "StorageDescriptor": {"Columns": columns}})


def page_of(*records):
    data = [record if isinstance(record, bytes) else record.encode() for record in records]
    numbers = [str(n) for n in range(len(data))]
    return make_page("shardId-000000000000", data, ["k"] * len(data), numbers, [1_000 + n for n in range(len(data))])


def convert_one(schema, record, deserializer, *, filler=b"{}"):
    """What a record becomes, alone (slow path) and among others (fast path): its rows or its failure."""
    alone = RecordConverter(schema, deserializer).convert(page_of(record))
    among = RecordConverter(schema, deserializer).convert(page_of(*[filler] * FILLERS, record, *[filler] * FILLERS))
    alone_rows, among_rows = alone.rows.to_pylist(), among.rows.to_pylist()
    mine = [row for row in among_rows if row["hydrant:sequence_number"] == str(FILLERS)]
    assert len(among_rows) - len(mine) == 2 * FILLERS  # A5.10: the neighbours are converted
    assert [(f.row - FILLERS, f.code, f.message) for f in among.failures] == [
        (f.row, f.code, f.message) for f in alone.failures
    ]
    names = schema.arrow.names
    assert [[row[name] for name in names] for row in mine] == [[row[name] for name in names] for row in alone_rows]
    if alone.failures:
        assert not alone_rows
        return alone.failures[0]
    return [row[names[0]] if len(names) == 1 else {name: row[name] for name in names} for row in alone_rows]


def value_of(text, json_value, deserializer=OPENX):
    """What a JSON value becomes in a column of the Hive type `text`."""
    result = convert_one(schema_of(c=text), f'{{"c":{json_value}}}', deserializer)
    return result if isinstance(result, ConversionFailure) else result[0]


def message_of(text, json_value, deserializer=OPENX):
    failure = value_of(text, json_value, deserializer)
    assert isinstance(failure, ConversionFailure), failure
    assert failure.code == MALFORMED
    return failure.message


def nanos(text):
    return pa.scalar(text).cast(pa.timestamp("ns")).as_py()


TYPED = [
    ("boolean", "true", True),
    ("boolean", '"FALSE"', False),
    ("tinyint", "-128", -128),
    ("smallint", "32767", 32767),
    ("int", "-2147483648", -(2**31)),
    ("int", '"12"', 12),
    ("int", '"+12"', 12),
    ("int", '" 007 "', 7),
    ("int", "-0", 0),
    ("bigint", "9223372036854775807", 2**63 - 1),
    ("bigint", '"-9223372036854775808"', -(2**63)),
    ("float", "0.1", 0.10000000149011612),
    ("double", "5", 5.0),
    ("double", '"1.5e3"', 1500.0),
    ("double", '".5"', 0.5),
    ("double", "1e-400", 0.0),
    ("string", '"t\\u00eate \\ud83d\\ude00"', "tête 😀"),
    ("string", "12", "12"),
    ("string", "1.50", "1.5"),
    ("string", "false", "false"),
    ("string", '{"B":[1,{"Cd":null}]}', '{"b":[1,{"cd":null}]}'),
    ("string", "[1, 2]", "[1,2]"),
    ("char(3)", '"tête"', "têt"),
    ("varchar(2)", '"😀😀😀"', "😀😀"),
    ("varchar(2)", '"a"', "a"),
    ("varchar(2)", "1234", "12"),
    ("binary", '"\\u00e9"', "é".encode()),
    ("date", '"2020-02-29"', date(2020, 2, 29)),
    ("date", '"2020-2-9"', date(2020, 2, 9)),
    ("decimal(10,2)", "1.5", Decimal("1.50")),
    ("decimal(10,2)", '"-1.005"', Decimal("-1.01")),
    ("decimal(10,2)", "1e3", Decimal("1000.00")),
    ("decimal(38,0)", "12345678901234567890123456789012345678", Decimal("12345678901234567890123456789012345678")),
    ("decimal(38,20)", "0.12345678901234567890", Decimal("0.12345678901234567890")),
    ("decimal", "2.5", Decimal(3)),
    ("array<int>", "[1,null,3]", [1, None, 3]),
    ("array<int>", "[]", []),
    ("struct<x:int,y:string>", '{"x":1,"z":2}', {"x": 1, "y": None}),
    ("struct<x:int>", "{}", {"x": None}),
    ("map<string,int>", '{"a":1,"b":null}', [("a", 1), ("b", None)]),
    ("map<int,double>", '{"1":2}', [(1, 2.0)]),
    ("array<struct<d:array<date>>>", '[{"d":["2020-01-01"]},null]', [{"d": [date(2020, 1, 1)]}, None]),
]


@pytest.mark.parametrize(("text", "json_value", "expected"), TYPED)
def test_a5_13_a_value_gets_its_columns_type(text, json_value, expected):
    assert value_of(text, json_value) == expected


@pytest.mark.parametrize("text", [text for text, _, _ in TYPED])
def test_a5_9_null_and_absent_are_null(text):
    assert value_of(text, "null") is None
    assert convert_one(schema_of(c=text), "{}", OPENX) == [None]


BAD_VALUES = [
    ("int", '"oops"', 'Data does not match the schema. For input string: "oops"'),
    ("int", "1.5", 'Data does not match the schema. For input string: "1.5"'),
    ("int", "1.0", 'Data does not match the schema. For input string: "1.0"'),
    ("int", "2147483648", 'Data does not match the schema. For input string: "2147483648"'),
    ("tinyint", '"128"', 'Data does not match the schema. For input string: "128"'),
    ("smallint", "-32769", 'Data does not match the schema. For input string: "-32769"'),
    ("bigint", "9223372036854775808", 'Data does not match the schema. For input string: "9223372036854775808"'),
    ("int", "true", 'Data does not match the schema. For input string: "true"'),
    ("int", '""', 'Data does not match the schema. For input string: ""'),
    ("int", '"0x1"', 'Data does not match the schema. For input string: "0x1"'),
    ("int", "{}", "One or more fields have incorrect format."),
    ("double", '"NaN"', 'Data does not match the schema. For input string: "NaN"'),
    ("double", "1e400", 'Data does not match the schema. For input string: "inf"'),
    ("float", "1e39", 'Data does not match the schema. For input string: "1e+39"'),
    ("double", "[1]", "One or more fields have incorrect format."),
    ("boolean", "1", 'Data does not match the schema. For input string: "1"'),
    ("boolean", '"yes"', 'Data does not match the schema. For input string: "yes"'),
    ("decimal(5,2)", "1000", 'Data does not match the schema. For input string: "1000"'),
    ("decimal(5,2)", "999.995", 'Data does not match the schema. For input string: "999.995"'),
    ("decimal(5,2)", "1e1000000000", 'Data does not match the schema. For input string: "inf"'),
    ("decimal(38,20)", "18446744073709551616",
    'Data does not match the schema. For input string: "1.8446744073709552e+19"'),
    ("date", '"2020-02-30"', "Data does not match the schema. Invalid format for one or more dates."),
    ("date", '"2020-01-01 00:00:00"', "Data does not match the schema. Invalid format for one or more dates."),
    ("date", "18262", "Data does not match the schema. Invalid format for one or more dates."),
    ("struct<x:int>", "42", "Data does not match the schema. Data is not JSONObject  but java.lang.Long with value 42"),
    ("struct<x:int>", '"s"',
    "Data does not match the schema. Data is not JSONObject  but java.lang.String with value s"),
    ("map<string,int>", "42", "A scalar type was found in the data but a complex type was specified on the schema."),
    ("array<struct<x:int>>", '[{"x":"q"}]', 'Data does not match the schema. For input string: "q"'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "json_value", "message"), BAD_VALUES)
def test_a5_12_a_value_that_does_not_fit_fails_its_record_in_aws_words(text, json_value, message):
    assert message_of(text, json_value) == message


@pytest.mark.parametrize(
    ("json_value", "expected"),
    [
        ('"2020-01-02T03:04:05Z"', "2020-01-02 03:04:05"),
        ('"2020-01-02T03:04:05.123456789Z"', "2020-01-02 03:04:05.123456789"),
        ('"2020-01-02 03:04:05"', "2020-01-02 03:04:05"),
        ('"2020-01-02 03:04:05.5"', "2020-01-02 03:04:05.5"),
        ('"2020-1-2 3:4:5"', "2020-01-02 03:04:05"),
        ("1518033528", "2018-02-07 19:58:48"),
        ("1518033528123", "2018-02-07 19:58:48.123"),
        ("1518033528.5", "2018-02-07 19:58:48.5"),
        ('"1518033528"', "2018-02-07 19:58:48"),
        ('"1518033528123"', "2018-02-07 19:58:48.123"),
        ("999999999999", "NANOS"),
        ("1e12", "2001-09-09 01:46:40"),
        ("-1", "1969-12-31 23:59:59"),
        ("0", "1970-01-01 00:00:00"),
        ('"2262-04-11 23:47:16.854775807"', "2262-04-11 23:47:16.854775807"),
    ],
)
def test_a5_5_openx_timestamp_forms(json_value, expected):
    if expected == "NANOS":  # seconds below 1e12 lie beyond the year 33658
        assert "unsupported timestamp format" in message_of("timestamp", json_value)
    else:
        assert value_of("timestamp", json_value) == nanos(expected)


@pytest.mark.parametrize(
    "json_value",
    [
        '"2020-01-02T03:04:05+00:00"', '"2020-01-02T03:04:05"', '"2020-1-2T3:4:5Z"', '"2020-01-02 03:04:05Z"',
        '"2020-01-02 03:04"', '"2020-01-02"', '"2020-13-02 03:04:05"', '"2020-01-02 24:00:00"', '"2020-01-02 03:04:60"',
        '"2020-02-30T00:00:00Z"', '"2020-01-02T03:04:05.1234567890Z"', '"1600-01-01 00:00:00"', '"2300-01-01 00:00:00"',
        '"now"', '""', "true", "1e300",
    ],
)  # fmt: skip
def test_a5_5_other_timestamp_forms_are_refused(json_value):
    text = json_value.strip('"') if json_value != "1e300" else "1e+300"
    assert message_of("timestamp", json_value) == f'{BAD_TIMESTAMP}"{text}"'


RECORDS = [
    (b"", MALFORMED, "The record was empty or contained only whitespace."),
    (b" \r\n\t", MALFORMED, "The record was empty or contained only whitespace."),
    (b'{"c":"\xff"}', MALFORMED, "Encountered invalid characters."),
    (b'{"c":"\xed\xa0\x80"}', MALFORMED, "Encountered invalid characters."),
    (b"[" * 2**20, MALFORMED, NESTED),
    (b'{"c":' * 2**18, MALFORMED, NESTED),
    (b'{"z":' * 300 + b"1" + b"}" * 300, MALFORMED, NESTED),
    (b'[{"c":1}]', MALFORMED, NOT_OBJECTS + "array."),
    (b"5", MALFORMED, NOT_OBJECTS + "scalar."),
    (b"null", MALFORMED, NOT_OBJECTS + "scalar."),
    (b'{"c":"a"}null{"c":"b"}', MALFORMED, NOT_OBJECTS + "scalar."),
    (b"null\n{}", MALFORMED, NOT_OBJECTS + "scalar."),
]  # fmt: skip


@pytest.mark.parametrize(("record", "code", "message"), RECORDS, ids=[str(record[:12]) for record, _, _ in RECORDS])
def test_a5_12_a_record_that_is_no_object_fails_alone(record, code, message):
    assert convert_one(schema_of(c="string"), record, OPENX) == ConversionFailure(0, code, message)


MALFORMED_JSON = [
    "{", "}", '{"c"', '{"c":', '{"c":1', '"c":1}', "}{", '{"c":1}}', '{"c":1}{', '{"c":1},{"c":2}', '{"c":1} x',
    'x{"c":1}',
    '{"c":1,}', '{c:1}', "{'c':1}", '{"c":01}', '{"c":+1}', '{"c":.5}', '{"c":1.}', '{"c":NaN}', '{"c":-Infinity}',
    '{"z":NaN}', '{"z":[1, Inf]}', '{"c":"\\ud800"}', '{"z":"\\udc00"}', '{"c":"\\q"}', '{"c":"a\nb"}',
    '{"c":"a\x01b"}',
    '/*x*/{"c":1}', '{"c":1}//x', '\ufeff{"c":1}', '{"c":1}\x00', '{"c":nul}', '{"c":[1}', '{"c":[1}\n]}', "{{}}",
    '{"a":{}\n{}}',
]  # fmt: skip


@pytest.mark.parametrize("text", ["string", "double", "array<double>"])
@pytest.mark.parametrize("record", MALFORMED_JSON)
def test_a5_12_what_is_not_json_is_a_parse_error(record, text):
    failure = convert_one(schema_of(c=text), record, OPENX)
    assert isinstance(failure, ConversionFailure)
    assert failure.code == PARSE
    assert failure.message.startswith("Encountered malformed JSON. ")


@pytest.mark.parametrize(
    ("record", "rows"),
    [
        ('{"c":1}{"c":2}', [1, 2]),
        ('{"c":1}\n{"c":2}', [1, 2]),
        ('{"c":1}\r\n{"c":2}\r\n', [1, 2]),
        (' {"c":1} \t{} {"c":3}\n', [1, None, 3]),
        ('{"c":1}\n\n\n{"c":2}\n{"c":3}{"c":4}', [1, 2, 3, 4]),
        ('\n{"c":\n1}\n', [1]),
    ],
)
def test_x8_each_document_of_a_record_is_a_row(record, rows):
    assert convert_one(schema_of(c="int"), record, OPENX) == rows


@pytest.mark.parametrize(
    "record", ['{"c":1}{"c":"x"}', '{"c":1}\n{"c":"x"}', '{"c":"x"}\n{"c":1}', '{"c":1}\n{"c":1}5']
)
def test_x8_one_bad_document_fails_the_whole_record(record):
    failure = convert_one(schema_of(c="int"), record, OPENX)
    assert isinstance(failure, ConversionFailure)


def test_x8_documents_share_their_records_lineage():
    rows = RecordConverter(schema_of(c="int"), OPENX).convert(page_of('{"c":0}', '{"c":1}\n{"c":2}')).rows
    assert rows.column("c").to_pylist() == [0, 1, 2]
    assert rows.column("hydrant:sequence_number").to_pylist() == ["0", "1", "1"]
    assert rows.column("hydrant:arrival_ms").to_pylist() == [1000, 1001, 1001]


@pytest.mark.parametrize(
    "record", ['{"C":1}', '{"\\u0063":1}', '{"c":5,"c":1}', '{"c":5,"C":1}', '{"zz":{"c":2},"C":1}']
)
@pytest.mark.parametrize("filler", [b"{}", b'{"other":[{"c":1}]}', b'{"c":7}', b'{"C":7}'])
def test_a5_4_keys_match_in_any_case_and_the_last_of_several_counts(record, filler):
    assert convert_one(schema_of(c="int"), record, OPENX, filler=filler) == [1]


@pytest.mark.parametrize("filler", [b"{}", b'{"C":7}', b'{"c":7}'])
def test_a5_4_case_counts_when_case_insensitive_is_off(filler):
    deserializer = OpenXJsonSerDe(case_insensitive=False)
    assert convert_one(schema_of(c="int"), '{"C":1}', deserializer, filler=filler) == [None]
    assert convert_one(schema_of(c="struct<x:int>"), '{"c":{"X":1}}', deserializer) == [{"x": None}]
    assert convert_one(schema_of(c="string"), '{"c":{"X":1}}', deserializer) == ['{"X":1}']


def test_a5_4_nested_keys_match_in_any_case():
    schema = schema_of(c="array<struct<ab:int>>")
    assert convert_one(schema, '{"c":[{"AB":1},{"ab":2}]}', OPENX) == [[{"ab": 1}, {"ab": 2}]]
    assert convert_one(schema_of(c="map<string,int>"), '{"c":{"Mixed":1}}', OPENX) == [[("mixed", 1)]]


def test_a5_4_dots_become_underscores_when_asked():
    record = '{"a.b":1}'
    assert convert_one(schema_of(a_b="int"), record, OPENX) == [None]
    dots = OpenXJsonSerDe(convert_dots_in_json_keys_to_underscores=True)
    assert convert_one(schema_of(a_b="int"), record, dots) == [1]
    assert convert_one(schema_of(a_b="int"), '{"A.B":1}', dots, filler=b'{"a_b":2}') == [1]


def test_a5_4_a_mapped_column_is_found_under_its_json_key_only():
    mapped = OpenXJsonSerDe(column_to_json_key_mappings=(("ts", "Timestamp"),))
    schema = schema_of(ts="bigint", n="int")
    assert convert_one(schema, '{"timestamp":5,"n":1}', mapped) == [{"ts": 5, "n": 1}]
    assert convert_one(schema, '{"TimeStamp":5,"ts":6}', mapped, filler=b'{"timestamp":1}') == [{"ts": 5, "n": None}]


def test_a5_4_two_columns_may_share_a_json_key():
    mapped = OpenXJsonSerDe(column_to_json_key_mappings=(("a", "k"),))
    assert convert_one(schema_of(a="int", k="string"), '{"k":5}', mapped) == [{"a": 5, "k": "5"}]


@pytest.mark.parametrize(
    ("text", "json_value", "expected"),
    [
        ("array<string>", '"a"', ["a"]),
        ("array<struct<x:int>>", '{"X":1}', [{"x": 1}]),
        ("struct<x:int,y:string>", '[1,"b",3]', {"x": 1, "y": "b"}),
        ("struct<x:int,y:string>", "[1]", {"x": 1, "y": None}),
    ],
)
def test_a5_13_openx_gives_a_value_the_shape_of_its_column(text, json_value, expected):
    assert value_of(text, json_value) == expected


@pytest.mark.parametrize(
    ("text", "json_value", "message"),
    [
        ("int", '"1"', NOT_NUMERIC),
        ("decimal(5,2)", '"1"', NOT_NUMERIC),
        ("array<string>", '"a"', "Data does not match the schema. java.io.IOException: Start of Array expected"),
        ("struct<x:int>", "[1]", "Data does not match the schema. java.io.IOException: Start of Object expected"),
        ("map<string,int>", "[1]", "Data does not match the schema. java.io.IOException: Start of Object expected"),
        ("string", "[1]", "One or more fields have incorrect format."),
        ("boolean", '"true"', 'Data does not match the schema. For input string: "true"'),
        ("timestamp", '"2020-01-02T03:04:05Z"', BAD_TIMESTAMP + '"2020-01-02T03:04:05Z"'),
        ("timestamp", "1518033528", BAD_TIMESTAMP + '"1518033528"'),
    ],
)  # fmt: skip
def test_a5_6_hive_refuses_what_openx_coerces(text, json_value, message):
    assert message_of(text, json_value, HIVE) == message


@pytest.mark.parametrize(
    ("text", "json_value", "expected"),
    [
        ("string", "12", "12"),
        ("map<string,int>", '{"Mixed":1}', [("Mixed", 1)]),
        ("struct<x:int>", '{"X":1,"z":2}', {"x": 1}),
        ("timestamp", '"2020-01-02 03:04:05.5"', nanos("2020-01-02 03:04:05.5")),
    ],
)
def test_a5_6_hive_shares_the_rest(text, json_value, expected):
    assert value_of(text, json_value, HIVE) == expected
    assert convert_one(schema_of(c="int"), '{"C":1}', HIVE) == [1]


@pytest.mark.parametrize(
    ("patterns", "json_value", "expected"),
    [
        (("millis",), "1518033528123", "2018-02-07 19:58:48.123"),
        (("millis",), '"1518033528123"', "2018-02-07 19:58:48.123"),
        (("yyyy-MM-dd'T'HH:mm:ss.SSSZ",), '"2020-01-02T03:04:05.250+02:00"', "2020-01-02 01:04:05.25"),
        (("yyyy-MM-dd'T'HH:mm:ssZ",), '"2020-01-02T03:04:05Z"', "2020-01-02 03:04:05"),
        (("dd/MM/yyyy",), '"2/1/2020"', "2020-01-02 00:00:00"),
        (("millis", "yyyy 'o''clock' HH"), '"2020 o\'clock 7"', "2020-01-01 07:00:00"),
    ],
)
def test_a5_6_hive_timestamp_formats(patterns, json_value, expected):
    assert value_of("timestamp", json_value, HiveJsonSerDe(patterns)) == nanos(expected)


def test_a5_6_a_timestamp_outside_the_formats_is_refused():
    formats = HiveJsonSerDe(("dd/MM/yyyy", "millis"))
    assert "unsupported timestamp format" in message_of("timestamp", '"31/2/2020"', formats)
    assert "unsupported timestamp format" in message_of("timestamp", '"2020-01-02 03:04:05"', formats)


@pytest.mark.parametrize("pattern", ["yyyy-MMM-dd", "EEE", "yy-MM-dd", "hh:mm a", "yyyy yyyy", "'open"])
def test_a5_6_a_timestamp_format_that_is_not_supported_is_refused_at_once(pattern):
    with pytest.raises(ConfigurationError, match="is not supported"):
        RecordConverter(schema_of(c="timestamp"), HiveJsonSerDe((pattern,)))


def test_a5_10_rows_failures_and_bytes_add_up():
    records = ['{"n":1}', "oops", '{"n":2}\n', '{"n":"x"}', '{"n":3}{"n":4}'] * 40
    converted = RecordConverter(schema_of(n="int"), OPENX).convert(page_of(*records))
    failed = [failure.row for failure in converted.failures]
    assert failed == [n for n in range(200) if n % 5 in {1, 3}]
    delivered = [int(number) for number in converted.rows.column("hydrant:sequence_number").to_pylist()]
    assert delivered == sorted([n for n in range(200) if n % 5 in {0, 2, 4}] + [n for n in range(200) if n % 5 == 4])
    assert converted.raw_bytes == sum(len(record) for n, record in enumerate(records) if n not in failed)
    assert converted.rows.column("n").to_pylist() == [1, 2, 3, 4] * 40


def test_a5_a_converted_page_has_the_tables_columns_then_the_lineage():
    schema = schema_of(b="int", a="timestamp")
    for records in ([], ["{}"], ["{}"] * 50, ["x"], ["x"] * 50):
        rows = RecordConverter(schema, OPENX).convert(page_of(*records)).rows
        lineage = ["hydrant:shard_id", "hydrant:sequence_number", "hydrant:sub_sequence_number", "hydrant:arrival_ms"]
        assert rows.schema.names == ["b", "a", *lineage]
        assert rows.schema.types == [pa.int32(), pa.timestamp("ns"), pa.string(), pa.string(), pa.int64(), pa.int64()]


def test_a5_a_slice_of_a_page_is_converted_as_what_it_is():
    page = page_of(*[f'{{"n":{n}}}' for n in range(100)])
    converted = RecordConverter(schema_of(n="int"), OPENX).convert(page.slice(40, 30))
    assert converted.rows.column("n").to_pylist() == list(range(40, 70))
    assert converted.raw_bytes == 30 * 8


def test_a5_9_a_key_with_ever_new_names_below_it_costs_no_columns():
    records = [json.dumps({"n": n, "headers": {f"h{n}": n, f"i{n}": [n]}}) for n in range(3000)]
    converted = RecordConverter(schema_of(n="int"), OPENX).convert(page_of(*records))
    assert converted.rows.column("n").to_pylist() == list(range(3000))


FAST_PAGES = {
    "plain": (lambda n: f'{{"n":{n},"s":"x","t":"2020-01-01T00:00:00Z"}}', "int"),
    "line break at the end": (lambda n: f'{{"n":{n}}}\n', "int"),
    "several lines a record": (lambda n: f'{{"n":{n}}}\r\n{{"n":{n}}}\r\n', "int"),
    "spaces": (lambda n: f'{{ "n" : {n} , "s" : "x" }}', "int"),
    "keys in another case": (lambda n: f'{{"N":{n},"S":"x"}}', "int"),
    "keys that the table has not": (lambda n: f'{{"n":{n},"Info":"NaN","deep":[[{n}]]}}', "int"),
    "numbers as strings": (lambda n: f'{{"n":"{n}"}}', "int"),
    "doubles as strings": (lambda n: f'{{"n":"{n}.5"}}', "double"),
    "numbers in a string column": (lambda n: f'{{"n":{n}}}', "string"),
    "epoch timestamps": (lambda n: f'{{"n":{1_500_000_000 + n},"t":1518033528}}', "timestamp"),
    "space timestamps": (lambda n: f'{{"n":"2020-01-01 00:00:{n % 60:02}.5"}}', "timestamp"),
    "mixed timestamps": (lambda n: '{"n":"2020-1-1 0:0:0"}' if n % 2 else '{"n":"2020-01-01T00:00:00Z"}', "timestamp"),
    "dates": (lambda n: f'{{"n":"2020-01-{1 + n % 28:02}"}}', "date"),
    "decimals": (lambda n: f'{{"n":{n}.25}}', "decimal(10,2)"),
    "text to cut": (lambda n: f'{{"n":"{n:05}"}}', "varchar(2)"),
    "nested": (lambda n: f'{{"n":[{{"t":"2020-01-01 00:00:00","d":[{n}]}}]}}',
    "array<struct<t:timestamp,d:array<double>>>"),
    "nested keys in another case": (lambda n: f'{{"n":{{"Ab":{n}}}}}', "struct<ab:int>"),
}  # fmt: skip


@pytest.mark.parametrize(("record", "text"), FAST_PAGES.values(), ids=FAST_PAGES)
def test_a5_the_fast_path_alone_converts_what_streams_are_made_of(record, text, monkeypatch):
    schema, page = schema_of(n=text, s="string", t="timestamp"), page_of(*[record(n) for n in range(200)])
    alone = [RecordConverter(schema, OPENX).convert(page.slice(n, 1)).rows for n in range(200)]
    monkeypatch.setattr(SlowReader, "rows", lambda *_: pytest.fail("the slow path was asked"))
    converter = RecordConverter(schema, OPENX)
    for _ in range(2):  # with what it learned, and without
        converted = converter.convert(page)
        assert converted.rows.to_pylist() == pa.Table.from_batches(alone).to_pylist()
        assert not converted.failures


@pytest.mark.parametrize(
    "bad", ['{"n":', '{"n":oops}', '{"n":"x"}', '{"n":99999999999}', '{"n":1.5}', "", '{"t":"x"}', '{"N":"y"}']
)
def test_a5_10_the_slow_path_is_asked_for_little_more_than_the_bad_records(bad, monkeypatch):
    asked = []
    rows = SlowReader.rows
    monkeypatch.setattr(SlowReader, "rows", lambda reader, record: asked.append(record) or rows(reader, record))
    records = [bad if n in {300, 1500} else f'{{"n":{n},"t":"2020-01-01 00:00:00"}}' for n in range(2000)]
    converted = RecordConverter(schema_of(n="int", t="timestamp"), OPENX).convert(page_of(*records))
    assert [failure.row for failure in converted.failures] == [300, 1500]
    assert converted.rows.num_rows == 1998
    assert len(asked) < 60


def test_a5_what_a_converter_learned_changes_no_result():
    schema = schema_of(n="int", t="timestamp", s="string")
    pages = [
        page_of(*[record] * 60)
        for record in (
            '{"n":1,"t":"2020-01-01T00:00:00Z","s":"a"}',
            '{"N":"1","T":1518033528,"S":5}',
            '{"n":1,"T":"2020-01-01 00:00:00","other":{"N":2}}',
            '{"n":99999999999}',
            '{"n":1.5,"x":NaN}',
            '{"n":2}\n{"N":3}',
        )
    ]
    converter = RecordConverter(schema, OPENX)
    for page in [*pages, *reversed(pages), *pages * 2]:
        fresh, learned = RecordConverter(schema, OPENX).convert(page), converter.convert(page)
        assert learned.rows.equals(fresh.rows)
        assert (learned.failures, learned.raw_bytes) == (fresh.failures, fresh.raw_bytes)
