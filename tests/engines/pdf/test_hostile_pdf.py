"""Hostile PDFs end clearly and within their limits in every PDF converter (behaviour I13)."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from PIL import Image

from converto_core.errors import (
    ConversionError,
    CorruptSource,
    EncryptedSource,
    EngineError,
    EngineTimeout,
    LimitExceeded,
    SourceTooLarge,
)
from converto_engines.converter import Converter, Limits
from converto_engines.pdf.document import PdfDocument
from converto_engines.pdf.drawings import PdfDrawings
from converto_engines.pdf.pages import PdfPages
from converto_engines.pdf.text import PdfText
from converto_engines.runtime.process import Sandbox
from tests.assets.plain_pdf import Page, form_bomb, make_pdf
from tests.engines.conftest import RunJob
from tests.engines.pdf.colours import sizes


class Case(msgspec.Struct, frozen=True):
    """One converter: target, options, limits for hostile files, what they may raise, and a check of their results."""

    kind: Callable[[Sandbox], Any]
    target: str
    is_readable: Callable[[Path], bool]
    options: dict[str, Any] = {}
    limits: Limits = Limits(wall_s=5, cpu_s=4)
    errors: tuple[type[Exception], ...] = (ConversionError,)
    bomb_errors: tuple[type[Exception], ...] = (LimitExceeded, EngineTimeout)


def is_picture(path: Path) -> bool:
    with Image.open(path) as picture:
        picture.load()
        return picture.width > 0


PAGES = Case(
    PdfPages,
    "jpg",
    is_picture,
    {"dpi": 72},
    Limits(wall_s=20, cpu_s=10),
    (CorruptSource, SourceTooLarge, EncryptedSource, EngineError),
)
DRAWINGS = Case(
    PdfDrawings,
    "svg",
    lambda path: ElementTree.parse(path).getroot().attrib["width"].endswith("pt"),
    bomb_errors=(ConversionError,),
)
TEXT = Case(PdfText, "txt", lambda path: bool(path.read_text(encoding="utf-8").strip()))
DOCUMENT = Case(
    PdfDocument, "pdf", lambda path: len(sizes(path)) == 1, {"compress": "screen"}, Limits(wall_s=20, cpu_s=10)
)
CASES = {"pages": PAGES, "drawings": DRAWINGS, "text": TEXT, "document": DOCUMENT}
HOSTILE = {"encrypted_user.pdf": EncryptedSource, "truncated_half.pdf": CorruptSource, "html_named.pdf": CorruptSource}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
async def converter(case: Case, sandbox: Sandbox, pages: PdfPages) -> Converter:
    chosen: Converter = pages if case is PAGES else case.kind(sandbox)
    return chosen


@pytest.mark.corpus
@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_file_fails_clearly(
    case: Case, converter: Converter, run_job: RunJob, corpus: Path, name: str
) -> None:
    """I13: corrupted and encrypted files fail clearly."""
    with pytest.raises(HOSTILE[name]):
        await run_job(converter, corpus / "hostile_made" / name, "pdf", case.target, **case.options)


@pytest.mark.corpus
@pytest.mark.parametrize("case", [PAGES, DRAWINGS, TEXT], ids=lambda case: case.target)
async def test_flipped_bits_are_corrupt(case: Case, converter: Converter, run_job: RunJob, corpus: Path) -> None:
    """I13: qpdf may repair this file; the others cannot read it."""
    with pytest.raises(CorruptSource):
        await run_job(converter, corpus / "hostile_made/bitflips.pdf", "pdf", case.target, **case.options)


@pytest.mark.corpus
async def test_owner_password_does_not_matter(case: Case, converter: Converter, run_job: RunJob, corpus: Path) -> None:
    source = corpus / "hostile_made/encrypted_owneronly.pdf"

    (product,) = await run_job(converter, source, "pdf", case.target, **case.options)

    assert case.is_readable(product.path)


@pytest.mark.corpus
async def test_found_hostile_files_end_within_their_limits(
    case: Case, converter: Converter, run_job: RunJob, corpus: Path
) -> None:
    """I13."""
    sources = sorted((corpus / "hostile_found").glob("*.pdf"))
    for source in [*sources, corpus / "hostile_made/bitflips.pdf"] if case is DOCUMENT else sources:
        try:
            products = await run_job(converter, source, "pdf", case.target, limits=case.limits, **case.options)
        except case.errors:
            continue
        assert all(case.is_readable(product.path) for product in products), source.name


async def test_too_many_pages_are_too_large(
    case: Case, converter: Converter, run_job: RunJob, three_pages: Path
) -> None:
    with pytest.raises(SourceTooLarge, match=r"3 pages .*; at most 2 are allowed"):
        await run_job(converter, three_pages, "pdf", case.target, limits=Limits(pages=2), **case.options)


async def test_form_bomb_ends_and_the_next_file_converts(
    case: Case, converter: Converter, run_job: RunJob, made: Path
) -> None:
    """I13: forms that draw each other endlessly do not stop the worker."""
    limits = Limits(wall_s=6, cpu_s=2, file_bytes=100 * 1024**2)
    bomb = form_bomb(made / "bomb.pdf")

    if case is TEXT:
        with pytest.raises(ConversionError):
            await run_job(converter, bomb, "pdf", case.target, limits=limits)
    else:
        with suppress(*case.bomb_errors):
            assert await run_job(converter, bomb, "pdf", case.target, limits=limits, **case.options)

    following = make_pdf(made / "next.pdf", [Page(text="Next words")])
    assert await run_job(converter, following, "pdf", case.target, **case.options)
