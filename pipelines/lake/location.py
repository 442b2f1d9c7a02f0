"""Places on S3: the URI of a table, a partition or an object, and what lies under one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from pipelines.runtime.aws import aws_errors
from pipelines.runtime.errors import ConfigurationError

_SCHEMES = ("s3", "s3a", "s3n")  # Hive's names for the same thing


@dataclass(frozen=True, slots=True)
class Location:
    """A bucket and a key or key prefix in it; `str` gives the URI."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """The location that `uri` names.

        Raises:
            ConfigurationError: not an S3 URI.
        """
        parts = urlsplit(uri)
        if parts.scheme not in _SCHEMES or not parts.netloc:
            message = f"{uri!r} is no S3 location."
            raise ConfigurationError(message, fix="write s3://BUCKET/KEY")
        return cls(parts.netloc, uri.partition("://")[2][len(parts.netloc) + 1 :])  # a key may hold ? and #

    @property
    def folder(self) -> "Location":
        """This location as a folder: `flights` does not hold what lies under `flights-errors/`."""
        return self if not self.key or self.key.endswith("/") else Location(self.bucket, self.key + "/")

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One object of a listing: its bucket and key, and its size in bytes."""

    bucket: str
    key: str
    size: int

    @property
    def path(self) -> str:
        """As pyarrow's filesystems name it."""
        return f"{self.bucket}/{self.key}"


def list_objects(s3: Any, prefix: Location) -> Iterator[ListedObject]:
    """Every object whose key begins with the prefix, in key order, page after page of ListObjectsV2.

    Raises:
        NotFoundError: the bucket does not exist.
        HydrantError: any other error of AWS.
    """
    with aws_errors(f"S3 bucket {prefix.bucket}"):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=prefix.key):
            for listed in page.get("Contents", ()):
                yield ListedObject(prefix.bucket, listed["Key"], listed["Size"])


def list_table_objects(s3: Any, location: Location) -> list[ListedObject]:
    """The objects that a table or partition at `location` has, by Hive's rules.

    Empty objects (consoles make them to show a folder) and whatever has a name that begins with `_` or `.` below the
    location are no data.
    """
    folder = location.folder
    return [
        listed
        for listed in list_objects(s3, folder)
        if listed.size and not any(name[:1] in {"_", "."} for name in listed.key[len(folder.key) :].split("/"))
    ]
