"""Typed rows to one Parquet object, as a delivery stream's ParquetSerDe writes it (A5.7)."""

from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.firehose.config import ParquetSerDe
from pipelines.firehose.schema import TableSchema

_COMPRESSION: Final = {"UNCOMPRESSED": "NONE", "GZIP": "GZIP", "SNAPPY": "SNAPPY"}
_FORMAT_VERSION: Final = {"V1": "1.0", "V2": "2.6"}
_PAGE_VERSION: Final = {"V1": "1.0", "V2": "2.0"}


def write_parquet(
    batches: Sequence[pa.RecordBatch],
    settings: ParquetSerDe,
    schema: TableSchema,
    metadata: Mapping[str, str] | None = None,
) -> bytes:
    """One Parquet object with the rows of `batches`.

    Timestamps are INT96, decimals fixed-length, text UTF-8 and every column OPTIONAL, as Hive's writer does it.
    `block_size_bytes` is matched by the rows' size in memory; padding (`max_padding_bytes`) has no meaning on S3.

    Args:
        batches: rows with at least the table's columns; others, such as lineage columns, are left out.
        settings: compression, page size, dictionary, version, block size.
        schema: the table's columns, in order.
        metadata: key-value metadata of the file.
    """
    names = schema.arrow.names
    # Hundreds of small chunks cost the writer more than the copy that joins them.
    table = pa.Table.from_batches([batch.select(names) for batch in batches], schema.arrow).combine_chunks()
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        schema.arrow,
        version=_FORMAT_VERSION[settings.writer_version],
        data_page_version=_PAGE_VERSION[settings.writer_version],
        data_page_size=settings.page_size_bytes,
        compression=_COMPRESSION[settings.compression],
        use_dictionary=settings.enable_dictionary_compression,
        use_deprecated_int96_timestamps=True,
        store_schema=False,
    ) as writer:
        writer.write_table(table, _rows_per_block(table, settings.block_size_bytes))
        if metadata:
            writer.add_key_value_metadata(dict(metadata))
    return sink.getvalue().to_pybytes()


def _rows_per_block(table: pa.Table, block_size_bytes: int) -> int:
    return max(1, table.num_rows * block_size_bytes // max(table.nbytes, 1)) if table.num_rows else 1
