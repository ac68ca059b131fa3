"""PDF to PDF with the real qpdf, read back with pdfium and Pillow (behaviour I13)."""

import io
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest

from converto_core.errors import (
    BadOptions,
    CorruptSource,
    EncryptedSource,
    SourceTooLarge,
)
from converto_engines.converter import Limits
from converto_engines.pdf.document import PdfDocument
from converto_engines.runtime.process import Sandbox
from tests.assets.plain_pdf import Page, make_pdf
from tests.engines.conftest import RunJob
from tests.engines.pdf.colours import BLUE, colours, sizes
from tests.engines.pdf.joining import join
from tests.engines.pdf.lanes import convert_each


async def test_without_options_the_pages_stay_the_same(document: PdfDocument, run_job: RunJob, four: Path) -> None:
    products = await run_job(document, four, "pdf", "pdf")

    assert [product.page for product in products] == [None]
    assert colours(products[0].path) == ["red", "green", "blue", "black"]
    assert sizes(products[0].path) == sizes(four)


async def test_only_chosen_pages_are_in_the_file(document: PdfDocument, run_job: RunJob, four: Path) -> None:
    (product,) = await run_job(document, four, "pdf", "pdf", pages="4,1-2")

    assert colours(product.path) == ["red", "green", "black"]
    with pikepdf.open(product.path) as made:
        assert sum(1 for entry in made.objects if isinstance(entry, pikepdf.Dictionary) and "/MediaBox" in entry) == 3


@pytest.mark.parametrize("degrees", [90, 180, 270])
async def test_rotate_turns_pages_clockwise(document: PdfDocument, run_job: RunJob, four: Path, degrees: int) -> None:
    (product,) = await run_job(document, four, "pdf", "pdf", rotate=degrees, pages="1,4")

    with pypdfium2.PdfDocument(product.path) as made:
        assert [made[index].get_rotation() for index in range(2)] == [degrees, degrees]
    assert sizes(product.path) == ([(144, 216), (216, 144)] if degrees % 180 else [(216, 144), (144, 216)])


async def test_rotate_pages_are_numbered_as_in_the_source(document: PdfDocument, run_job: RunJob, four: Path) -> None:
    (product,) = await run_job(document, four, "pdf", "pdf", rotate_pages="3", pages="2-4")

    with pypdfium2.PdfDocument(product.path) as made:
        assert [made[index].get_rotation() for index in range(3)] == [0, 90, 0]


async def test_rotation_adds_to_the_current_rotation(document: PdfDocument, run_job: RunJob, tmp_path: Path) -> None:
    (product,) = await run_job(document, make_pdf(tmp_path / "a.pdf", [Page(rotate=270)]), "pdf", "pdf", rotate=180)

    with pypdfium2.PdfDocument(product.path) as made:
        assert made[0].get_rotation() == 90


@pytest.mark.parametrize(
    ("split", "pages", "expected"),
    [
        (1, None, [["red"], ["green"], ["blue"], ["black"]]),
        (3, None, [["red", "green", "blue"], ["black"]]),
        (2, "2-4", [["green", "blue"], ["black"]]),
        (100, None, [["red", "green", "blue", "black"]]),
    ],
)
async def test_split_makes_files_of_n_pages_in_order(
    document: PdfDocument, run_job: RunJob, four: Path, split: int, pages: str | None, expected: list[list[str]]
) -> None:
    products = await run_job(document, four, "pdf", "pdf", split=split, **({"pages": pages} if pages else {}))

    assert [product.page for product in products] == list(range(1, len(expected) + 1))
    assert [colours(product.path) for product in products] == expected


async def test_joined_files_follow_in_order(document: PdfDocument, tmp_path: Path, four: Path) -> None:
    more = make_pdf(tmp_path / "more.pdf", [Page(100, 100, BLUE)])

    (product,) = await join(document, tmp_path / "job", [more, four, more])

    assert colours(product.path) == ["blue", "red", "green", "blue", "black", "blue"]
    assert sizes(product.path)[0] == (100, 100)


async def test_joined_pages_are_numbered_consecutively(document: PdfDocument, tmp_path: Path, four: Path) -> None:
    (product,) = await join(document, tmp_path / "job", [four, four], pages="4-6", rotate=90, rotate_pages="6")

    assert colours(product.path) == ["black", "red", "green"]
    with pypdfium2.PdfDocument(product.path) as made:
        assert [made[index].get_rotation() for index in range(3)] == [0, 0, 90]


async def test_join_names_the_locked_or_damaged_file(document: PdfDocument, tmp_path: Path, four: Path) -> None:
    locked, broken = tmp_path / "locked.pdf", tmp_path / "broken.pdf"
    with pikepdf.open(four) as opened:
        opened.save(locked, encryption=pikepdf.Encryption(user="secret", owner="secret"))
    broken.write_bytes(b"%PDF-1.7\nnothing")

    with pytest.raises(EncryptedSource, match="File 2 of 2"):
        await join(document, tmp_path / "one", [four, locked])
    with pytest.raises(CorruptSource, match="File 3 of 3"):
        await join(document, tmp_path / "two", [four, four, broken])


async def test_join_of_too_many_pages_is_too_large(document: PdfDocument, tmp_path: Path, four: Path) -> None:
    with pytest.raises(SourceTooLarge, match=r"8 pages .*; at most 7"):
        await join(document, tmp_path / "job", [four, four], limits=Limits(pages=7))


