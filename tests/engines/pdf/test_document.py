"""PDF to PDF with the real qpdf, read back with pdfium and Pillow (behaviour I13)."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
from PIL import Image

from converto_core.errors import (
    BadOptions,
    ConversionError,
    CorruptSource,
    EncryptedSource,
    EngineTimeout,
    LimitExceeded,
    SourceTooLarge,
)
from converto_engines.converter import Job, Limits, Product, options_for
from converto_engines.pdf.document import PdfDocument
from converto_engines.runtime.process import Sandbox
from tests.assets.plain_pdf import Page, form_bomb, make_pdf
from tests.engines.conftest import SHORT, RunJob

RED, GREEN, BLUE, BLACK = (255, 0, 0), (0, 128, 0), (0, 0, 255), (0, 0, 0)
NAMES = {RED: "red", GREEN: "green", BLUE: "blue", BLACK: "black"}


@pytest.fixture
def document(sandbox: Sandbox) -> PdfDocument:
    return PdfDocument(sandbox)


@pytest.fixture
def four(tmp_path: Path) -> Path:
    """Red, green, blue and black, the last one upright."""
    folder = tmp_path / "made"
    folder.mkdir()
    colours = [Page(colour=colour) for colour in (RED, GREEN, BLUE)]
    return make_pdf(folder / "four.pdf", [*colours, Page(144, 216, BLACK)])


def colours(path: Path) -> list[str]:
    """Which page is which, by what pdfium draws into its upper left quarter as it lies in the file."""
    with pypdfium2.PdfDocument(path) as opened:
        return [_colour(opened[index]) for index in range(len(opened))]


def sizes(path: Path) -> list[tuple[float, float]]:
    with pypdfium2.PdfDocument(path) as opened:
        return [opened.get_page_size(index) for index in range(len(opened))]


def _colour(page: pypdfium2.PdfPage) -> str:
    picture = page.render(scale=0.25, rotation=-page.get_rotation() % 360).to_pil().convert("RGB")
    pixel = picture.getpixel((picture.width // 4, picture.height // 4))
    assert isinstance(pixel, tuple)
    nearest = min(NAMES, key=lambda colour: sum(abs(a - b) for a, b in zip(colour, pixel, strict=True)))
    return NAMES[nearest]


async def joined(converter: PdfDocument, folder: Path, paths: Sequence[Path], **chosen: Any) -> list[Product]:
    """Run a job of several sources, as the worker does."""
    folder.mkdir()
    copies = [folder / f"source-{number}" for number in range(len(paths))]
    for copy, path in zip(copies, paths, strict=True):
        copy.write_bytes(path.read_bytes())
    return await converter.convert(
        Job(
            source=copies[0],
            more=tuple(copies[1:]),
            source_format="pdf",
            target_format="pdf",
            folder=folder,
            options=options_for(converter, chosen),
            limits=chosen.pop("limits", SHORT),
            report=lambda *_: None,
        )
    )


async def test_pdf_when_nothing_is_asked_then_the_same_pages(
    document: PdfDocument, run_job: RunJob, four: Path
) -> None:
    products = await run_job(document, four, "pdf", "pdf")

    assert [product.page for product in products] == [None]
    assert colours(products[0].path) == ["red", "green", "blue", "black"]
    assert sizes(products[0].path) == sizes(four)


async def test_pages_when_chosen_then_only_those_are_in_the_file(
    document: PdfDocument, run_job: RunJob, four: Path
) -> None:
    (product,) = await run_job(document, four, "pdf", "pdf", pages="4,1-2")

    assert colours(product.path) == ["red", "green", "black"]
    with pikepdf.open(product.path) as made:
        assert sum(1 for entry in made.objects if isinstance(entry, pikepdf.Dictionary) and "/MediaBox" in entry) == 3


@pytest.mark.parametrize("degrees", [90, 180, 270])
async def test_rotate_when_asked_then_pages_lie_turned_clockwise(
    document: PdfDocument, run_job: RunJob, four: Path, degrees: int
) -> None:
    (product,) = await run_job(document, four, "pdf", "pdf", rotate=degrees, pages="1,4")

    with pypdfium2.PdfDocument(product.path) as made:
        assert [made[index].get_rotation() for index in range(2)] == [degrees, degrees]
    assert sizes(product.path) == ([(144, 216), (216, 144)] if degrees % 180 else [(216, 144), (144, 216)])


async def test_rotate_when_pages_are_named_then_only_those_turn_by_their_numbers_in_the_source(
    document: PdfDocument, run_job: RunJob, four: Path
) -> None:
    (product,) = await run_job(document, four, "pdf", "pdf", rotate_pages="3", pages="2-4")

    with pypdfium2.PdfDocument(product.path) as made:
        assert [made[index].get_rotation() for index in range(3)] == [0, 90, 0]


async def test_rotate_when_the_page_is_turned_already_then_both_add_up(
    document: PdfDocument, run_job: RunJob, tmp_path: Path
) -> None:
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
async def test_split_when_asked_then_files_of_so_many_pages_in_order(
    document: PdfDocument, run_job: RunJob, four: Path, split: int, pages: str | None, expected: list[list[str]]
) -> None:
    products = await run_job(document, four, "pdf", "pdf", split=split, **({"pages": pages} if pages else {}))

    assert [product.page for product in products] == list(range(1, len(expected) + 1))
    assert [colours(product.path) for product in products] == expected


async def test_join_when_more_files_come_then_their_pages_follow_in_order(
    document: PdfDocument, tmp_path: Path, four: Path
) -> None:
    more = make_pdf(tmp_path / "more.pdf", [Page(100, 100, BLUE)])

    (product,) = await joined(document, tmp_path / "job", [more, four, more])

    assert colours(product.path) == ["blue", "red", "green", "blue", "black", "blue"]
    assert sizes(product.path)[0] == (100, 100)


async def test_join_when_pages_are_chosen_then_they_are_counted_through_all_files(
    document: PdfDocument, tmp_path: Path, four: Path
) -> None:
    (product,) = await joined(document, tmp_path / "job", [four, four], pages="4-6", rotate=90, rotate_pages="6")

    assert colours(product.path) == ["black", "red", "green"]
    with pypdfium2.PdfDocument(product.path) as made:
        assert [made[index].get_rotation() for index in range(3)] == [0, 0, 90]


async def test_join_when_one_file_is_locked_or_broken_then_it_is_named(
    document: PdfDocument, tmp_path: Path, four: Path
) -> None:
    locked, broken = tmp_path / "locked.pdf", tmp_path / "broken.pdf"
    with pikepdf.open(four) as opened:
        opened.save(locked, encryption=pikepdf.Encryption(user="secret", owner="secret"))
    broken.write_bytes(b"%PDF-1.7\nnothing")

    with pytest.raises(EncryptedSource, match="File 2 of 2"):
        await joined(document, tmp_path / "one", [four, locked])
    with pytest.raises(CorruptSource, match="File 3 of 3"):
        await joined(document, tmp_path / "two", [four, four, broken])


async def test_join_when_there_are_too_many_pages_then_too_large_before_work_starts(
    document: PdfDocument, tmp_path: Path, four: Path
) -> None:
    with pytest.raises(SourceTooLarge, match="8 pages are too many; 7"):
        await joined(document, tmp_path / "job", [four, four], limits=Limits(pages=7))


def with_bookmarks_and_links(source: Path, target: Path) -> Path:
    """Bookmarks to every page, one by name; a link on the first page to the third, another one by name to the last."""
    with pikepdf.open(source) as opened:
        last = pikepdf.make_page_destination(opened, 3, "Fit")
        names = pikepdf.NameTree.new(opened)
        names["the end"] = last
        opened.Root.Names = pikepdf.Dictionary(Dests=names.obj)
        with opened.open_outline() as outline:
            chapter = pikepdf.OutlineItem("Chapter", 0)
            chapter.children.append(pikepdf.OutlineItem("Blue", 2))
            outline.root.extend([chapter, pikepdf.OutlineItem("End", "the end")])
        rectangle = [0, 0, 50, 50]
        opened.pages[0].Annots = pikepdf.Array(
            [
                opened.make_indirect(
                    pikepdf.Dictionary(Type=pikepdf.Name.Annot, Subtype=pikepdf.Name.Link, Rect=rectangle, **more)
                )
                for more in (
                    {"Dest": pikepdf.make_page_destination(opened, 2, "Fit")},
                    {"A": pikepdf.Dictionary(S=pikepdf.Name.GoTo, D=pikepdf.String("the end"))},
                )
            ]
        )
        opened.docinfo["/Title"] = "Four colours"
        opened.docinfo["/Author"] = "A. Painter"
        opened.save(target)
    return target


def bookmarks(path: Path) -> list[tuple[int, str, int | None]]:
    """Level, title and page of every bookmark as pdfium reads them."""
    with pypdfium2.PdfDocument(path) as opened:
        found = []
        for entry in opened.get_toc():
            destination = entry.get_dest()
            found.append((entry.level, entry.get_title(), destination.get_index() if destination else None))
        return found


def link_targets(path: Path) -> list[list[str]]:
    """The colours of the pages that the links of each page lead to."""
    names = colours(path)
    with pikepdf.open(path) as opened:
        ids = [page.obj.objgen for page in opened.pages]
        return [
            [names[ids.index(link.Dest[0].objgen)] for link in page.obj.get("/Annots", []) if "/Dest" in link]
            for page in opened.pages
        ]


async def test_bookmarks_and_links_when_pages_are_chosen_then_they_lead_to_the_pages_that_are_left(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, four: Path
) -> None:
    source = with_bookmarks_and_links(four, tmp_path / "book.pdf")

    (product,) = await run_job(document, source, "pdf", "pdf", pages="1,3-4")

    assert bookmarks(product.path) == [(0, "Chapter", 0), (1, "Blue", 1), (0, "End", 2)]
    assert link_targets(product.path)[0] == ["blue", "black"]


async def test_bookmarks_and_links_when_files_are_joined_then_each_leads_into_its_own_file(
    document: PdfDocument, tmp_path: Path, four: Path
) -> None:
    source = with_bookmarks_and_links(four, tmp_path / "book.pdf")
    more = make_pdf(tmp_path / "more.pdf", [Page(100, 100, RED)])

    (product,) = await joined(document, tmp_path / "job", [more, source])

    assert bookmarks(product.path) == [(0, "Chapter", 1), (1, "Blue", 3), (0, "End", 4)]
    assert link_targets(product.path)[1] == ["blue", "black"]


async def test_fields_when_pages_are_chosen_then_they_can_still_be_filled(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, four: Path
) -> None:
    source = tmp_path / "form.pdf"
    with pikepdf.open(four) as opened:
        field = opened.make_indirect(
            pikepdf.Dictionary(
                Type=pikepdf.Name.Annot,
                Subtype=pikepdf.Name.Widget,
                FT=pikepdf.Name.Tx,
                T="name",
                V="Ada",
                Rect=[10, 10, 90, 30],
            )
        )
        opened.pages[1].Annots = pikepdf.Array([field])
        opened.Root.AcroForm = pikepdf.Dictionary(Fields=[field])
        opened.save(source)

    (product,) = await run_job(document, source, "pdf", "pdf", pages="2-3")

    with pikepdf.open(product.path) as made:
        assert [str(entry.V) for entry in made.Root.AcroForm.Fields] == ["Ada"]


async def test_information_when_strip_is_asked_then_gone_and_else_kept(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, four: Path
) -> None:
    source = with_bookmarks_and_links(four, tmp_path / "book.pdf")
    with pikepdf.open(source, allow_overwriting_input=True) as opened:
        with opened.open_metadata() as metadata:
            metadata["dc:creator"] = ["A. Painter"]
        opened.save()

    (kept,) = await run_job(document, source, "pdf", "pdf")
    (part,) = await run_job(document, source, "pdf", "pdf", pages="1-2")
    (bare,) = await run_job(document, source, "pdf", "pdf", strip=True)

    with pypdfium2.PdfDocument(kept.path) as made:
        assert made.get_metadata_dict(skip_empty=True)["Author"] == "A. Painter"
    with pypdfium2.PdfDocument(part.path) as made:
        assert made.get_metadata_dict(skip_empty=True)["Author"] == "A. Painter"
    with pypdfium2.PdfDocument(bare.path) as made:
        assert made.get_metadata_dict(skip_empty=True) == {}
    assert b"Painter" not in bare.path.read_bytes()
    assert colours(bare.path) == ["red", "green", "blue", "black"]


async def test_linearize_when_asked_then_the_first_page_comes_first(
    document: PdfDocument, run_job: RunJob, four: Path
) -> None:
    (plain,) = await run_job(document, four, "pdf", "pdf")
    products = await run_job(document, four, "pdf", "pdf", linearize=True, split=3, compress="lossless")

    assert not pikepdf.open(plain.path).is_linearized
    for product in products:
        with pikepdf.open(product.path) as made:
            assert made.is_linearized
            assert made.check_linearization()


def with_picture(
    path: Path, picture: Image.Image, *, inches: float = 1, mask: Image.Image | None = None, **more: Any
) -> Path:
    """One page with one picture of that width, its pixels packed without loss."""
    with pikepdf.new() as made:
        page = made.add_blank_page(page_size=(216, 216))
        bands = {"L": "/DeviceGray", "RGB": "/DeviceRGB", "CMYK": "/DeviceCMYK"}
        stream = pikepdf.Stream(made, picture.tobytes())
        entries = {
            "/Type": pikepdf.Name.XObject,
            "/Subtype": pikepdf.Name.Image,
            "/Width": picture.width,
            "/Height": picture.height,
            "/BitsPerComponent": 8,
            "/ColorSpace": pikepdf.Name(bands[picture.mode]),
        }
        for name, value in {**entries, **{f"/{key}": value for key, value in more.items()}}.items():
            stream[name] = value
        if mask is not None:
            soft = {**entries, "/ColorSpace": pikepdf.Name.DeviceGray}
            stream["/SMask"] = made.make_indirect(pikepdf.Stream(made, mask.tobytes(), pikepdf.Dictionary(soft)))
        page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary(P=made.make_indirect(stream)))
        side = inches * 72
        page.Contents = made.make_stream(f"q {side} 0 0 {side} 36 36 cm /P Do Q".encode())
        made.save(path, compress_streams=True)
    return path


def picture_in(path: Path) -> Any:
    with pikepdf.open(path) as opened:
        picture = opened.pages[0].Resources.XObject.P
        return {
            "size": (int(picture.Width), int(picture.Height)),
            "filter": str(picture.get("/Filter")),
            "bytes": len(picture.read_raw_bytes()),
            "has_mask": "/SMask" in picture,
        }


def photo(size: int = 600) -> Image.Image:
    """Something that JPEG is made for: slow changes and a little noise."""
    gradient = Image.linear_gradient("L").resize((size, size))
    noise = Image.effect_noise((size, size), 12)
    return Image.merge("RGB", (gradient, Image.blend(gradient, noise, 0.2), gradient.rotate(90)))


def drawn(path: Path) -> Image.Image:
    with pypdfium2.PdfDocument(path) as opened:
        return opened[0].render(scale=1).to_pil().convert("RGB")


def difference(one: Path, two: Path) -> float:
    """The mean difference of two first pages as drawn, of 255."""
    pairs = zip(drawn(one).tobytes(), drawn(two).tobytes(), strict=True)
    differences = [abs(left - right) for left, right in pairs]
    return sum(differences) / len(differences)


@pytest.mark.parametrize(("compress", "size"), [("screen", (120, 120)), ("print", (300, 300))])
async def test_compress_when_for_screen_or_print_then_pictures_have_no_more_dots_than_that(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, compress: str, size: tuple[int, int]
) -> None:
    source = with_picture(tmp_path / "photo.pdf", photo())

    (product,) = await run_job(document, source, "pdf", "pdf", compress=compress)

    made = picture_in(product.path)
    assert made["size"] == size
    assert made["filter"] == "/DCTDecode"
    assert product.path.stat().st_size < source.stat().st_size / 4
    assert difference(source, product.path) < 6


async def test_compress_when_the_picture_is_shown_twice_then_the_larger_one_decides(
    document: PdfDocument, run_job: RunJob, tmp_path: Path
) -> None:
    source = with_picture(tmp_path / "photo.pdf", photo(), inches=1)
    with pikepdf.open(source, allow_overwriting_input=True) as opened:
        form = opened.make_stream(
            b"q 144 0 0 144 0 0 cm /P Do Q",
            Type=pikepdf.Name.XObject,
            Subtype=pikepdf.Name.Form,
            BBox=[0, 0, 144, 144],
            Resources=pikepdf.Dictionary(XObject=pikepdf.Dictionary(P=opened.pages[0].Resources.XObject.P)),
        )
        opened.pages[0].Resources.XObject.F = form
        opened.pages[0].Contents = opened.make_stream(b"q 72 0 0 72 0 0 cm /P Do Q q 1 0 0 1 20 20 cm /F Do Q")
        opened.save()

    (product,) = await run_job(document, source, "pdf", "pdf", compress="screen")

    assert picture_in(product.path)["size"] == (240, 240)


async def test_compress_when_the_picture_is_a_jpeg_then_never_larger(
    document: PdfDocument, run_job: RunJob, tmp_path: Path
) -> None:
    source = tmp_path / "jpeg.pdf"
    photo(300).save(source, resolution=72, quality=30)

    (product,) = await run_job(document, source, "pdf", "pdf", compress="print")

    assert product.path.stat().st_size <= source.stat().st_size


async def test_compress_when_the_picture_has_transparency_then_it_stays_transparent(
    document: PdfDocument, run_job: RunJob, tmp_path: Path
) -> None:
    half = Image.new("L", (600, 600), 0)
    half.paste(255, (0, 0, 300, 600))
    source = with_picture(tmp_path / "clear.pdf", photo(), mask=half)

    (product,) = await run_job(document, source, "pdf", "pdf", compress="screen")

    assert picture_in(product.path)["size"] == (120, 120)
    assert picture_in(product.path)["has_mask"]
    assert difference(source, product.path) < 6


@pytest.mark.parametrize("reason", ["print colours", "a colour key", "turned values"])
async def test_compress_when_jpeg_would_spoil_the_picture_then_it_stays(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, reason: str
) -> None:
    picture = photo().convert("CMYK") if reason == "print colours" else photo()
    more: dict[str, Any] = {
        "print colours": {},
        "a colour key": {"Mask": [0, 10, 0, 10, 0, 10]},
        "turned values": {"Decode": [1, 0, 1, 0, 1, 0]},
    }[reason]
    source = with_picture(tmp_path / "a.pdf", picture, **more)

    (product,) = await run_job(document, source, "pdf", "pdf", compress="screen")

    assert picture_in(product.path)["size"] == (600, 600)
    assert difference(source, product.path) == 0


async def test_compress_when_lossless_then_smaller_and_drawn_the_same(
    document: PdfDocument, run_job: RunJob, tmp_path: Path
) -> None:
    source = with_picture(tmp_path / "flat.pdf", Image.new("RGB", (600, 600), RED))
    with pikepdf.open(source, allow_overwriting_input=True) as opened:
        opened.save(compress_streams=False, stream_decode_level=pikepdf.StreamDecodeLevel.all)

    (product,) = await run_job(document, source, "pdf", "pdf", compress="lossless")
    (again,) = await run_job(document, product.path, "pdf", "pdf", compress="lossless")

    assert product.path.stat().st_size < source.stat().st_size / 10
    assert picture_in(product.path)["size"] == (600, 600)
    assert difference(source, product.path) == 0
    assert again.path.stat().st_size <= product.path.stat().st_size


async def test_sanitize_when_asked_then_scripts_actions_and_embedded_files_are_gone_and_else_kept(
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


async def test_pdf_when_only_the_owner_has_a_password_then_allowed_and_free_afterwards(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, four: Path
) -> None:
    locked = tmp_path / "locked.pdf"
    with pikepdf.open(four) as opened:
        nothing = pikepdf.Permissions(extract=False, modify_assembly=False, print_lowres=False)
        opened.save(locked, encryption=pikepdf.Encryption(user="", owner="secret", allow=nothing))

    (product,) = await run_job(document, locked, "pdf", "pdf", compress="lossless")

    assert colours(product.path) == ["red", "green", "blue", "black"]
    assert not pikepdf.open(product.path).is_encrypted


async def test_pdf_when_it_needs_a_password_then_encrypted_source(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, four: Path
) -> None:
    """I13."""
    with pikepdf.open(four) as opened:
        opened.save(tmp_path / "locked.pdf", encryption=pikepdf.Encryption(user="secret", owner="secret"))

    with pytest.raises(EncryptedSource):
        await run_job(document, tmp_path / "locked.pdf", "pdf", "pdf")


async def test_pdf_when_its_table_of_contents_is_broken_then_mended_with_all_its_pages(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, four: Path
) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(four.read_bytes().replace(b"xref\n0", b"xrof\n9").replace(b"startxref\n", b"startxref\n9"))

    (product,) = await run_job(document, broken, "pdf", "pdf")

    assert colours(product.path) == ["red", "green", "blue", "black"]


async def test_pdf_when_pages_are_missing_after_mending_then_corrupt(
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
async def test_options_when_they_do_not_fit_then_bad_options(
    document: PdfDocument, run_job: RunJob, four: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(BadOptions):
        await run_job(document, four, "pdf", "pdf", **options)


async def test_pdf_when_it_has_more_pages_than_allowed_then_too_large(
    document: PdfDocument, run_job: RunJob, four: Path
) -> None:
    with pytest.raises(SourceTooLarge, match="4 pages are too many; 3"):
        await run_job(document, four, "pdf", "pdf", limits=Limits(pages=3))


async def test_pdf_when_forms_draw_each_other_for_ever_then_it_ends_within_its_limits(
    document: PdfDocument, run_job: RunJob, tmp_path: Path
) -> None:
    """I13: a file that grows while it is drawn takes no worker down."""
    source = form_bomb(tmp_path / "bomb.pdf")

    try:
        products = await run_job(document, source, "pdf", "pdf", compress="screen", limits=Limits(wall_s=10, cpu_s=3))
    except (LimitExceeded, EngineTimeout):
        return
    assert len(products) == 1


async def test_progress_when_converting_then_it_rises_to_a_hundred(
    document: PdfDocument, run_job: RunJob, four: Path
) -> None:
    told: list[float | None] = []

    await run_job(document, four, "pdf", "pdf", split=1, report=lambda percent, _: told.append(percent))

    known = [percent for percent in told if percent is not None]
    assert known == sorted(known)
    assert known[-1] == 100


async def test_version_when_installed_then_that_of_qpdf(document: PdfDocument) -> None:
    assert await document.version() == pikepdf.__libqpdf_version__


HOSTILE = {
    "hostile_made/encrypted_user.pdf": EncryptedSource,
    "hostile_made/truncated_half.pdf": CorruptSource,
    "hostile_made/html_named.pdf": CorruptSource,
}


@pytest.mark.corpus
@pytest.mark.parametrize(("name", "error"), HOSTILE.items())
async def test_pdf_when_hostile_then_a_clear_error(
    document: PdfDocument, run_job: RunJob, corpus: Path, name: str, error: type[Exception]
) -> None:
    """I13: corrupted and encrypted files fail clearly."""
    with pytest.raises(error):
        await run_job(document, corpus / name, "pdf", "pdf", compress="screen")


@pytest.mark.corpus
async def test_pdf_when_found_hostile_then_it_ends_within_its_limits(
    document: PdfDocument, run_job: RunJob, corpus: Path
) -> None:
    """I13."""
    for source in [*sorted((corpus / "hostile_found").glob("*.pdf")), corpus / "hostile_made/bitflips.pdf"]:
        try:
            products = await run_job(
                document, source, "pdf", "pdf", compress="screen", limits=Limits(wall_s=20, cpu_s=10)
            )
        except ConversionError:
            continue
        assert len(sizes(products[0].path)) == 1, source.name


@pytest.mark.corpus
@pytest.mark.parametrize(
    "options",
    [{"compress": "screen"}, {"split": 1, "rotate": 90}, {"linearize": True, "strip": True, "sanitize": True}],
)
async def test_pdf_when_from_the_corpus_then_pages_and_sizes_are_as_before(
    document: PdfDocument, run_job: RunJob, corpus: Path, options: dict[str, Any]
) -> None:
    for source in sorted((corpus / "pdf").glob("*.pdf")):
        products = await run_job(document, source, "pdf", "pdf", **options)

        made = [size for product in products for size in sizes(product.path)]
        expected = [size[::-1] if "rotate" in options else size for size in sizes(source)]
        assert [pytest.approx(size, abs=1) for size in made] == expected, source.name
