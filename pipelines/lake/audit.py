"""What is on S3 held against the receipts of those who wrote it."""

from collections.abc import Iterable
from typing import Any, Final

from pipelines.firehose.chunk import DeliveredObject
from pipelines.lake.delivered import ObjectInfo, list_infos
from pipelines.lake.location import Location
from pipelines.runtime.errors import NotFoundError

_FEW_SHARDS: Final = 10
"""The lineage of so many shards fits into an object's metadata; of very many it does not."""


def audit(s3: Any, receipts: Iterable[DeliveredObject], buckets: Iterable[str]) -> list[str]:
    """What S3 says otherwise than the receipts: a sentence for each object; none when they agree.

    The lineage is taken from the objects' own metadata, so a receipt without its object, or an object that no receipt
    speaks of, is found.

    Args:
        s3: a boto3 S3 client.
        receipts: of every object that was written.
        buckets: which are looked at, whole; nobody else may write to them.
    """
    found = {info.location: info for bucket in buckets for info in _infos(s3, bucket)}
    claimed = {Location(receipt.bucket, receipt.key): receipt for receipt in receipts}
    problems = [f"{location} has a receipt, but is not there" for location in claimed.keys() - found.keys()]
    problems += [f"{location} is there, but has no receipt" for location in found.keys() - claimed.keys()]
    for location in claimed.keys() & found.keys():
        problems += [f"{location}: {difference}" for difference in _differences(claimed[location], found[location])]
    return sorted(problems)


def _infos(s3: Any, bucket: str) -> list[ObjectInfo]:
    try:
        return list_infos(s3, Location(bucket, ""))
    except NotFoundError:
        return []


def _differences(receipt: DeliveredObject, info: ObjectInfo) -> Iterable[str]:
    if receipt.bytes != info.bytes:
        yield f"{info.bytes} bytes, by its receipt {receipt.bytes}"
    if receipt.records != info.records:
        yield f"{info.records} records, by its receipt {receipt.records}"
    shards = receipt.to_json()["shards"]
    if info.shards != shards and (info.shards or len(shards) <= _FEW_SHARDS):
        yield f"lineage {dict(info.shards)}, by its receipt {shards}"
