"""Encrypted documents open with their password, in every format that LibreOffice can decrypt."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import openpyxl
import pytest

from converto_core.errors import BadSource, CorruptSource, EncryptedSource, WrongPassword
from converto_core.secret import Secret
from converto_engines.converter import Job, Limits, ignore_report
from converto_engines.office.documents import OfficeDocuments, OfficeText
from converto_engines.office.libreoffice import LibreOffice, OfficeOptions, _can_run_alone
from converto_engines.office.open_document import PASSWORD_SOURCES
from converto_engines.office.sheets import OfficeSheets
from converto_engines.office.slides import OfficeSlides
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.process import Sandbox
from converto_engines.sniffing.sniff import decide, sniff_path
from tests.engines.office.locked import WRITERS, Wanted, save
from tests.engines.office.samples import book, deck, letter, page_texts

Convert = Callable[..., Awaitable[Path]]
WORD = "Sesam öffne"  # the old formats take 15 characters
SOURCES = {
    **dict.fromkeys(("docx", "doc", "odt"), "letter.docx"),
    **dict.fromkeys(("pptx", "odp"), "deck.pptx"),
    **dict.fromkeys(("xlsx", "xls", "ods"), "book.xlsx"),
}
SHOWN = {"letter.docx": "Page 1", "deck.pptx": "Slide 1", "book.xlsx": "apples"}

every_format = pytest.mark.parametrize("source_format", WRITERS)


@pytest.fixture(scope="module")
def locked(warm: WarmOffice, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One encrypted document of each format; `warm` says that LibreOffice is installed."""
    folder = tmp_path_factory.mktemp("locked")
    letter(folder / "letter.docx", 2)
    deck(folder / "deck.pptx", 2)
    book(folder / "book.xlsx")
    made = {name: folder / f"locked.{name}" for name in WRITERS}
    save([Wanted(folder / SOURCES[name], path, WORD) for name, path in made.items()], folder / "profile")
    return made


@every_format
async def test_encrypted_document_opens_with_its_password(
    convert: Convert, locked: dict[str, Path], source_format: str
) -> None:
    source = locked[source_format]

    assert decide(source.name, sniff_path(source), has_password=True).name == source_format
    text = page_texts(await convert(source, password=WORD))[0]
    assert SHOWN[SOURCES[source_format]] in text


@every_format
async def test_wrong_password_is_called_wrong(convert: Convert, locked: dict[str, Path], source_format: str) -> None:
    """I13: neither the file nor a missing password is blamed."""
    with pytest.raises(WrongPassword) as caught:
        await convert(locked[source_format], password="open sesame")

    assert (caught.value.stable_code, caught.value.retryable) == ("password_wrong", False)
    assert "sesame" not in f"{caught.value} {caught.value.detail}"


@every_format
async def test_missing_password_names_the_option(convert: Convert, locked: dict[str, Path], source_format: str) -> None:
    with pytest.raises(EncryptedSource, match="option password") as caught:
        await convert(locked[source_format])

    assert caught.value.stable_code == "source_encrypted"


async def test_password_for_an_open_document_is_ignored(convert: Convert, tmp_path: Path) -> None:
    assert len(page_texts(await convert(letter(tmp_path / "a.docx", 2), password=WORD))) == 2
    assert len(page_texts(await convert(deck(tmp_path / "a.pptx", 3), password=WORD))) == 3


