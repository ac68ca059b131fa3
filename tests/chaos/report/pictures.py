"""The pictures that a run has to produce: made by the same converter, alone and away from the system under test."""

import asyncio
import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from converto_engines.converter import Job, Limits, ignore_report, options_for
from converto_engines.pictures.pictures import Pictures
from converto_engines.runtime.process import Sandbox
from tests.chaos.report.rereads import until_answered

AT_ONCE = 2
LIMITS = Limits(wall_s=60, cpu_s=60)


async def expected_pictures(contents: Sequence[bytes]) -> Mapping[str, bytes]:
    """Return the WebP of each of these PNG files by the sha256 of the PNG."""
    unique = {hashlib.sha256(content).hexdigest(): content for content in contents}
    if not unique:
        return {}
    limit, sandbox = asyncio.Semaphore(AT_ONCE), await Sandbox.choose("auto")
    converter = Pictures(sandbox)

    async def make(sha256: str, content: bytes) -> tuple[str, bytes]:
        async with limit:
            return sha256, await until_answered("a picture to compare with", lambda: _convert(converter, content))

    try:
        return dict(await asyncio.gather(*(make(*each) for each in unique.items())))
    finally:
        await converter.aclose()


async def _convert(converter: Pictures, content: bytes) -> bytes:
    with tempfile.TemporaryDirectory(prefix="chaos-picture-") as name:
        folder = Path(name)
        source = folder / "source"
        source.write_bytes(content)
        (product,) = await converter.convert(
            Job(
                source=source,
                source_format="png",
                target_format="webp",
                folder=folder,
                options=options_for(converter, {}),
                limits=LIMITS,
                report=ignore_report,
            )
        )
        return product.path.read_bytes()
