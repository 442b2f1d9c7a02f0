"""Passes TCP connections on: `python -m infra.forward PORT=HOST:PORT ...`, for ports of containers on the host."""

import asyncio
import contextlib
import sys
from typing import Final

_CHUNK: Final = 65_536


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


async def forward(port: int, host: str, to_port: int, address: str = "0.0.0.0") -> asyncio.Server:
    """Listens at `port` and passes every connection on to `host`, byte by byte, in both directions."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            onward_reader, onward_writer = await asyncio.open_connection(host, to_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, onward_writer), _copy(onward_reader, writer))
        onward_writer.close()
        writer.close()

    return await asyncio.start_server(connected, address, port)


async def _serve(pairs: list[tuple[int, str, int]]) -> None:
    servers = [await forward(*pair) for pair in pairs]
    await asyncio.gather(*(server.serve_forever() for server in servers))


def main() -> None:
    """Serves until it is ended."""
    pairs = []
    for argument in sys.argv[1:]:
        port, _, to = argument.partition("=")
        host, _, to_port = to.partition(":")
        if not (port.isdecimal() and host and to_port.isdecimal()):
            sys.exit(f"{argument!r} is no PORT=HOST:PORT, e.g. 4566=localstack:4566.")
        pairs.append((int(port), host, int(to_port)))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(pairs))


if __name__ == "__main__":
    main()