async def test_sanitize_removes_active_content_and_keeps_the_rest(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, four: Path
) -> None:
    source = tmp_path / "live.pdf"
    with pikepdf.open(four) as opened:
        script = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS="app.alert('evil script')")
        launch = pikepdf.Dictionary(S=pikepdf.Name.Launch, F="calc.exe")
        link = pikepdf.Dictionary(S=pikepdf.Name.URI, URI="https://example.org/kept")
        opened.Root.OpenAction = script
        opened.attachments["evil.exe"] = b"embedded evil"
        opened.Root.Names.JavaScript = pikepdf.Dictionary(Names=[pikepdf.String("a"), script])
        opened.pages[0].AA = pikepdf.Dictionary(O=script)
        opened.pages[0].Annots = pikepdf.Array(
            [
                pikepdf.Dictionary(Subtype=pikepdf.Name.Link, Rect=[0, 0, 9, 9], A=action)
                for action in (launch, link, pikepdf.Dictionary(S=pikepdf.Name.GoTo, Next=script))
            ]
        )
        opened.save(source)

    (kept,) = await run_job(document, source, "pdf", "pdf")
    (clean,) = await run_job(document, source, "pdf", "pdf", sanitize=True)

    def told(path: Path) -> str:
        with pikepdf.open(path) as made:
            packed = io.BytesIO()
            made.save(packed, qdf=True, compress_streams=False, stream_decode_level=pikepdf.StreamDecodeLevel.all)
        return packed.getvalue().decode("latin-1")

    for word in ("evil script", "calc.exe", "embedded evil", "/Launch", "/JavaScript"):
        assert word in told(kept.path)
        assert word not in told(clean.path)
    assert "https://example.org/kept" in told(clean.path)
    assert colours(clean.path) == ["red", "green", "blue", "black"]


async def test_owner_password_is_removed(document: PdfDocument, run_job: RunJob, tmp_path: Path, four: Path) -> None:
    locked = tmp_path / "locked.pdf"
    with pikepdf.open(four) as opened:
        nothing = pikepdf.Permissions(extract=False, modify_assembly=False, print_lowres=False)
        opened.save(locked, encryption=pikepdf.Encryption(user="", owner="secret", allow=nothing))

    (product,) = await run_job(document, locked, "pdf", "pdf", compress="lossless")

    assert colours(product.path) == ["red", "green", "blue", "black"]
    assert not pikepdf.open(product.path).is_encrypted


async def test_user_password_is_encrypted_source(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, four: Path
) -> None:
    """I13."""
    with pikepdf.open(four) as opened:
        opened.save(tmp_path / "locked.pdf", encryption=pikepdf.Encryption(user="secret", owner="secret"))

    with pytest.raises(EncryptedSource):
        await run_job(document, tmp_path / "locked.pdf", "pdf", "pdf")


async def test_broken_cross_reference_table_is_repaired(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, four: Path
) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(four.read_bytes().replace(b"xref\n0", b"xrof\n9").replace(b"startxref\n", b"startxref\n9"))

    (product,) = await run_job(document, broken, "pdf", "pdf")

    assert colours(product.path) == ["red", "green", "blue", "black"]


async def test_pages_missing_after_repair_are_corrupt(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, four: Path
) -> None:
    """I13: nothing is left out silently."""
    broken = tmp_path / "broken.pdf"
    content = four.read_bytes().replace(b"xref\n0", b"xrof\n9").replace(b"/Kids [3 0 R 5 0 R", b"/Kids [3 0 R      ")
    broken.write_bytes(content)

    with pytest.raises(CorruptSource):
        await run_job(document, broken, "pdf", "pdf")


BAD_OPTIONS: list[dict[str, Any]] = [
    {"pages": "5"},
    {"pages": "3-1"},
    {"rotate": 45},
    {"rotate_pages": "7"},
    {"split": 0},
    {"compress": "much"},
    {"linearize": "yes"},
]


@pytest.mark.parametrize("options", BAD_OPTIONS)
async def test_invalid_options_are_bad_options(
    document: PdfDocument, run_job: RunJob, four: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(BadOptions):
        await run_job(document, four, "pdf", "pdf", **options)


async def test_progress_rises_to_a_hundred(document: PdfDocument, run_job: RunJob, four: Path) -> None:
    told: list[float | None] = []

    await run_job(document, four, "pdf", "pdf", split=1, report=lambda percent, _: told.append(percent))

    known = [percent for percent in told if percent is not None]
    assert known == sorted(known)
    assert known[-1] == 100


async def test_version_of_qpdf(document: PdfDocument) -> None:
    assert await document.version() == pikepdf.__libqpdf_version__


@pytest.mark.corpus
@pytest.mark.parametrize(
    "options",
    [{"compress": "screen"}, {"split": 1, "rotate": 90}, {"linearize": True, "strip": True, "sanitize": True}],
)
async def test_corpus_keeps_pages_and_sizes(
    sandbox: Sandbox, run_job: RunJob, corpus: Path, options: dict[str, Any]
) -> None:
    async def check(converter: PdfDocument, source: Path) -> None:
        products = await run_job(converter, source, "pdf", "pdf", **options)

        made = [size for product in products for size in sizes(product.path)]
        expected = [size[::-1] if "rotate" in options else size for size in sizes(source)]
        assert [pytest.approx(size, abs=1) for size in made] == expected, source.name

    await convert_each((corpus / "pdf").glob("*.pdf"), [PdfDocument(sandbox), PdfDocument(sandbox)], check)
