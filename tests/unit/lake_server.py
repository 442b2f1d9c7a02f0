"""S3 and Glue on loopback (moto), with a log of the requests that reach them: what was read is shown on the wire.

PYTEST_DONT_REWRITE: the tests import it before pytest takes its fixtures from it.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from pipelines.runtime.aws import client

PARQUET_SERDE = "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"


@dataclass
class LakeServer:
    """`requests` holds (method, path) of every request since the last `clear`."""

    url: str
    requests: list[tuple[str, str]] = field(default_factory=list)

    def clear(self) -> None:
        self.requests.clear()

    def objects_opened(self) -> set[str]:
        """bucket/key of every object of which something was fetched."""
        return {path.lstrip("/") for method, path in self.requests if method == "GET" and path.count("/") > 1}

    @cached_property
    def s3(self) -> Any:
        return client("s3")

    @cached_property
    def glue(self) -> Any:
        return client("glue")


@pytest.fixture(scope="session")
def _server() -> Iterator[LakeServer]:
    app = DomainDispatcherApplication(create_backend_app)
    lake = LakeServer("")

    def logged(environ: Any, start_response: Any) -> Any:
        lake.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        return app(environ, start_response)

    server = make_server("127.0.0.1", 0, logged, threaded=True, request_handler=MotoRequestHandler)
    lake.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield lake
    server.shutdown()
    thread.join()


@pytest.fixture
def lake(_server: LakeServer, monkeypatch: pytest.MonkeyPatch) -> LakeServer:
    """An empty S3 and Glue, and the environment that leads to them."""
    for name, value in {
        "AWS_ENDPOINT_URL": _server.url,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_GLUE", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    reset(_server.url)
    _server.s3.create_bucket(Bucket="lake")
    _server.clear()
    return _server


def reset(url: str) -> None:
    import urllib.request

    urllib.request.urlopen(urllib.request.Request(f"{url}/moto-api/reset", method="POST"), timeout=10).close()


def table_input(
    columns: dict[str, str],
    keys: dict[str, str] | None = None,
    *,
    name: str = "flights",
    location: str = "s3://lake/flights/",
    serde: str = PARQUET_SERDE,
    parameters: dict[str, str] | None = None,
) -> dict[str, Any]:
    """A request of CreateTable in database flights_db."""
    return {
        "DatabaseName": "flights_db",
        "TableInput": {
            "Name": name,
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": [{"Name": key, "Type": kind} for key, kind in (keys or {}).items()],
            "StorageDescriptor": {
                "Location": location,
                "Columns": [{"Name": column, "Type": kind} for column, kind in columns.items()],
                "SerdeInfo": {"SerializationLibrary": serde, "Parameters": parameters or {}},
            },
        },
    }
