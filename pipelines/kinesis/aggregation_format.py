"""The KPL's aggregated record: a magic number, a protobuf message and the message's MD5 (B16)."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

MAGIC: Final = b"\xf3\x89\x9a\xc2"
DIGEST_BYTES: Final = 16
OVERHEAD_BYTES: Final = len(MAGIC) + DIGEST_BYTES
"""What an aggregate has besides its message."""
DEDUP_TAG: Final = b"dedup_key"
"""The tag that carries `Record.dedup_key`. The KPL and KCL neither write nor read tags."""
MAX_HASH_KEY: Final = 2**128 - 1


def _message_class() -> type[Message]:
    """The class of AggregatedRecord, from a descriptor made here, so that no generated code is kept.

    It lives in a pool of its own: other packages bring the same messages under other names. The strings of the
    published format are declared as bytes, which look the same on the wire: what is not UTF-8 then fails here, and not
    in three ways in protobuf's three implementations.
    """
    file = FileDescriptorProto(name="aggregated_record.proto", syntax="proto2")
    required, optional, repeated = (
        FieldDescriptorProto.LABEL_REQUIRED,
        FieldDescriptorProto.LABEL_OPTIONAL,
        FieldDescriptorProto.LABEL_REPEATED,
    )
    messages = {
        "AggregatedRecord": [
            ("partition_key_table", repeated, "bytes"),
            ("explicit_hash_key_table", repeated, "bytes"),
            ("records", repeated, "Record"),
        ],
        "Record": [
            ("partition_key_index", required, "uint64"),
            ("explicit_hash_key_index", optional, "uint64"),
            ("data", required, "bytes"),
            ("tags", repeated, "Tag"),
        ],
        "Tag": [("key", required, "bytes"), ("value", optional, "bytes")],
    }
    scalars = {"bytes": FieldDescriptorProto.TYPE_BYTES, "uint64": FieldDescriptorProto.TYPE_UINT64}
    for message, fields in messages.items():
        described = file.message_type.add(name=message)
        for number, (name, label, kind) in enumerate(fields, 1):
            field = described.field.add(name=name, number=number, label=label)
            if kind in scalars:
                field.type = scalars[kind]
            else:
                field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".{kind}"
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return GetMessageClass(pool.FindMessageTypeByName("AggregatedRecord"))


AggregatedRecord: Final[Any] = _message_class()
"""The protobuf message."""


@dataclass(frozen=True, slots=True)
class UserRecords:
    """The records of one aggregate, column by column; all lists have one length.

    Attributes:
        data: payloads.
        partition_keys: each record's own.
        explicit_hash_keys: decimal numbers; None for a record without.
    """

    data: list[bytes]
    partition_keys: list[str]
    explicit_hash_keys: list[str | None]
    _records: list[Any]

    def dedup_keys(self) -> list[str | None]:
        """Each record's `dedup_key`, None for a record without one."""
        return [_dedup_key(record) for record in self._records]

    def hash_keys(self) -> list[int]:
        """Where each record belongs among the shards (B3)."""
        return [
            hash_key(key) if explicit is None else int(explicit)
            for key, explicit in zip(self.partition_keys, self.explicit_hash_keys, strict=True)
        ]


def seal(message: Message) -> bytes:
    """`message`, an AggregatedRecord, as the data of a Kinesis record."""
    body = message.SerializeToString()
    return MAGIC + body + _md5(body)


def unseal(data: bytes) -> UserRecords | None:
    """The records in `data`, or None when it is no aggregate and must be taken as it is.

    An aggregate has the magic number, a message of at least one byte, the MD5 of that message, all that the message
    requires, keys in UTF-8, explicit hash keys of 1 to 39 digits, and indices inside its tables.
    """
    body, digest = data[len(MAGIC) : -DIGEST_BYTES], data[-DIGEST_BYTES:]
    if len(data) <= OVERHEAD_BYTES or data[: len(MAGIC)] != MAGIC or _md5(body) != digest:
        return None
    try:
        message = AggregatedRecord.FromString(body)
        if not message.IsInitialized():
            return None
        return _user_records(message)
    except (DecodeError, UnicodeDecodeError, IndexError):
        return None


@lru_cache(maxsize=16_384)  # the same keys come again and again
def hash_key(partition_key: str) -> int:
    """The 128-bit number that decides on the shard of a record without an explicit hash key (B3)."""
    return int.from_bytes(_md5(partition_key.encode()))


def _user_records(message: Any) -> UserRecords | None:
    """The message's records.

    Raises:
        UnicodeDecodeError: a key is not UTF-8.
        IndexError: an index is not in its table.
    """
    keys = [key.decode() for key in message.partition_key_table]
    explicit = [key.decode() for key in message.explicit_hash_key_table]
    if not all(1 <= len(key) <= 39 and key.isascii() and key.isdecimal() for key in explicit):
        return None
    records = list(message.records)
    return UserRecords(
        [record.data for record in records],
        [keys[record.partition_key_index] for record in records],
        [
            explicit[record.explicit_hash_key_index] if record.HasField("explicit_hash_key_index") else None
            for record in records
        ],
        records,
    )


def _dedup_key(record: Any) -> str | None:
    for tag in record.tags:
        if tag.key == DEDUP_TAG and tag.HasField("value"):
            return str(tag.value, "utf-8", "replace")
    return None


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()
