"""Every family converts where the kernel has no user namespaces, as in most containers.

The unprivileged way of confining keeps promise 6; the results themselves are looked at in the families' own tests.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from converto_core.catalogue import Offer
from converto_core.errors import EngineMissing
from converto_engines.converter import Converter, offers_of
from converto_engines.installed import build_converters
from converto_engines.runtime.process import Sandbox
from converto_engines.sniffing import sniff
from tests.assets.make_samples import make_samples
from tests.conftest import skip_or_fail
from tests.engines.chains import run_chain
from tests.engines.conftest import RunJob


@pytest.fixture(scope="module")
async def converters() -> AsyncIterator[Sequence[Converter]]:
    try:
        sandbox = await Sandbox.choose("seccomp")
    except EngineMissing as error:
        skip_or_fail(str(error))
    built = build_converters(sandbox)
    yield built
    for converter in built:
        await converter.aclose()


@pytest.fixture(scope="module")
async def offers(converters: Sequence[Converter]) -> tuple[Offer, ...]:
    return await offers_of(converters)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_samples(tmp_path_factory.mktemp("samples"))


async def test_all_converters_are_offered_without_namespaces(
    converters: Sequence[Converter], offers: tuple[Offer, ...]
) -> None:
    assert {offer.converter for offer in offers} == {converter.name for converter in converters}


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("deck.pptx", "pdf"),
        ("deck.pptx", "odp"),
        ("table.xlsx", "csv"),
        ("notes.md", "pdf"),
        ("book.epub", "txt"),
        ("captions.srt", "vtt"),
        ("paper.pdf", "pdf"),
        ("paper.pdf", "txt"),
        ("photo.jpg", "webp"),
        ("photo.jpg", "pdf"),
        ("clip.avi", "mp4"),
        ("clip.avi", "gif"),
        ("clip.avi", "jpg"),
        ("tone.wav", "mp3"),
        ("bracket.step", "glb"),
        ("bracket.step", "obj"),
        ("bracket.step", "png"),
    ],
)
async def test_samples_convert_without_namespaces(
    converters: Sequence[Converter],
    offers: tuple[Offer, ...],
    run_job: RunJob,
    samples: dict[str, Path],
    *,
    name: str,
    target: str,
) -> None:
    """I13, C6, M10: a worker on Fargate converts the same files as a laptop."""
    source = samples[name]

    made = await run_chain(run_job, converters, source, (source.suffix.lstrip("."), target), offers=offers)

    sniffed = sniff.sniff_path(made, filename=f"result.{target}")
    assert sniffed.format == target
