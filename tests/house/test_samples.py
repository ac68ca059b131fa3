"""The samples are valid files and the same on every machine; their looks are not tested."""

import io
import wave
import zipfile
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageChops

from converto_engines.sniffing import sniff
from tests.assets import film
from tests.assets.drawing import picture_files, pictures
from tests.assets.drawing.canvas import Canvas
from tests.assets.make_samples import MAKERS, main

OFFICE = ("deck.pptx", "report.docx", "table.xlsx", "letter.odt")


TEXTS = {"notes.md": "md", "book.epub": "epub", "captions.srt": "srt"}


@pytest.fixture(scope="module")
def office() -> dict[str, bytes]:
    return {name: MAKERS[name]() for name in OFFICE}


def opened(body: bytes) -> Image.Image:
    return Image.open(io.BytesIO(body))


def patterned(channels: int) -> Canvas:
    """Return a small picture in which no two rows and few neighbours are equal."""
    canvas = Canvas(48, 40, (255,) * channels)
    for row in range(canvas.height):
        for column in range(canvas.width):
            colour = tuple((row * 5 + column * 3 * (channel + 1)) % 256 for channel in range(channels))
            canvas.run(row, column, column + 1, colour)
    return canvas


@pytest.mark.parametrize("name", OFFICE)
def test_office_sample_contains_valid_xml(name: str, office: dict[str, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(office[name])) as package:
        assert package.testzip() is None
        for part in package.namelist():
            if part.endswith((".xml", ".rels")):
                ElementTree.fromstring(package.read(part))


@pytest.mark.parametrize("name", [*OFFICE, "paper.pdf", "notes.md", "book.epub", "captions.srt", "bracket.step"])
def test_document_sample_is_reproducible(name: str, office: dict[str, bytes]) -> None:
    assert MAKERS[name]() == (office.get(name) or MAKERS[name]())


@pytest.mark.parametrize("name", ["deck.pptx", "report.docx", "table.xlsx"])
def test_office_sample_refers_to_existing_parts(name: str, office: dict[str, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(office[name])) as package:
        parts = set(package.namelist())
        types = ElementTree.fromstring(package.read("[Content_Types].xml"))
        named = {entry.attrib["PartName"].lstrip("/") for entry in types if "PartName" in entry.attrib}
        assert named <= parts
        for relations in (part for part in parts if part.endswith(".rels")):
            folder = relations.split("_rels/")[0]
            for relation in ElementTree.fromstring(package.read(relations)):
                assert resolved(folder, relation.attrib["Target"]) in parts


def resolved(folder: str, target: str) -> str:
    steps = [step for step in folder.split("/") if step]
    for step in target.split("/"):
        steps = steps[:-1] if step == ".." else [*steps, step]
    return "/".join(steps)


def test_letter_starts_with_its_uncompressed_type(office: dict[str, bytes]) -> None:
    assert office["letter.odt"][30:77] == b"mimetypeapplication/vnd.oasis.opendocument.text"


@pytest.mark.parametrize(("name", "kind"), TEXTS.items())
def test_text_sample_is_sniffed_as_its_extension(name: str, kind: str) -> None:
    found = sniff.sniff(MAKERS[name](), filename=name)
    assert found.format == kind
    assert not found.is_truncated


def test_book_contains_valid_xml_and_all_listed_chapters() -> None:
    with zipfile.ZipFile(io.BytesIO(MAKERS["book.epub"]())) as package:
        assert package.testzip() is None
        for part in package.namelist():
            if part.endswith((".xml", ".opf", ".xhtml")):
                ElementTree.fromstring(package.read(part))
        listed = ElementTree.fromstring(package.read("package.opf")).iter("{http://www.idpf.org/2007/opf}item")
        assert {entry.attrib["href"] for entry in listed} <= set(package.namelist())


def test_paper_offsets_point_to_their_objects() -> None:
    body = MAKERS["paper.pdf"]()
    table_at = int(body.rsplit(b"startxref\n", 1)[1].split(b"\n", 1)[0])
    head, _, *entries = body[table_at:].split(b"trailer", 1)[0].split(b"\n")[1:-1]
    assert int(head.split()[1]) == len(entries) + 1
    for number, entry in enumerate(entries, 1):
        assert body[int(entry[:10]) :].startswith(b"%d 0 obj" % number)
    assert body.count(b"/Type /Page ") == 4


def test_bracket_defines_each_number_before_its_use() -> None:
    body = MAKERS["bracket.step"]().decode("ascii")
    lines = [line for line in body.splitlines() if line.startswith("#")]
    for number, line in enumerate(lines, 1):
        own, _, text = line.partition("=")
        assert own == f"#{number}"
        assert all(int(part.split(",")[0].split(")")[0]) < number for part in text.split("#")[1:])
    assert body.count("=ADVANCED_FACE(") == 8
    assert body.count("=EDGE_CURVE(") == 18


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_png_decodes_to_the_drawn_pixels(channels: int, mode: str) -> None:
    canvas = patterned(channels)
    picture = opened(picture_files.png(canvas))
    assert picture.mode == mode
    assert picture.tobytes() == canvas.pixels()


def test_tiff_decodes_to_both_drawn_pages() -> None:
    pages = [patterned(1), patterned(1).halved()]
    picture = opened(picture_files.tiff(pages, 150))
    assert picture.info["dpi"] == (150, 150)
    for number, page in enumerate(pages):
        picture.seek(number)
        assert picture.tobytes() == page.pixels()
    with pytest.raises(EOFError):
        picture.seek(2)


def test_gif_decodes_to_every_drawn_frame() -> None:
    # Enough different pixels to fill the code table, so that it is reset within one frame.
    frames = [[bytes((x * x * (y + shift) + y) % 7 for x in range(200)) for y in range(160)] for shift in (1, 2)]
    picture = opened(picture_files.gif(frames, pictures.ORBIT_PALETTE, delay_cs=8))
    for number, frame in enumerate(frames):
        picture.seek(number)
        drawn = b"".join(bytes(pictures.ORBIT_PALETTE[place]) for row in frame for place in row)
        assert picture.convert("RGB").tobytes() == drawn
    assert picture.info["duration"] == 80


def test_jpeg_is_close_to_the_drawn_picture() -> None:
    canvas = pictures.lake_at_dusk(96, 64)
    drawn = Image.frombytes("RGB", (96, 64), canvas.pixels())
    difference = ImageChops.difference(opened(picture_files.jpeg(canvas)).convert("RGB"), drawn)
    histogram = difference.convert("L").histogram()
    assert sum(level * count for level, count in enumerate(histogram)) / (96 * 64) < 4
    assert opened(picture_files.jpeg(canvas)).format == "JPEG"


def test_pictures_are_reproducible() -> None:
    def made() -> tuple[bytes, bytes]:
        return picture_files.jpeg(pictures.lake_at_dusk(96, 64)), picture_files.png(pictures.overlapping_discs(90, 60))

    assert made() == made()


def test_film_index_points_to_every_frame_and_sound() -> None:
    body = MAKERS["clip.avi"]()
    assert body[:4] + body[8:12] == b"RIFFAVI "
    assert int.from_bytes(body[4:8], "little") == len(body) - 8
    movie, index = body.index(b"movi"), body.index(b"idx1")
    entries = [body[place : place + 16] for place in range(index + 8, len(body), 16)]
    assert len(entries) == 2 * film.FRAMES_PER_SECOND * film.SECONDS
    for entry in entries:
        place = movie + int.from_bytes(entry[8:12], "little")
        assert body[place : place + 4] + body[place + 4 : place + 8] == entry[:4] + entry[12:]


def test_tone_is_three_seconds_long() -> None:
    with wave.open(io.BytesIO(MAKERS["tone.wav"]())) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, film.RATE_HZ)
        assert sound.getnframes() == film.RATE_HZ * film.SECONDS
        assert any(sound.readframes(2000))


@pytest.mark.parametrize("name", ["clip.avi", "tone.wav"])
def test_media_sample_is_reproducible(name: str) -> None:
    assert MAKERS[name]() == MAKERS[name]()


def test_command_without_a_folder_prints_its_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "make_samples DIR" in capsys.readouterr().err
