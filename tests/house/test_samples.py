"""The samples are real files, the same on every machine; what they look like is judged by eye, not here."""

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
    """A small picture in which no two rows and few neighbours are equal."""
    canvas = Canvas(48, 40, (255,) * channels)
    for row in range(canvas.height):
        for column in range(canvas.width):
            colour = tuple((row * 5 + column * 3 * (channel + 1)) % 256 for channel in range(channels))
            canvas.run(row, column, column + 1, colour)
    return canvas


@pytest.mark.parametrize("name", OFFICE)
def test_package_when_opened_then_every_part_is_sound_xml(name: str, office: dict[str, bytes]) -> None:
    with zipfile.ZipFile(io.BytesIO(office[name])) as package:
        assert package.testzip() is None
        for part in package.namelist():
            if part.endswith((".xml", ".rels")):
                ElementTree.fromstring(package.read(part))


@pytest.mark.parametrize("name", [*OFFICE, "paper.pdf", "notes.md", "book.epub", "captions.srt", "bracket.step"])
def test_document_when_made_twice_then_bytes_are_equal(name: str, office: dict[str, bytes]) -> None:
    assert MAKERS[name]() == (office.get(name) or MAKERS[name]())


@pytest.mark.parametrize("name", ["deck.pptx", "report.docx", "table.xlsx"])
def test_package_when_it_points_to_a_part_then_the_part_is_there(name: str, office: dict[str, bytes]) -> None:
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


def test_letter_when_read_from_the_start_then_its_type_comes_first_and_plain(office: dict[str, bytes]) -> None:
    assert office["letter.odt"][30:77] == b"mimetypeapplication/vnd.oasis.opendocument.text"


@pytest.mark.parametrize(("name", "kind"), TEXTS.items())
def test_sample_when_looked_into_then_it_is_what_its_name_says(name: str, kind: str) -> None:
    found = sniff.sniff(MAKERS[name](), filename=name)
    assert found.format == kind
    assert not found.is_truncated


def test_book_when_opened_then_every_part_is_sound_xml_and_each_chapter_is_in_its_package() -> None:
    with zipfile.ZipFile(io.BytesIO(MAKERS["book.epub"]())) as package:
        assert package.testzip() is None
        for part in package.namelist():
            if part.endswith((".xml", ".opf", ".xhtml")):
                ElementTree.fromstring(package.read(part))
        listed = ElementTree.fromstring(package.read("package.opf")).iter("{http://www.idpf.org/2007/opf}item")
        assert {entry.attrib["href"] for entry in listed} <= set(package.namelist())


def test_paper_when_offsets_are_followed_then_each_object_starts_there() -> None:
    body = MAKERS["paper.pdf"]()
    table_at = int(body.rsplit(b"startxref\n", 1)[1].split(b"\n", 1)[0])
    head, _, *entries = body[table_at:].split(b"trailer", 1)[0].split(b"\n")[1:-1]
    assert int(head.split()[1]) == len(entries) + 1
    for number, entry in enumerate(entries, 1):
        assert body[int(entry[:10]) :].startswith(b"%d 0 obj" % number)
    assert body.count(b"/Type /Page ") == 4


def test_bracket_when_its_lines_are_followed_then_each_number_is_there_before_it_is_spoken_of() -> None:
    body = MAKERS["bracket.step"]().decode("ascii")
    lines = [line for line in body.splitlines() if line.startswith("#")]
    for number, line in enumerate(lines, 1):
        own, _, text = line.partition("=")
        assert own == f"#{number}"
        assert all(int(part.split(",")[0].split(")")[0]) < number for part in text.split("#")[1:])
    assert body.count("=ADVANCED_FACE(") == 8
    assert body.count("=EDGE_CURVE(") == 18


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_png_when_decoded_then_every_pixel_is_as_drawn(channels: int, mode: str) -> None:
    canvas = patterned(channels)
    picture = opened(picture_files.png(canvas))
    assert picture.mode == mode
    assert picture.tobytes() == canvas.pixels()


def test_tiff_when_decoded_then_both_pages_are_as_drawn() -> None:
    pages = [patterned(1), patterned(1).halved()]
    picture = opened(picture_files.tiff(pages, 150))
    assert picture.info["dpi"] == (150, 150)
    for number, page in enumerate(pages):
        picture.seek(number)
        assert picture.tobytes() == page.pixels()
    with pytest.raises(EOFError):
        picture.seek(2)


def test_gif_when_decoded_then_every_frame_is_as_drawn() -> None:
    # Enough different pixels to fill the table of codes, so that it has to start anew within one frame.
    frames = [[bytes((x * x * (y + shift) + y) % 7 for x in range(200)) for y in range(160)] for shift in (1, 2)]
    picture = opened(picture_files.gif(frames, pictures.ORBIT_PALETTE, delay_cs=8))
    for number, frame in enumerate(frames):
        picture.seek(number)
        drawn = b"".join(bytes(pictures.ORBIT_PALETTE[place]) for row in frame for place in row)
        assert picture.convert("RGB").tobytes() == drawn
    assert picture.info["duration"] == 80


def test_jpeg_when_decoded_then_it_is_close_to_what_was_drawn() -> None:
    canvas = pictures.lake_at_dusk(96, 64)
    drawn = Image.frombytes("RGB", (96, 64), canvas.pixels())
    difference = ImageChops.difference(opened(picture_files.jpeg(canvas)).convert("RGB"), drawn)
    histogram = difference.convert("L").histogram()
    assert sum(level * count for level, count in enumerate(histogram)) / (96 * 64) < 4
    assert opened(picture_files.jpeg(canvas)).format == "JPEG"


def test_pictures_when_made_twice_then_bytes_are_equal() -> None:
    def made() -> tuple[bytes, bytes]:
        return picture_files.jpeg(pictures.lake_at_dusk(96, 64)), picture_files.png(pictures.overlapping_discs(90, 60))

    assert made() == made()


def test_film_when_read_chunk_by_chunk_then_every_frame_and_sound_lies_where_the_index_says() -> None:
    body = MAKERS["clip.avi"]()
    assert body[:4] + body[8:12] == b"RIFFAVI "
    assert int.from_bytes(body[4:8], "little") == len(body) - 8
    movie, index = body.index(b"movi"), body.index(b"idx1")
    entries = [body[place : place + 16] for place in range(index + 8, len(body), 16)]
    assert len(entries) == 2 * film.FRAMES_PER_SECOND * film.SECONDS
    for entry in entries:
        place = movie + int.from_bytes(entry[8:12], "little")
        assert body[place : place + 4] + body[place + 4 : place + 8] == entry[:4] + entry[12:]


def test_tone_when_read_then_three_seconds_of_sound() -> None:
    with wave.open(io.BytesIO(MAKERS["tone.wav"]())) as sound:
        assert (sound.getnchannels(), sound.getsampwidth(), sound.getframerate()) == (1, 2, film.RATE_HZ)
        assert sound.getnframes() == film.RATE_HZ * film.SECONDS
        assert any(sound.readframes(2000))


@pytest.mark.parametrize("name", ["clip.avi", "tone.wav"])
def test_sample_when_made_twice_then_bytes_are_equal(name: str) -> None:
    assert MAKERS[name]() == MAKERS[name]()


def test_command_when_no_folder_is_named_then_it_says_how(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "make_samples DIR" in capsys.readouterr().err
