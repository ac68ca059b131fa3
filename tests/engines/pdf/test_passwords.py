"""Encrypted PDFs open with their password, for every converter, and results have none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pikepdf
import pytest

from converto_core.errors import BadSource, EncryptedSource, WrongPassword
from converto_engines.converter import Converter
from converto_engines.pdf.document import PdfDocument
from converto_engines.pdf.drawings import PdfDrawings
from converto_engines.pdf.pages import PdfPages
from converto_engines.pdf.text import PdfText
from converto_engines.runtime.process import Sandbox
from tests.assets.plain_pdf import Page, make_pdf
from tests.engines.conftest import RunJob
from tests.engines.pdf.colours import colours
from tests.engines.pdf.joining import join

WORD, OWNER = "Sesam öffne dich", "the owner"
TARGETS = {"pages": "png", "document": "pdf", "drawings": "svg", "texts": "txt"}

Lock = Callable[..., Path]


@pytest.fixture
def lock(made: Path) -> Lock:
    """Return a PDF of two pages with text, encrypted as the arguments of `pikepdf.Encryption` say."""

    def locked(name: str = "locked.pdf", **encryption: Any) -> Path:
        plain = make_pdf(made / "plain.pdf", [Page(text="first"), Page(text="second")])
        with pikepdf.open(plain) as document:
            keys = {"user": WORD, "owner": OWNER, **encryption}
            document.save(made / name, encryption=pikepdf.Encryption(**keys))
        return made / name

    return locked


@pytest.fixture(params=TARGETS)
def case(
    request: pytest.FixtureRequest, pages: PdfPages, document: PdfDocument, drawings: PdfDrawings, texts: PdfText
) -> tuple[Converter, str]:
    converters: dict[str, Converter] = {"pages": pages, "document": document, "drawings": drawings, "texts": texts}
    return converters[request.param], TARGETS[request.param]


async def test_every_converter_opens_it_with_the_password(
    case: tuple[Converter, str], run_job: RunJob, lock: Lock
) -> None:
    converter, target = case

    products = await run_job(converter, lock(), "pdf", target, password=WORD)

    assert len(products) == (2 if target in {"png", "svg"} else 1)
    assert converter.password_sources == ("pdf",)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("given", "error"), [(None, EncryptedSource), ("open sesame", WrongPassword)])
async def test_missing_and_wrong_passwords_are_told_apart(
    case: tuple[Converter, str], run_job: RunJob, lock: Lock, given: str | None, error: type[BadSource]
) -> None:
    """I13."""
    converter, target = case

    with pytest.raises(error) as caught:
        await run_job(converter, lock(), "pdf", target, password=given)

    assert type(caught.value) is error
    assert "sesame" not in f"{caught.value} {caught.value.detail}"


@pytest.mark.parametrize("revision", [3, 4, 6])
@pytest.mark.parametrize("given", ["open", OWNER])
async def test_each_encryption_opens_with_either_password(
    texts: PdfText, run_job: RunJob, lock: Lock, revision: int, given: str
) -> None:
    source = lock(user="open", R=revision, aes=revision > 3, metadata=revision > 3)

    (product,) = await run_job(texts, source, "pdf", "txt", password=given)

    assert "second" in product.path.read_text()


async def test_password_for_an_open_pdf_is_ignored(case: tuple[Converter, str], run_job: RunJob, lock: Lock) -> None:
    converter, target = case

    assert await run_job(converter, lock(user=""), "pdf", target, password=WORD)


async def test_result_has_no_password(document: PdfDocument, run_job: RunJob, lock: Lock) -> None:
    (product,) = await run_job(document, lock(), "pdf", "pdf", password=WORD)

    with pikepdf.open(product.path) as opened:
        assert not opened.is_encrypted
        assert len(opened.pages) == 2


async def test_one_password_opens_all_joined_files(
    document: PdfDocument, tmp_path: Path, four: Path, lock: Lock
) -> None:
    first, second = lock("first.pdf"), lock("second.pdf")

    (product,) = await join(document, tmp_path / "job", [first, four, second], password=WORD)

    assert len(pikepdf.open(product.path).pages) == 8
    assert colours(product.path)[2:6] == ["red", "green", "blue", "black"]


async def test_join_names_the_file_of_another_password(document: PdfDocument, tmp_path: Path, lock: Lock) -> None:
    first, second = lock("first.pdf"), lock("second.pdf", user="another")

    with pytest.raises(WrongPassword, match="File 2 of 2"):
        await join(document, tmp_path / "job", [first, second], password=WORD)


async def test_encryption_for_a_certificate_is_not_blamed_on_the_password(
    texts: PdfText, run_job: RunJob, lock: Lock, made: Path
) -> None:
    other = made / "certificate.pdf"
    other.write_bytes(lock(R=4, aes=True).read_bytes().replace(b"/Filter /Standard", b"/Filter /PubSecEc"))

    with pytest.raises(BadSource) as caught:
        await run_job(texts, other, "pdf", "txt", password=WORD)

    assert not isinstance(caught.value, EncryptedSource)


async def test_damaged_pdf_stays_damaged_with_a_password(
    sandbox: Sandbox, case: tuple[Converter, str], run_job: RunJob, made: Path
) -> None:
    del sandbox
    broken = made / "broken.pdf"
    broken.write_bytes(b"%PDF-1.7\nnothing")

    with pytest.raises(BadSource) as caught:
        await run_job(case[0], broken, "pdf", case[1], password=WORD)

    assert caught.value.stable_code == "source_corrupt"
