"""Hive types and table schemas (A5)."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.firehose.schema import (
    ArrayType,
    Column,
    DecimalType,
    HiveType,
    MapType,
    PrimitiveType,
    StructType,
    TableSchema,
    TextType,
    arrow_type,
    hive_type,
    parse_hive_type,
    table_schema,
)
from pipelines.runtime.errors import ConfigurationError

SCALARS = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "real": pa.float32(),
    "double": pa.float64(),
    "double precision": pa.float64(),
    "string": pa.string(),
    "char(255)": pa.string(),
    "varchar(65535)": pa.string(),
    "binary": pa.binary(),
    "timestamp": pa.timestamp("ns"),
    "date": pa.date32(),
    "decimal": pa.decimal128(10, 0),
    "decimal(5)": pa.decimal128(5, 0),
    "decimal(38,38)": pa.decimal128(38, 38),
    "numeric(7,2)": pa.decimal128(7, 2),
}


@pytest.mark.parametrize(("text", "arrow"), SCALARS.items(), ids=SCALARS)
@pytest.mark.parametrize("spell", [str.lower, str.upper, lambda text: f"  {text} "], ids=["lower", "upper", "spaces"])
def test_a5_a_scalar_hive_type_has_its_arrow_type(text, arrow, spell):
    assert arrow_type(parse_hive_type(spell(text))) == arrow


def test_a5_nested_types_are_parsed_at_every_level():
    parsed = parse_hive_type("ARRAY< struct<Id:bigint, `My Tags`: map<string,decimal(5,2)>, n:array<varchar(3)>> >")
    assert parsed == ArrayType(
        StructType(
            (
                ("id", PrimitiveType("bigint")),
                ("my tags", MapType(PrimitiveType("string"), DecimalType(5, 2))),
                ("n", ArrayType(TextType("varchar", 3))),
            )
        )
    )
    assert arrow_type(parsed) == pa.list_(
        pa.field(
            "element",
            pa.struct(
                [
                    ("id", pa.int64()),
                    ("my tags", pa.map_(pa.string(), pa.decimal128(5, 2))),
                    ("n", pa.list_(pa.field("element", pa.string()))),
                ]
            ),
        )
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "text", "int int", "uniontype<int,string>", "array<uniontype<int>>", "array", "array<>", "array<int",
        "array<int>>",
        "map<string>", "map<array<int>,int>", "struct<>", "struct<a>", "struct<a:int,>", "struct<a:int,A:string>",
        "decimal(0,0)", "decimal(39,1)", "decimal(3,4)", "decimal(a,b)", "decimal(1,2,3)", "char", "char(0)",
        "char(256)",
        "varchar(65536)", "char(10)garbage", "int(11)", "timestamp with local time zone", "interval", "`",
    ],
)  # fmt: skip
def test_a5_a_type_that_parquet_conversion_does_not_know_is_refused(text):
    with pytest.raises(ConfigurationError) as error:
        parse_hive_type(text)
    assert repr(text) in error.value.message
    assert "uniontype" in error.value.fix


_leaves = st.one_of(
    st.sampled_from(["boolean", "tinyint", "smallint", "int", "bigint", "float", "double", "string", "binary"]).map(
        PrimitiveType
    ),
    st.sampled_from(["timestamp", "date"]).map(PrimitiveType),
    st.integers(1, 38).flatmap(lambda p: st.integers(0, p).map(lambda s: DecimalType(p, s))),
)
_names = st.text("abcdefgh_0123", min_size=1, max_size=5)
_types = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        inner.map(ArrayType),
        st.tuples(_leaves, inner).map(lambda pair: MapType(*pair)),
        st.dictionaries(_names, inner, min_size=1, max_size=3).map(lambda fields: StructType(tuple(fields.items()))),
    ),
    max_leaves=8,
)


@given(_types)
def test_a5_hive_to_arrow_to_hive_gives_the_same_type(hive: HiveType):
    assert parse_hive_type(hive_type(arrow_type(hive))) == hive


@pytest.mark.parametrize(
    ("arrow", "text"),
    [
        (pa.uint8(), "smallint"),
        (pa.uint16(), "int"),
        (pa.uint32(), "bigint"),
        (pa.large_string(), "string"),
        (pa.dictionary(pa.int32(), pa.string()), "string"),
        (pa.timestamp("ms", "UTC"), "timestamp"),
        (pa.struct([("Name", pa.list_(pa.float16()))]), "struct<name:array<float>>"),
    ],
)
def test_a5_other_arrow_types_have_a_hive_type_that_holds_them(arrow, text):
    assert hive_type(arrow) == text


@pytest.mark.parametrize("arrow", [pa.uint64(), pa.duration("s"), pa.null(), pa.list_(pa.null())])
def test_a5_an_arrow_type_without_a_hive_type_is_refused(arrow):
    with pytest.raises(ConfigurationError, match="Hive has no type for Arrow's"):
        hive_type(arrow)


def _table(*columns, **more):
    described = [{"Name": name, "Type": text} for name, text in columns]
    return {"Name": "flights", "StorageDescriptor": {"Columns": described}, **more}


def test_a5_a_table_gives_its_columns_in_order_and_no_partition_keys():
    schema = table_schema(
        _table(("Carrier", "varchar(2)"), ("dep", "INT"), PartitionKeys=[{"Name": "y", "Type": "int"}])
    )
    assert schema == TableSchema((Column("carrier", TextType("varchar", 2)), Column("dep", PrimitiveType("int"))))
    assert schema.arrow == pa.schema([("carrier", pa.string()), ("dep", pa.int32())])
    assert all(field.nullable for field in schema.arrow)


def test_a5_a_refused_type_names_column_and_table():
    with pytest.raises(ConfigurationError, match="Column choice of table flights: 'uniontype<int>'"):
        table_schema(_table(("ok", "int"), ("Choice", "uniontype<int>")))


@pytest.mark.parametrize("table", [{"Name": "flights"}, _table()])
def test_a5_a_table_without_columns_is_refused(table):
    with pytest.raises(ConfigurationError, match="Table flights has no columns"):
        table_schema(table)


def test_a5_two_columns_of_one_name_are_refused():
    with pytest.raises(ConfigurationError, match="more than one column named id"):
        table_schema(_table(("id", "int"), ("ID", "string")))
