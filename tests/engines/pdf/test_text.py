"""The text of PDFs with the real poppler: known words at known places (behaviour I13)."""

from pathlib import Path

import pytest
from PIL import Image

from converto_core.errors import BadOptions, BadSource, ConversionError, CorruptSource, EncryptedSource, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.pdf.text import PdfText
from converto_engines.runtime.process import Sandbox
from tests.assets.plain_pdf import Page, form_bomb, make_pdf, written
from tests.engines.conftest import RunJob


@pytest.fixture
def texts(sandbox: Sandbox) -> PdfText:
    return PdfText(sandbox)


@pytest.fixture
def three_pages(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    return make_pdf(folder / "three.pdf", [Page(text="First words"), Page(text="Second, caf\\351"), Page(text="Third")])


async def test_pdf_when_read_then_the_words_of_each_page_in_order(
    texts: PdfText, run_job: RunJob, three_pages: Path
) -> None:
    (product,) = await run_job(texts, three_pages, "pdf", "txt")

    assert product.page is None
    pages = product.path.read_text(encoding="utf-8").split("\f")
    assert [page.strip() for page in pages] == ["First words", "Second, café", "Third", ""]


async def test_pages_when_chosen_then_only_their_words(texts: PdfText, run_job: RunJob, three_pages: Path) -> None:
    (product,) = await run_job(texts, three_pages, "pdf", "txt", pages="3,1")

    assert product.path.read_text().split() == ["First", "words", "Third"]
    with pytest.raises(BadOptions, match="page 9"):
        await run_job(texts, three_pages, "pdf", "txt", pages="2-9")


async def test_pdf_when_it_has_many_pages_then_all_are_read_in_order_and_progress_rises(
    texts: PdfText, run_job: RunJob, tmp_path: Path
) -> None:
    source = make_pdf(tmp_path / "many.pdf", [Page(text=f"Page {number}") for number in range(1, 131)])
    told: list[float] = []

    (product,) = await run_job(
        texts, source, "pdf", "txt", report=lambda percent, _: told.append(percent if percent is not None else -1)
    )

    assert product.path.read_text().split("\f")[:-1] == [f"Page {number}\n\n" for number in range(1, 131)]
    assert told == sorted(told)
    assert told[-1] == 100
    assert sorted(path.name for path in product.path.parent.iterdir()) == ["source", "text.txt"]


async def test_layout_when_asked_then_columns_stay_side_by_side(
    texts: PdfText, run_job: RunJob, tmp_path: Path
) -> None:
    rows = [("Apples", "12"), ("Pears", "7"), ("Plums", "130")]
    shown = "BT /F1 12 Tf "
    for number, (left, right) in enumerate(rows):
        height = 150 - 20 * number
        shown += f"1 0 0 1 20 {height} Tm ({left}) Tj 1 0 0 1 300 {height} Tm ({right}) Tj "
    shown += "ET"
    source = written(
        tmp_path / "table.pdf",
        [
            "<< /Type /Catalog /Pages 2 0 R >>",
            "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 400 200] /Contents 4 0 R "
            "/Resources << /Font << /F1 5 0 R >> >> >>",
            f"<< /Length {len(shown)} >>\nstream\n{shown}\nendstream",
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        ],
    )

    (in_order,) = await run_job(texts, source, "pdf", "txt")
    (laid_out,) = await run_job(texts, source, "pdf", "txt", layout=True)

    lines = [line for line in laid_out.path.read_text().splitlines() if line.strip("\f ")]
    assert [tuple(line.split()) for line in lines] == rows
    assert len({len(line) - len(line.split()[1]) for line in lines}) == 1
    assert "  " in lines[0]
    assert "  " not in in_order.path.read_text()


async def test_pdf_when_it_holds_pictures_only_then_it_says_so(texts: PdfText, run_job: RunJob, tmp_path: Path) -> None:
    Image.effect_noise((200, 200), 80).save(tmp_path / "scan.pdf")

    with pytest.raises(BadSource, match=r"no text, only pictures .* cannot be recognised") as caught:
        await run_job(texts, tmp_path / "scan.pdf", "pdf", "txt")

    assert caught.value.stable_code == "source_empty"


async def test_pdf_when_it_has_more_pages_than_allowed_then_too_large(
    texts: PdfText, run_job: RunJob, three_pages: Path
) -> None:
    with pytest.raises(SourceTooLarge, match="3 pages are too many; 2"):
        await run_job(texts, three_pages, "pdf", "txt", limits=Limits(pages=2))


async def test_pdf_when_forms_draw_each_other_for_ever_then_it_ends_within_its_limits(
    texts: PdfText, run_job: RunJob, tmp_path: Path, three_pages: Path
) -> None:
    """I13: and the next file is converted."""
    with pytest.raises(ConversionError):
        await run_job(texts, form_bomb(tmp_path / "bomb.pdf"), "pdf", "txt", limits=Limits(wall_s=10, cpu_s=3))
    assert await run_job(texts, three_pages, "pdf", "txt")


async def test_version_when_installed_then_named(texts: PdfText) -> None:
    version = await texts.version()

    assert version is not None
    assert version[0].isdigit()


HOSTILE = {
    "hostile_made/encrypted_user.pdf": EncryptedSource,
    "hostile_made/truncated_half.pdf": CorruptSource,
    "hostile_made/html_named.pdf": CorruptSource,
    "hostile_made/bitflips.pdf": CorruptSource,
}


@pytest.mark.corpus
@pytest.mark.parametrize(("name", "error"), HOSTILE.items())
async def test_pdf_when_hostile_then_a_clear_error(
    texts: PdfText, run_job: RunJob, corpus: Path, name: str, error: type[Exception]
) -> None:
    """I13: corrupted and encrypted files fail clearly."""
    with pytest.raises(error):
        await run_job(texts, corpus / name, "pdf", "txt")


@pytest.mark.corpus
async def test_pdf_when_only_the_owner_has_a_password_then_its_text_is_read(
    texts: PdfText, run_job: RunJob, corpus: Path
) -> None:
    (product,) = await run_job(texts, corpus / "hostile_made/encrypted_owneronly.pdf", "pdf", "txt")

    assert "Lorem ipsum" in product.path.read_text()


@pytest.mark.corpus
async def test_pdf_when_from_the_corpus_then_text_or_a_clear_word_that_there_is_none(
    texts: PdfText, run_job: RunJob, corpus: Path
) -> None:
    without: list[str] = []
    for source in sorted((corpus / "pdf").glob("*.pdf")):
        try:
            (product,) = await run_job(texts, source, "pdf", "txt")
        except BadSource as error:
            without.append(f"{source.name}: {error.stable_code}")
            continue
        assert product.path.read_text(encoding="utf-8").strip(), source.name
    assert all(line.endswith(": source_empty") for line in without)
    assert len(without) < 12


@pytest.mark.corpus
async def test_pdf_when_found_hostile_then_it_ends_within_its_limits(
    texts: PdfText, run_job: RunJob, corpus: Path
) -> None:
    """I13."""
    for source in sorted((corpus / "hostile_found").glob("*.pdf")):
        try:
            (product,) = await run_job(texts, source, "pdf", "txt", limits=Limits(wall_s=5, cpu_s=4))
        except ConversionError:
            continue
        assert product.path.read_text(encoding="utf-8").strip(), source.name
