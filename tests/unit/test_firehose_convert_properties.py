"""The fast path decides as the slow path does, on records of all kinds of nastiness (A5.10).

A page of one record takes the slow path, so the rule is: a page becomes what its records would become one by one.
"""

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.firehose.config import HiveJsonSerDe, OpenXJsonSerDe
from pipelines.firehose.convert import RecordConverter
from pipelines.firehose.schema import table_schema
from pipelines.kinesis.page import make_page

DESERIALIZERS = [
    OpenXJsonSerDe(),
    OpenXJsonSerDe(case_insensitive=False),
    OpenXJsonSerDe(convert_dots_in_json_keys_to_underscores=True),
    OpenXJsonSerDe(column_to_json_key_mappings=(("a", "Other"), ("b", "c"))),
    HiveJsonSerDe(),
    HiveJsonSerDe(("yyyy-MM-dd'T'HH:mm:ssZ", "millis")),
]
TYPES = [
    "boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "string", "char(3)", "varchar(2)", "binary",
    "timestamp", "date", "decimal(10,2)", "decimal(38,20)", "array<int>", "array<string>", "struct<a:int,b_c:string>",
    "array<struct<x:double,t:timestamp>>", "struct<l:array<date>,s:struct<q:boolean>>", "map<string,int>",
]  # fmt: skip
VALUES = [
    "null", "true", "false", "0", "-0", "1", "-1", "127", "128", "-129", "32768", "2147483648", "9223372036854775807",
    "9223372036854775808", "18446744073709551616", "1.5", "1.0", "1e2", "1e400", "-1e400", "1.7976931348623159e308",
    "1e-400", "0.1", "3.4e38", "3.5e38", "1.235", "12345678901.5", "123456789012345678.12345678901234567899",
    "0e1000000000", "1e-1000000000", "NaN", "Infinity", "-Inf", "01", "+1", "1.", ".5", "-", '""', '"a"', '"abcd"',
    '"\\u00e4\\u00f6\\u00fc\\u00df"', '"€€€€"', '"\\ud83d\\ude00\\ud83d\\ude00x"', '"\\ud800"', '"\\u0000"', '"\\q"',
    '"x\ny"',
    '"12"', '"+12"', '"007"', '" 12"', '"1.5"', '".5"', '"5."', '"1e2"', '"1e400"', '"NaN"', '"0x1"', '"1_0"', '"٣"',
    '"٢٠٢٠-01-01"',
    '"99999999999999999999"', '"true"', '"TRUE"', '"oops"', '"Info, NaN "', '"2020-01-01T00:00:00Z"',
    '"2020-01-01T00:00:00.123456789Z"', '"2020-01-01T00:00:00"', '"2020-01-01 00:00:00"', '"2020-1-1 1:2:3.5"',
    '"2020-1-1T1:2:3Z"', '"2020-01-01T00:00:00+00:00"', '"2020-02-30 00:00:00"', '"1600-01-01 00:00:00"',
    '"1677-09-21 00:12:43.145224193"', '"2020-01-01 24:00:00"', '"2020-01-01"', '"2020-1-1"', '"2020-02-30"',
    '"0000-01-01"',
    '"0001-01-01"', '"2020-01-01 00:00:00Z"', "1518033528", "1518033528123", "1518033528.1235", '"1518033528.5"',
    "1e12",
    "999999999999", "9223372036854", "9223372036855", "1e300", "{}", "[]", "[1,2]", '[null,"1"]', "[[1]]", '{"a":1}',
    '{"A":2,"b.c":5}', '{"x":{"Z":1}}', '{"l":["2020-01-01",null],"s":{"q":true}}', '{"l":"2020-01-01"}', '[{"x":NaN}]',
    '[{"x":1.5,"t":"2020-01-01 00:00:00"},{"X":"2","t":5}]', '{"a":1,"a":2}', '{"zz":{"Deep":[1,{"K":2}]}}',
    '{"a":' * 260 + "1" + "}" * 260,
]  # fmt: skip
RECORDS = [
    b"", b"\n", b" ", b"5", b"null", b"[1]", b"[{}]", b"{}{}", b'{"a":1}null{"a":2}', b'{"a":1}\n{"a":2}',
    b'{"a":1}\r\n{}\n',
    b"{", b"}", b'{"a"', b"}{", b'\xef\xbb\xbf{"a":1}', b'{"a":1}x', b'{"a":1}\x00', b'x{"a":1}', b'{"a":1,}',
    b'{"a":1}{',
    b'"a":1}\n{"a":1', b'{"a":"x\n"}', b"[" * 3000, b'{"a":' * 3000, b'{"a":1}}', b'{"a":1},{}', b' {"a":1} ',
    b"\n\n{}\n\n",
    b'{"a":1}\r', b'\r{"a":1}', b'{"a":[1}', b'{"a":1]', b'{"a":"\xff"}', b'{"zz":"\xc3"}',
]  # fmt: skip
NAMES = ["a", "b", "c", "b_c", "d"]
KEYS = [*NAMES, "A", "B", "b.c", "B.C", "other", "Other", "OTHER", "\\u0061", 'q\\"a', "x", "zz"]

