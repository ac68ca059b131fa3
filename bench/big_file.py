"""Uploads and downloads a file of 1 GB by presigned URLs; the file service's memory must not grow.

Memory is read from /proc during the transfer, so it runs on the machine of the laptop stack, under Linux. Run it with
`python -m bench.big_file`.
"""

import argparse
import asyncio
import hashlib
import random
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import msgspec

from bench.figures import print_table, save_figures, verdict
from bench.server import Server, running_server
from converto_client import AsyncConverto, ClientError

MIB = 1024 * 1024
LIMIT_GROWTH_MIB = 20.0
SAMPLE_INTERVAL_S = 0.05
PIECE_BYTES = 4 * MIB
TIMEOUT_S = 120.0
_PIXELS_AT = 128  # after the header and nine tags


class Measured(msgspec.Struct, frozen=True):
    """Seconds and memory in MiB; `peak` is the maximum during the transfer."""

    upload_s: float
    download_s: float
    before_mib: float
    peak_mib: float
    after_mib: float


def write_big_picture(path: Path, size_bytes: int) -> str:
    """Write an uncompressed grey TIFF of about that size (noise repeated every 4 MiB) and return its SHA-256."""
    side = int(size_bytes**0.5)
    tags = (
        (256, side),
        (257, side),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, _PIXELS_AT),
        (277, 1),
        (278, side),
        (279, side * side),
    )
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + directory + b"\0" * 4
    digest = hashlib.sha256()
    with path.open("wb") as written:
        for piece in (head.ljust(_PIXELS_AT, b"\0"), *_noise(side * side)):
            written.write(piece)
            digest.update(piece)
    return digest.hexdigest()


def _noise(size_bytes: int) -> Iterator[bytes]:
    piece = random.Random(1).randbytes(PIECE_BYTES)
    for start in range(0, size_bytes, PIECE_BYTES):
        yield piece[: size_bytes - start]


def memory_mib(pid: int) -> float:
    """Return the resident memory of a process and all its children, in MiB."""
    return sum(_resident_kib(member) for member in (pid, *_descendants(pid))) / 1024


def _resident_kib(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
    return 0


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                found += [int(child), *_descendants(int(child))]
    return found


async def watched(pid: int, seen: list[float]) -> None:
    """Append the memory of a process to `seen` repeatedly until cancelled."""
    while True:
        seen.append(await asyncio.to_thread(memory_mib, pid))
        await asyncio.sleep(SAMPLE_INTERVAL_S)


async def measured(server: Server, size_bytes: int) -> Measured:
    """Upload, download and compare. Exits if the bytes differ."""
    pid, seen = server.pids["api"], list[float]()
    with tempfile.TemporaryDirectory(prefix="converto-bench-") as name:
        source = Path(name) / "big.tiff"
        sha256 = await asyncio.to_thread(write_big_picture, source, size_bytes)
        before_mib = memory_mib(pid)
        watcher = asyncio.create_task(watched(pid, seen))
        try:
            upload_s, download_s = await _there_and_back(server, source, sha256)
        finally:
            watcher.cancel()
    return Measured(upload_s, download_s, before_mib, max([before_mib, *seen]), memory_mib(pid))


async def _there_and_back(server: Server, source: Path, sha256: str) -> tuple[float, float]:
    async with AsyncConverto(server.url, server.api_key, timeout_s=TIMEOUT_S) as client:
        started = time.perf_counter()
        file = await client.upload(source)
        uploaded = time.perf_counter()
        try:
            digest = await _downloaded_sha256(server, file.id)
        finally:
            downloaded = time.perf_counter()
            await client.delete_file(file.id)
    if digest != sha256:
        sys.exit(f"The downloaded file differs from the uploaded one: SHA-256 {digest} instead of {sha256}.")
    return uploaded - started, downloaded - uploaded


async def _downloaded_sha256(server: Server, file_id: str) -> str:
    headers, digest = {"Authorization": f"Bearer {server.api_key}"}, hashlib.sha256()
    async with httpx2.AsyncClient(timeout=TIMEOUT_S) as client:
        # Follow the redirect by hand: the key must not be sent to the object store.
        redirect = await client.get(f"{server.url}/api/v1/files/{file_id}/content", headers=headers)
        async with client.stream("GET", redirect.headers["Location"]) as response:
            response.raise_for_status()
            async for piece in response.aiter_bytes(PIECE_BYTES):
                digest.update(piece)
    return digest.hexdigest()


def main() -> int:
    """Return 0 if the file service's memory grew by less than the limit, else 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=1024)
    size_bytes: int = parser.parse_args().mebibytes * MIB
    server = running_server()
    if "api" not in server.pids:
        sys.exit("This benchmark needs the laptop stack (`make up`): it reads the file service's memory from /proc.")
    try:
        result = asyncio.run(measured(server, size_bytes))
    except (ClientError, httpx2.HTTPError) as error:
        sys.exit(f"The upload or download failed: {error}")
    mib = size_bytes / MIB
    rows = [
        ["upload", f"{result.upload_s:.1f} s", f"{mib / result.upload_s:.0f} MiB/s"],
        ["download", f"{result.download_s:.1f} s", f"{mib / result.download_s:.0f} MiB/s"],
        ["file service before", f"{result.before_mib:.1f} MiB", ""],
        ["file service, maximum", f"{result.peak_mib:.1f} MiB", ""],
        ["file service after", f"{result.after_mib:.1f} MiB", ""],
    ]
    print_table(f"One file of {mib:.0f} MiB up and down", ["", "", ""], rows)
    growth_mib = round(result.peak_mib - result.before_mib, 1)
    is_met = verdict("growth at the peak, MiB", growth_mib, LIMIT_GROWTH_MIB)
    save_figures("big_file", {"size_bytes": size_bytes, "growth_mib": growth_mib, **msgspec.to_builtins(result)})
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