async def test_damaged_document_is_not_blamed_on_its_password(
    convert: Convert, locked: dict[str, Path], tmp_path: Path
) -> None:
    """The password was accepted, and what it decrypts is broken."""
    damaged, content = tmp_path / "damaged.odt", bytearray(locked["odt"].read_bytes())
    for place in range(len(content) * 2 // 5, len(content) * 3 // 5):
        content[place] ^= 0x55
    damaged.write_bytes(content)

    with pytest.raises(CorruptSource):
        await convert(damaged, password=WORD)


async def test_half_a_document_is_incomplete(convert: Convert, locked: dict[str, Path], tmp_path: Path) -> None:
    half = tmp_path / "half.docx"
    half.write_bytes(locked["docx"].read_bytes()[:3000])

    with pytest.raises(BadSource) as caught:
        await convert(half, password=WORD)
    assert not isinstance(caught.value, EncryptedSource)


@every_format
async def test_result_is_never_encrypted(
    convert: Convert, sandbox: Sandbox, warm: WarmOffice, locked: dict[str, Path], tmp_path: Path, source_format: str
) -> None:
    """Nor is it when the document needed no password: LibreOffice would use one that it was given to load."""
    kinds = {"letter.docx": ("odt", OfficeDocuments), "deck.pptx": ("odp", OfficeSlides)}
    target, kind = kinds.get(SOURCES[source_format], ("ods", OfficeSheets))
    plain = locked[source_format].with_name(SOURCES[source_format])

    for source in (locked[source_format], plain):
        result = await convert(source, target, by=kind(sandbox, warm), password=WORD)
        named = result.rename(tmp_path / f"{source.stem}.{target}")
        assert decide(named.name, sniff_path(named)).name == target


@pytest.mark.parametrize("source_format", ["docx", "doc", "odt"])
async def test_rewritten_document_is_open(
    convert: Convert, sandbox: Sandbox, warm: WarmOffice, locked: dict[str, Path], source_format: str
) -> None:
    """Results have no password: the one who converts has the right to the contents."""
    rewritten = await convert(locked[source_format], "odt", by=OfficeDocuments(sandbox, warm), password=WORD)
    text = await convert(locked[source_format], "txt", by=OfficeText(sandbox, warm), password=WORD)

    assert len(page_texts(await convert(rewritten))) == 2
    assert "Page 2" in text.read_text(encoding="utf-8")


async def test_rewritten_workbook_and_deck_are_open(
    convert: Convert, sandbox: Sandbox, warm: WarmOffice, locked: dict[str, Path]
) -> None:
    workbook = await convert(locked["xls"], "xlsx", by=OfficeSheets(sandbox, warm), password=WORD)
    presentation = await convert(locked["odp"], "pptx", by=OfficeSlides(sandbox, warm), password=WORD)

    assert openpyxl.load_workbook(workbook)["Fruit"]["A1"].value == "apples"
    assert len(page_texts(await convert(presentation))) == 2


@pytest.mark.parametrize(("password", "is_alone"), [(None, True), (Secret(WORD), False)])
def test_password_never_goes_to_a_command_line(tmp_path: Path, password: Secret | None, is_alone: bool) -> None:
    """The single run after a crash takes arguments only."""
    job = Job(
        source=tmp_path / "a.docx",
        source_format="docx",
        target_format="pdf",
        folder=tmp_path,
        options=OfficeOptions(),
        limits=Limits(),
        report=ignore_report,
        password=password,
    )

    assert _can_run_alone(job) is is_alone


def test_every_password_source_is_tried(to_pdf: LibreOffice) -> None:
    """Drawings are stored like texts; no other program writes encrypted ones here."""
    assert set(PASSWORD_SOURCES) == {*WRITERS, "odg"}
    assert to_pdf.password_sources == PASSWORD_SOURCES


@pytest.mark.corpus
@pytest.mark.parametrize(
    "name",
    [
        "hostile_found/tika__testWORD_protected_passtika.docx",
        "hostile_found/poi__protected_passtika.xlsx",
        "hostile_found/tika__testEXCEL_protected_passtika_2.xlsx",
    ],
)
async def test_documents_of_other_programs_open_too(convert: Convert, corpus: Path, name: str) -> None:
    assert page_texts(await convert(corpus / name, password="tika"))[0]
    with pytest.raises(WrongPassword):
        await convert(corpus / name, password="tikka")


@pytest.mark.corpus
async def test_default_password_opens_whatever_is_given(convert: Convert, found: Path) -> None:
    source = found / "poi__protected_agile.docx"

    assert page_texts(await convert(source, password="not this one")) == ["Agile protected document"]