_usual = st.sampled_from(["1", '"x"', "null", '"2020-01-01 00:00:00"', "0.5"])
_member = st.tuples(st.sampled_from(NAMES + KEYS), st.one_of(_usual, st.sampled_from(VALUES)))
_spacing = st.sampled_from([("{", ",", ":", "}"), ("{ ", ", ", ": ", " }"), ("{\n", ",\n", " : ", "\n}")])


@st.composite
def _document(draw):
    start, comma, colon, end = draw(_spacing)
    members = draw(st.lists(_member, max_size=4))
    return start + comma.join(f'"{key}"{colon}{value}' for key, value in members) + end


_record = st.one_of(
    _document().map(str.encode),
    _document().map(lambda text: text.encode() + b"\n"),
    st.sampled_from(RECORDS),
    st.tuples(_document(), st.sampled_from(["", "\n", "\r\n", " "]), _document()).map(
        lambda parts: "".join(parts).encode()
    ),
)


@st.composite
def _page(draw):
    """Mostly one kind of record, as streams are, with strays among them."""
    usual = draw(st.lists(_document().map(str.encode), min_size=1, max_size=3))
    strays = draw(st.dictionaries(st.integers(0, 79), _record, max_size=5))
    records = [strays.get(n, usual[n % len(usual)]) for n in range(80)]
    return make_page("s", records, ["k"] * 80, [str(n) for n in range(80)], [0] * 80)


def _comparable(rows):
    return repr(pa.Table.from_batches(rows).to_pylist())  # NaN and -0.0 are told apart and are equal to themselves


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    types=st.lists(st.sampled_from(TYPES), min_size=1, max_size=4),
    deserializer=st.sampled_from(DESERIALIZERS),
    pages=st.lists(_page(), min_size=1, max_size=2),
)
def test_a5_10_a_page_becomes_what_its_records_become_one_by_one(types, deserializer, pages):
    columns = [{"Name": name, "Type": text} for name, text in zip(NAMES, types, strict=False)]
    schema = table_schema({"Name": "t", "StorageDescriptor": {"Columns": columns}})
    converter, reference = RecordConverter(schema, deserializer), RecordConverter(schema, deserializer)
    for page in pages:
        together = converter.convert(page)
        alone = [reference.convert(page.slice(n, 1)) for n in range(page.num_rows)]
        together.rows.validate(full=True)
        assert _comparable([together.rows]) == _comparable([one.rows for one in alone])
        expected = [(n, failure.code, failure.message) for n, one in enumerate(alone) for failure in one.failures]
        assert [(failure.row, failure.code, failure.message) for failure in together.failures] == expected
        assert together.raw_bytes == sum(one.raw_bytes for one in alone)
