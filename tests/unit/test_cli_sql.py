"""`hydrant sql`: the files that it reads."""

import tempfile
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from pipelines.cli.main import app
from pipelines.cli.sql import _Lines
from pipelines.runtime.errors import ConfigurationError

REQUEST = {
    "ApplicationName": "ticks",
    "Inputs": [
        {
            "NamePrefix": "IN",
            "KinesisStreamsInput": {
                "ResourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/ticks",
                "RoleARN": "arn:aws:iam::000000000000:role/analytics",
            },
            "InputSchema": {
                "RecordFormat": {"RecordFormatType": "JSON"},
                "RecordColumns": [{"Name": "PRICE", "SqlType": "DOUBLE"}],
            },
        }
    ],
}
SEPARATORS = "\u2028\u2029\u0085\x0b\x0c\x1c\r"
"""Where str.splitlines() ends a line, and JSON does not."""


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(SEPARATORS + "\n"))), st.data())
def test_a_row_is_a_line_whatever_its_texts_hold_and_however_far_it_is_written(texts, data):
    written = b"".join(orjson.dumps({"t": text}) + b"\n" for text in texts)
    cut = data.draw(st.integers(0, len(written)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.jsonl")
        lines = _Lines(path)
        found = lines.more()
        for part in (written[:cut], written[cut:]):
            with path.open("ab") as file:
                file.write(part)
            found += lines.more()
        assert [orjson.loads(line)["t"] for line in found] == texts
        assert lines.more() == []


def test_separators_of_unicode_end_no_line(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(orjson.dumps({"t": SEPARATORS}) + b"\n")
    assert [orjson.loads(line) for line in _Lines(path).more()] == [{"t": SEPARATORS}]


def test_code_that_is_no_utf_8_is_refused_and_the_file_named(tmp_path):
    code, request = tmp_path / "code.sql", tmp_path / "application.json"
    code.write_bytes('-- café\nCREATE STREAM "O" (p DOUBLE);'.encode("latin-1"))
    request.write_bytes(orjson.dumps(REQUEST))
    with pytest.raises(ConfigurationError, match="is no text in UTF-8") as refused:
        CliRunner().invoke(app, ["sql", str(code), "--application", str(request)], catch_exceptions=False)
    assert str(code) in refused.value.message
    assert "iconv" in refused.value.fix
