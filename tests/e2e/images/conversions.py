"""What is converted to see that an image is complete: for each program of a worker one conversion that needs it."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import httpx2
import msgspec

from converto_core.catalogue import Worker
from converto_core.formats import Family
from converto_engines.installed import build_converters
from converto_engines.runtime.process import Sandbox
from converto_infra.mongo.stores import MongoStores
from tests.e2e.images.container import Container
from tests.e2e.plain_http import fetch, finish, start

Conversions = Iterable[tuple[str, str]]

CONVERSIONS: Mapping[str, Conversions] = {
    "worker-image": (("photo.jpg", "webp"), ("drawing.png", "avif"), ("paper.pdf", "png"), ("paper.pdf", "txt")),
    "worker-media": (("clip.avi", "mp4"), ("clip.avi", "gif"), ("tone.wav", "mp3"), ("tone.wav", "opus")),
    "worker-model": (("bracket.step", "glb"), ("bracket.step", "png")),
    "worker-office": (("deck.pptx", "pdf"), ("deck.pptx", "png"), ("notes.md", "pdf"), ("book.epub", "pdf")),
}
MAGIC = {
    **{"avif": b"ftypavif", "flac": b"fLaC", "gif": b"GIF8", "glb": b"glTF", "mp3": b"ID3", "mp4": b"ftyp"},
    **{"opus": b"OpusHead", "pdf": b"%PDF", "png": b"PNG", "txt": b"", "webp": b"WEBP"},
}


def convert(http: httpx2.Client, samples: Mapping[str, Path], conversions: Conversions) -> None:
    """Upload each file, wait for the end, and look at the results."""
    for name, target in conversions:
        ended = finish(http, start(http, samples[name], target)["id"])
        assert ended["status"] == "completed", ended
        outputs = fetch(http, ended["id"])
        assert outputs
        assert all(MAGIC[target] in output[:200] and len(output) > 50 for output in outputs)


class Converting(msgspec.Struct, frozen=True):
    """The file service, the database and the samples."""

    http: httpx2.Client
    stores: MongoStores
    samples: Mapping[str, Path]

    def convert(self, conversions: Conversions) -> None:
        """Convert samples through the running containers."""
        convert(self.http, self.samples, conversions)

    async def expect_all_converters(self, container: Container) -> None:
        """The worker found everything that the converters of its families need."""
        families = [Family(name) for name in container.image.environment["CONVERTO_FAMILIES"].split(",")]
        declared = {converter.name for converter in build_converters(Sandbox("off"), families)}
        assert {offer.converter for offer in (await self.record_of(container)).offers} == declared

    async def record_of(self, container: Container) -> Worker:
        """Return what the worker in this container says about itself."""
        (worker,) = [worker for worker in await self.stores.workers.seen_since(0) if worker.host == container.name]
        return worker
