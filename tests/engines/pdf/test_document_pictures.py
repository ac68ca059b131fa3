"""Pictures of compressed PDFs, with the real qpdf, compared with Pillow (behaviour I13)."""

from pathlib import Path
from typing import Any

import pikepdf
import pypdfium2
import pytest
from PIL import Image

from converto_engines.pdf.document import PdfDocument
from tests.engines.conftest import RunJob
from tests.engines.pdf.colours import RED


def with_picture(
    path: Path, picture: Image.Image, *, inches: float = 1, mask: Image.Image | None = None, **more: Any
) -> Path:
    """One page with one losslessly packed picture of that width."""
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
    """A picture that suits JPEG: gradients and a little noise."""
    gradient = Image.linear_gradient("L").resize((size, size))
    noise = Image.effect_noise((size, size), 12)
    return Image.merge("RGB", (gradient, Image.blend(gradient, noise, 0.2), gradient.rotate(90)))


def drawn(path: Path) -> Image.Image:
    with pypdfium2.PdfDocument(path) as opened:
        return opened[0].render(scale=1).to_pil().convert("RGB")


def difference(one: Path, two: Path) -> float:
    """The mean difference of two rendered first pages, of 255."""
    pairs = zip(drawn(one).tobytes(), drawn(two).tobytes(), strict=True)
    differences = [abs(left - right) for left, right in pairs]
    return sum(differences) / len(differences)


@pytest.mark.parametrize(("compress", "size"), [("screen", (120, 120)), ("print", (300, 300))])
async def test_compress_limits_the_resolution(
    document: PdfDocument, run_job: RunJob, tmp_path: Path, compress: str, size: tuple[int, int]
) -> None:
    source = with_picture(tmp_path / "photo.pdf", photo())

    (product,) = await run_job(document, source, "pdf", "pdf", compress=compress)

    made = picture_in(product.path)
    assert made["size"] == size
    assert made["filter"] == "/DCTDecode"
    assert product.path.stat().st_size < source.stat().st_size / 4
    assert difference(source, product.path) < 6


async def test_compress_uses_the_larger_of_two_displayed_sizes(
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


async def test_compress_never_enlarges_a_jpeg(document: PdfDocument, run_job: RunJob, tmp_path: Path) -> None:
    source = tmp_path / "jpeg.pdf"
    photo(300).save(source, resolution=72, quality=30)

    (product,) = await run_job(document, source, "pdf", "pdf", compress="print")

    assert product.path.stat().st_size <= source.stat().st_size


async def test_compress_keeps_transparency(document: PdfDocument, run_job: RunJob, tmp_path: Path) -> None:
    half = Image.new("L", (600, 600), 0)
    half.paste(255, (0, 0, 300, 600))
    source = with_picture(tmp_path / "clear.pdf", photo(), mask=half)

    (product,) = await run_job(document, source, "pdf", "pdf", compress="screen")

    assert picture_in(product.path)["size"] == (120, 120)
    assert picture_in(product.path)["has_mask"]
    assert difference(source, product.path) < 6


@pytest.mark.parametrize("reason", ["print colours", "a colour key", "turned values"])
async def test_compress_keeps_pictures_that_jpeg_would_damage(
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


async def test_lossless_compression_is_smaller_and_looks_the_same(
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
