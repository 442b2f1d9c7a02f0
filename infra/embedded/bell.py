"""Wakes a thread that waits for a socket as well."""

import os


class Bell:
    """Can be waited for with a selector, and rung from any thread; ringing twice is as good as once."""

    def __init__(self) -> None:
        self._rung = False
        self._read, self._write = os.pipe()

    def fileno(self) -> int:
        return self._read

    def ring(self) -> None:
        if not self._rung:
            self._rung = True
            os.write(self._write, b"!")

    def hush(self) -> None:
        """Makes a bell that rang ready to ring again. What it was rung for is to be looked at afterwards."""
        os.read(self._read, 1)
        self._rung = False

    def close(self) -> None:
        os.close(self._read)
        os.close(self._write)
