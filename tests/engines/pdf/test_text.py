"""The text of PDFs with the real poppler: known words at known places (behaviour I13)."""

from pathlib import Path

import pytest
from PIL import Image

from converto_core.errors import BadOptions, BadSource
from converto_engines.pdf.text import PdfText
from converto_engines.runtime.process import Sandbox
from tests.assets.plain_pdf import Page, make_pdf, written
from tests.engines.conftest import RunJob
from tests.engines.pdf.lanes import convert_each


@pytest.fixture
def three_pages(tmp_path: Path) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    return make_pdf(folder / "three.pdf", [Page(text="First words"), Page(text="Second, caf\\351"), Page(text="Third")])


async def test_text_has_the_words_of_each_page_in_order(texts: PdfText, run_job: RunJob, three_pages: Path) -> None:
    (product,) = await run_job(texts, three_pages, "pdf", "txt")

    assert product.page is None
    pages = product.path.read_text(encoding="utf-8").split("\f")
    assert [page.strip() for page in pages] == ["First words", "Second, café", "Third", ""]


async def test_only_words_of_chosen_pages(texts: PdfText, run_job: RunJob, three_pages: Path) -> None:
    (product,) = await run_job(texts, three_pages, "pdf", "txt", pages="3,1")

    assert product.path.read_text().split() == ["First", "words", "Third"]
    with pytest.raises(BadOptions, match="page 9"):
        await run_job(texts, three_pages, "pdf", "txt", pages="2-9")


async def test_many_pages_are_read_in_order_with_progress(texts: PdfText, run_job: RunJob, tmp_path: Path) -> None:
    source = make_pdf(tmp_path / "many.pdf", [Page(text=f"Page {number}") for number in range(1, 131)])
    told: list[float] = []

    (product,) = await run_job(
        texts, source, "pdf", "txt", report=lambda percent, _: told.append(percent if percent is not None else -1)
    )

    assert product.path.read_text().split("\f")[:-1] == [f"Page {number}\n\n" for number in range(1, 131)]
    assert told == sorted(told)
    assert told[-1] == 100
    assert sorted(path.name for path in product.path.parent.iterdir()) == ["source", "text.txt"]


async def test_layout_keeps_columns_side_by_side(texts: PdfText, run_job: RunJob, tmp_path: Path) -> None:
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


async def test_pdf_of_pictures_is_an_empty_source(texts: PdfText, run_job: RunJob, tmp_path: Path) -> None:
    Image.effect_noise((200, 200), 80).save(tmp_path / "scan.pdf")

    with pytest.raises(BadSource, match=r"contains no text\. Text in pictures .* cannot be recognised") as caught:
        await run_job(texts, tmp_path / "scan.pdf", "pdf", "txt")

    assert caught.value.stable_code == "source_empty"


async def test_version_of_poppler(texts: PdfText) -> None:
    version = await texts.version()

    assert version is not None
    assert version[0].isdigit()


@pytest.mark.corpus
async def test_owner_password_does_not_hide_the_text(texts: PdfText, run_job: RunJob, corpus: Path) -> None:
    (product,) = await run_job(texts, corpus / "hostile_made/encrypted_owneronly.pdf", "pdf", "txt")

    assert "Lorem ipsum" in product.path.read_text()


@pytest.mark.corpus
async def test_corpus_has_text_or_is_an_empty_source(sandbox: Sandbox, run_job: RunJob, corpus: Path) -> None:
    without: list[str] = []

    async def read(converter: PdfText, source: Path) -> None:
        try:
            (product,) = await run_job(converter, source, "pdf", "txt")
        except BadSource as error:
            without.append(f"{source.name}: {error.stable_code}")
            return
        assert product.path.read_text(encoding="utf-8").strip(), source.name

    await convert_each((corpus / "pdf").glob("*.pdf"), [PdfText(sandbox), PdfText(sandbox)], read)
    assert all(line.endswith(": source_empty") for line in without)
    assert len(without) < 12
