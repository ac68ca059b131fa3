"""Bookmarks, links, fields, metadata and fast web view of rewritten PDFs, with the real qpdf (behaviour I13)."""

from pathlib import Path

import pikepdf
import pypdfium2

from converto_engines.pdf.document import PdfDocument
from tests.assets.plain_pdf import Page, make_pdf
from tests.engines.conftest import RunJob
from tests.engines.pdf.colours import RED, colours
from tests.engines.pdf.joining import join


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


async def test_bookmarks_and_links_follow_the_chosen_pages(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, four: Path
) -> None:
    source = with_bookmarks_and_links(four, tmp_path / "book.pdf")

    (product,) = await run_job(document, source, "pdf", "pdf", pages="1,3-4")

    assert bookmarks(product.path) == [(0, "Chapter", 0), (1, "Blue", 1), (0, "End", 2)]
    assert link_targets(product.path)[0] == ["blue", "black"]


async def test_joined_bookmarks_and_links_stay_in_their_file(document: PdfDocument, tmp_path: Path, four: Path) -> None:
    source = with_bookmarks_and_links(four, tmp_path / "book.pdf")
    more = make_pdf(tmp_path / "more.pdf", [Page(100, 100, RED)])

    (product,) = await join(document, tmp_path / "job", [more, source])

    assert bookmarks(product.path) == [(0, "Chapter", 1), (1, "Blue", 3), (0, "End", 4)]
    assert link_targets(product.path)[1] == ["blue", "black"]


async def test_form_fields_of_chosen_pages_stay_fillable(
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


async def test_strip_removes_metadata_otherwise_kept(
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


async def test_linearized_file_starts_with_the_first_page(document: PdfDocument, run_job: RunJob, four: Path) -> None:
    (plain,) = await run_job(document, four, "pdf", "pdf")
    products = await run_job(document, four, "pdf", "pdf", linearize=True, split=3, compress="lossless")

    assert not pikepdf.open(plain.path).is_linearized
    for product in products:
        with pikepdf.open(product.path) as made:
            assert made.is_linearized
            assert made.check_linearization()
