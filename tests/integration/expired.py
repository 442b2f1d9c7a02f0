"""Iterators that are older than five minutes, without waiting for them to be (B7)."""

import json
import urllib.request
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.padding import PKCS7
from targets import EMBEDDED, Target

_AGE_S: Final = 301
# LocalStack's Kinesis encrypts its iterators with a key that stands in its source: first the time, in 14 digits.
_CIPHER: Final = Cipher(
    AES(bytes.fromhex("1133a5a833666b49abf28c8ba302930f0b2fb240dccd43cf4dfbc0ca91f17751")),
    CBC(bytes.fromhex("7bf139dbabbea2d9995d6fcae1dff7da")),
)
_HEAD: Final = bytes([0] * 7 + [1])
_DIGITS: Final = 14


@contextmanager
def expired(target: Target, iterator: str) -> Iterator[str]:
    """`iterator`, of LocalStack or of the model Kinesis, as it is five minutes later, while the context is open."""
    if target.name != EMBEDDED:
        yield _made_earlier(iterator)
        return
    _advance_clock(target, _AGE_S)
    try:
        yield iterator
    finally:
        _advance_clock(target, -_AGE_S)  # others use the model too


def _advance_clock(target: Target, seconds: float) -> None:
    body = json.dumps({"advance_s": seconds}).encode()
    with urllib.request.urlopen(f"{target.endpoint('kinesis')}/_clock", data=body, timeout=10) as answer:
        assert "now_ms" in json.load(answer)


def _made_earlier(iterator: str) -> str:
    head, encrypted = b64decode(iterator)[: len(_HEAD)], b64decode(iterator)[len(_HEAD) :]
    assert head == _HEAD
    decryptor, unpadder = _CIPHER.decryptor(), PKCS7(128).unpadder()
    text = unpadder.update(decryptor.update(encrypted) + decryptor.finalize()) + unpadder.finalize()
    made_ms = int(text[:_DIGITS]) - 1000 * _AGE_S
    encryptor, padder = _CIPHER.encryptor(), PKCS7(128).padder()
    padded = padder.update(b"%0*d" % (_DIGITS, made_ms) + text[_DIGITS:]) + padder.finalize()
    return b64encode(_HEAD + encryptor.update(padded) + encryptor.finalize()).decode()
