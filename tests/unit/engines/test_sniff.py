"""Detection of files by content, and which wrong names are refused (behaviours I13, C12)."""

import gzip
import io
import struct
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from converto_core.errors import BadSource, CorruptSource, EncryptedSource, MislabelledSource
from converto_engines.sniffing.containers import OLE2_MAGIC
from converto_engines.sniffing.sniff import WINDOW_BYTES, Sniffed, check_claim, decide, sniff, sniff_path

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
PROGRAM = b"MZ" + b"\0" * 126


def zipped(members: dict[str, bytes], *, compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def ooxml(main_part: str) -> bytes:
    return zipped({"[Content_Types].xml": b"<Types/>", "_rels/.rels": b"<r/>", main_part: b"<x/>"})


def odf(kind: str, manifest: bytes = b"<manifest/>") -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), f"application/vnd.oasis.opendocument.{kind}")
        archive.writestr("content.xml", b"<x/>")
        archive.writestr("META-INF/manifest.xml", manifest, compress_type=zipfile.ZIP_DEFLATED)
    return target.getvalue()


def ole2(streams: Iterable[str], *, first_stream: bytes = b"") -> bytes:
    """A compound file of one directory sector (sector 1) behind one sector of content."""
    header = bytearray(OLE2_MAGIC + b"\0" * 504)
    struct.pack_into("<H", header, 30, 9)
    struct.pack_into("<I", header, 48, 1)
    directory = bytearray()
    for name in ("Root Entry", *streams):
        entry = bytearray(128)
        encoded = name.encode("utf-16-le")
        entry[: len(encoded)] = encoded
        struct.pack_into("<HB", entry, 64, len(encoded) + 2, 2)
        directory += entry
    return bytes(header) + first_stream.ljust(512, b"\0") + bytes(directory).ljust(2048, b"\0")


def binary_stl(triangles: int, *, told: int | None = None) -> bytes:
    facet = struct.pack("<12fH", *([0.5] * 12), 0)
    return b"\x01" * 80 + struct.pack("<I", triangles if told is None else told) + facet * triangles


IGES = f"{'a part made for a test':72}S      1\n{'1H,,1H;':72}G      1\n".encode()
MPEG_TS = (b"\x47\x40\0\x10" + b"\xff" * 184) * 5

KNOWN = [
    ("png", PNG),
    ("jpg", b"\xff\xd8\xff\xe0\0\x10JFIF"),
    ("gif", b"GIF89a\1\0\1\0"),
    ("webp", b"RIFF\x24\0\0\0WEBPVP8 "),
    ("avif", b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf"),
    ("heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
    ("tiff", b"II*\0\x08\0\0\0"),
    ("bmp", b"BM" + b"\0" * 12 + b"\x28\0\0\0"),
    ("ico", b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0" + b"\0" * 8),
    ("psd", b"8BPS\0\1"),
    ("jp2", b"\0\0\0\x0cjP  \r\n\x87\n"),
    ("jxl", b"\xff\x0a\x00"),
    ("svg", b'<?xml version="1.0"?>\n<!-- drawn --><svg xmlns="http://www.w3.org/2000/svg"/>'),
    ("pdf", b"%PDF-1.7\n%\xe2\xe3"),
    ("pdf", b"\r\njunk of a mailer\r\n%PDF-1.4\n\0\x01"),
    ("rtf", b"{\\rtf1\\ansi hello}"),
    ("docx", ooxml("word/document.xml")),
    ("pptx", ooxml("ppt/presentation.xml")),
    ("xlsx", ooxml("xl/workbook.xml")),
    ("odt", odf("text")),
    ("odp", odf("presentation")),
    ("ods", odf("spreadsheet")),
    ("odg", odf("graphics")),
    ("3mf", zipped({"[Content_Types].xml": b"<Types/>", "3D/3dmodel.model": b"<model/>"})),
    ("doc", ole2(["WordDocument", "1Table"])),
    ("xls", ole2(["Workbook"])),
    ("ppt", ole2(["PowerPoint Document", "Current User"])),
    ("mp4", b"\0\0\0\x18ftypisom\0\0\0\0isommp42"),
    ("mov", b"\0\0\0\x14ftypqt  \0\0\0\0qt  "),
    ("webm", b"\x1a\x45\xdf\xa3\x9f\x42\x82\x84webm"),
    ("mkv", b"\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska"),
    ("avi", b"RIFF\0\0\0\0AVI LIST"),
    ("wav", b"RIFF\0\0\0\0WAVEfmt "),
    ("flac", b"fLaC\0\0\0\x22"),
    ("ogg", b"OggS\0\2" + b"\0" * 30),
    ("mp3", b"ID3\x03\0\0"),
    ("flac", b"ID3\4\0\0\0\0\0\x0a" + b"\0" * 10 + b"fLaC\0\0\0\x22"),
    ("aac", b"ID3\4\0\0\0\0\0\x0a" + b"\0" * 10 + b"\xff\xf1\x50\x80\x00\x1f\xfc"),
    ("mp3", b"ID3\4\0\0\0\0\7\x76" + b"\0" * 200),
    ("mp4", b"\0\0\0\x18ftyp3gp4\0\0\0\x003gp4isom"),
    ("ts", (b"\0\0\0\0\x47\x40\0\x10" + b"\xff" * 184) * 5),
    ("m4a", b"\0\0\0\x18ftypM4A \0\0\0\0M4A mp42"),
    ("step", b"ISO-10303-21;\nHEADER;\n"),
    ("iges", IGES),
    ("stl", b"solid cube\n facet normal 0 0 1\n  outer loop\n"),
    ("stl", binary_stl(12)),
    ("obj", b"# a cube\nmtllib a.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"),
    ("ply", b"ply\nformat ascii 1.0\nelement vertex 3\n"),
    ("glb", b"glTF\2\0\0\0"),
    ("gltf", b'{"asset": {"version": "2.0"}, "meshes": []}'),
    ("brep", b"DBRep_DrawableShape\n\nCASCADE Topology V1\n"),
    ("off", b"OFF\n3 1 0\n0 0 0\n"),
    ("stl", b"SOLID CUBE\r\n FACET NORMAL 0 0 1\r\n"),
    ("stl", b"solid nothing\nendsolid nothing\n"),
    ("step", b"/* made by a program\n of ours */\nISO-10303-21;\nHEADER;\n"),
    ("ply", b"ply\nobj_info made here\nformat ascii 1.0\nelement vertex 3\n"),
    ("off", b"# made by hand\nOFF\n3 1 0\n0 0 0\n"),
    ("off", b"STCNOFF\n3 1 0\n"),
    ("off", b"COFF\n3 1 0\n"),
    ("fbx", b"; FBX 7.3.0 project file\n; ----\n"),
    ("fbx", b";FBX 6.1.0 project file\n"),
    ("fbx", b"; made by a program\n; FBX 7.4.0\nFBXHeaderExtension:  {\n"),
    ("3ds", b"MM\x1e\5\0\0\2\0\x0a\0\0\0\3\0\0\0"),
    ("obj", b"# a long\n" * 2000 + b"mg 0\nv +1.0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"),
    ("gltf", b'{"scene": 0, "asset": {"generator": "a {b}", "extras": {"a": 1}, "version": "2.0"}}'),
    ("dae", b'<?xml version="1.0"?><COLLADA version="1.4.1"/>'),
    ("fbx", b"Kaydara FBX Binary  \0\x1a\0"),
    ("ts", MPEG_TS),
    ("mpg", b"\0\0\1\xba\x44"),
    ("flv", b"FLV\1\5"),
    ("wmv", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),
    ("opus", b"OggS\0\2" + b"\0" * 21 + b"\x13OpusHead\1\2"),
    ("aac", b"\xff\xf1\x50\x80\x00\x1f\xfc"),
    ("tga", b"\0\0\x0a" + b"\0" * 9 + b"\x08\0\x08\0\x18\0" + b"\xff" * 40 + b"\0" * 8 + b"TRUEVISION-XFILE.\0"),
    ("html", b"<!DOCTYPE html><html><body>hi"),
    ("html", b"\xef\xbb\xbf  <!-- x --><html>"),
    ("epub", zipped({"mimetype": b"application/epub+zip", "OEBPS/x": b""}, compression=zipfile.ZIP_STORED)),
    ("key", zipped({"Index/Document.iwa": b"x", "Index/Slide-1.iwa": b"x"})),
    ("key", zipped({"index.apxl": b"<x/>"})),
    ("vtt", b"WEBVTT\n\n00:01.000 --> 00:02.000\nhi\n"),
    ("srt", b"1\r\n00:00:01,000 --> 00:00:02,000\r\nhi\r\n"),
    ("txt", "Grüße, plain text.\n".encode()),
    ("txt", "marked".encode("utf-16")),
]


@pytest.mark.parametrize(("format_name", "content"), KNOWN)
def test_signature_needs_no_file_name(format_name: str, content: bytes) -> None:
    sniffed = sniff(content, size_bytes=len(content))

    assert sniffed.format == format_name
    assert not sniffed.is_encrypted
    assert not sniffed.is_truncated


NOT_CONVERTIBLE = [
    ("web archive (MHTML)", b"MIME-Version: 1.0\nContent-Type: multipart/related; boundary=x\n"),
    ("PostScript file", b"%!PS-Adobe-3.0\n"),
    ("Windows program", PROGRAM),
    ("Linux program", b"\x7fELF\2\1\1"),
    ("ZIP archive", zipped({"a.txt": b"a"})),
    ("Apple Pages or Numbers document", zipped({"Index/Document.iwa": b"x"})),
    ("Ogg Theora video", b"OggS\0\2" + b"\0" * 22 + b"\x80theora\3\2\1"),
    ("streaming playlist", b"#EXTM3U\n#EXTINF:1\nhttp://127.0.0.1/a.ts\n"),
    ("streaming manifest (DASH)", b'<?xml version="1.0"?><MPD xmlns="x"/>'),
    ("streaming session description", b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n"),
    ("file of unknown kind", bytes(range(255, -1, -1)) * 8),
]


@pytest.mark.parametrize(("title", "content"), NOT_CONVERTIBLE)
def test_unsupported_content_is_described(title: str, content: bytes) -> None:
    sniffed = sniff(content)

    assert sniffed.format is None
    assert sniffed.describe() == title
    with pytest.raises(BadSource, match=r"cannot convert") as caught:
        decide("something", sniffed)
    assert caught.value.stable_code == "source_unsupported"


REFUSED = [
    ("broken.docx", b"just some words\n", 'The file is named "broken.docx" but is plain text'),
    ("setup.pptx", PROGRAM, 'The file is named "setup.pptx" but is a Windows program'),
    ("page.pdf", b"<html><body>", 'The file is named "page.pdf" but is an HTML page'),
    ("page.html", b"just some words\n", 'The file is named "page.html" but is plain text'),
    ("page.html", b"<note>a</note>", 'The file is named "page.html" but is plain text'),
    ("film.srt", b"just some words\n", 'The file is named "film.srt" but is plain text'),
    ("model.gltf", b'{"name": "a list of parts"}', 'The file is named "model.gltf" but is plain text'),
    ("part.step", b"just some words\n", 'The file is named "part.step" but is plain text'),
    ("table.docx", b"%PDF-1.7", 'The file is named "table.docx" but is a PDF document'),
    ("clip.mp4", PNG, 'The file is named "clip.mp4" but is a PNG picture'),
    ("page.doc", b"<!doctype html>", 'The file is named "page.doc" but is an HTML page'),
    ("notes.txt", b"<!doctype html>", 'The file is named "notes.txt" but is an HTML page'),
    ("sheet.xlsx", zipped({"a.txt": b"a"}), 'The file is named "sheet.xlsx" but is a ZIP archive'),
    ("video.mp4", b"#EXTM3U\n", 'The file is named "video.mp4" but is a streaming playlist'),
]


@pytest.mark.parametrize(("filename", "content", "message"), REFUSED)
def test_name_of_another_family_is_refused(filename: str, content: bytes, message: str) -> None:
    """I13: a mislabelled deck fails clearly."""
    with pytest.raises(MislabelledSource) as caught:
        decide(filename, sniff(content, filename=filename))

    assert str(caught.value).startswith(message)
    assert caught.value.stable_code == "source_type_mismatch"


ACCEPTED = [
    ("photo.png", b"\xff\xd8\xff\xe0", "jpg"),
    ("table.docx", ooxml("xl/workbook.xml"), "xlsx"),
    ("letter.doc", b"{\\rtf1 hi}", "rtf"),
    ("values.csv", b"a,b\n1,2\n", "csv"),
    ("readme.md", b"# Title\n", "md"),
    ("data.json", b'{"a": 1}', "json"),
    ("rows.jsonl", b'{"a": 1}\n{"a": 2}\n', "json"),
    ("film.srt", b"1\n00:00:01,000 --> 00:00:02,000\nhi\n", "srt"),
    ("film.txt", b"1\n00:00:01,000 --> 00:00:02,000\nhi\n", "txt"),
    ("talk.key", zipped({"Index/Document.iwa": b"x"}), "key"),
    ("README", b"hello\n", "txt"),
    ("page.html", b"<h1>Hi</h1>\n", "html"),
    ("page.htm", b"\xef\xbb\xbf<!-- by hand -->\n<P class=a>Hi", "html"),
    ("page.html", b'<div><svg xmlns="http://www.w3.org/2000/svg"/></div>', "html"),
    ("page.xhtml", b'<?xml version="1.0"?><p>Hi</p>', "html"),
    ("notes.txt", b"<h1>Hi</h1>\n", "txt"),
    ("part.txt", b"ISO-10303-21;\n", "txt"),
    ("sound.m4a", b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "m4a"),
    ("song.mp4", b"fLaC\0\0\0\x22", "flac"),
    ("no-extension", b"%PDF-1.7", "pdf"),
    ("model.gltf", b'{"buffers": [{"uri": "data:application/octet-stream;base64,' + b"A" * WINDOW_BYTES, "gltf"),
    ("part.STL", b"solid part\nfacet normal 0 0 1\n", "stl"),
]


@pytest.mark.parametrize(("filename", "content", "format_name"), ACCEPTED)
def test_content_decides_within_a_family(filename: str, content: bytes, format_name: str) -> None:
    assert decide(filename, sniff(content, filename=filename)).name == format_name


ENCRYPTED = [
    ("no-extension", ole2(["EncryptionInfo", "EncryptedPackage"])),
    ("letter.odt", ole2(["EncryptionInfo", "EncryptedPackage"])),
    ("old.ppt", ole2(["PowerPoint Document", "EncryptedSummary"])),
    ("old.doc", ole2(["WordDocument"], first_stream=b"\xec\xa5" + b"\0" * 9 + b"\x01\0")),
    ("text.odt", odf("text", b"<manifest:encryption-data/>")),
]


@pytest.mark.parametrize(("filename", "content"), ENCRYPTED)
def test_encrypted_document_names_the_password(filename: str, content: bytes) -> None:
    """I13: an encrypted deck fails clearly."""
    with pytest.raises(EncryptedSource, match="password") as caught:
        decide(filename, sniff(content, filename=filename))

    assert caught.value.stable_code == "source_encrypted"


def test_encrypted_document_with_a_password_is_what_it_is() -> None:
    """The program that opens it learns whether the password is right."""
    found = {name: decide(name, sniff(content, filename=name), has_password=True) for name, content in ENCRYPTED[3:]}

    assert {name: entry.name for name, entry in found.items()} == {"old.doc": "doc", "text.odt": "odt"}


@pytest.mark.parametrize(
    ("index", "advice"), [(0, r"Name it \.docx, \.xlsx or \.pptx"), (1, "Name it"), (2, "Remove the password")]
)
def test_some_encrypted_documents_need_more_than_a_password(index: int, advice: str) -> None:
    """Content encrypted as a whole does not say what it is, and nothing here decrypts PowerPoint 97."""
    filename, content = ENCRYPTED[index]

    with pytest.raises(EncryptedSource, match=advice):
        decide(filename, sniff(content, filename=filename), has_password=True)


WRITE_PROTECTED = [
    ("letter.docx", ole2(["EncryptionInfo", "EncryptedPackage"]), "docx"),
    ("deck.pptx", ole2(["EncryptionInfo", "EncryptedPackage"]), "pptx"),
    ("sheet.xlsx", ole2(["EncryptionInfo", "EncryptedPackage"]), "xlsx"),
    ("old.xls", ole2(["Workbook"], first_stream=struct.pack("<HH4sHH", 0x0809, 4, b"\0" * 4, 0x2F, 0)), "xls"),
]


@pytest.mark.parametrize(("filename", "content", "format_name"), WRITE_PROTECTED)
def test_encryption_that_may_be_nominal_is_not_refused(filename: str, content: bytes, format_name: str) -> None:
    assert decide(filename, sniff(content, filename=filename)).name == format_name


def test_empty_file_is_corrupt() -> None:
    with pytest.raises(CorruptSource, match="is empty"):
        decide("deck.pptx", sniff(b"", filename="deck.pptx"))


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.95])
def test_truncated_container_is_corrupt(kept: float) -> None:
    whole = ooxml("word/document.xml")
    cut = whole[: int(len(whole) * kept)]

    with pytest.raises(CorruptSource, match="its end is missing"):
        decide("a.docx", sniff(cut, filename="a.docx"))


def test_both_ends_of_a_container_are_enough() -> None:
    members = {
        "media/video.bin": bytes(range(256)) * 2048,
        "word/document.xml": b"<x/>",
        "[Content_Types].xml": b"<T/>",
    }
    content = zipped(members, compression=zipfile.ZIP_STORED)
    assert len(content) > 2 * WINDOW_BYTES

    sniffed = sniff(content[:WINDOW_BYTES], tail=content[-WINDOW_BYTES:], size_bytes=len(content))

    assert sniffed.format == "docx"
    assert not sniffed.is_truncated


def test_content_types_decide_for_unusual_folders() -> None:
    types = b'<Types><Override PartName="/a.xml" ContentType="x-presentationml.slideshow.main+xml"/></Types>'

    assert sniff(zipped({"[Content_Types].xml": types, "a.xml": b"<x/>"})).format == "pptx"


def test_name_decides_when_the_ole2_directory_is_unknown() -> None:
    head = ole2([])[:512]

    assert sniff(head + b"\0" * WINDOW_BYTES, filename="old.xls").format == "xls"
    assert sniff(head + b"\0" * WINDOW_BYTES, filename="old.bin").format is None


def test_sniff_path_reads_a_distant_ole2_directory(tmp_path: Path) -> None:
    content = bytearray(ole2([]))
    far = 600
    struct.pack_into("<I", content, 48, far)
    entry = ole2(["WordDocument"])[1024:2048]
    padded = bytes(content).ljust((far + 1) * 512, b"\x07") + entry + b"\x07" * (2 * WINDOW_BYTES)
    path = tmp_path / "source"
    path.write_bytes(padded)

    assert sniff_path(path).format == "doc"


def test_binary_stl_with_false_count_needs_its_name() -> None:
    content = binary_stl(2, told=9999)

    assert sniff(content, size_bytes=len(content), filename="a.bin").format is None
    assert sniff(content, size_bytes=len(content), filename="a.stl").format == "stl"


def test_hostile_name_is_shown_short_and_printable() -> None:
    name = "\x1b[31m" + "x" * 500 + ".docx"

    told = check_claim(name, sniff(b"words", filename=name))

    assert told is not None
    assert "\x1b" not in told
    assert len(told) < 200


def test_description_is_the_title() -> None:
    sniffed = Sniffed(format="pdf", mime_type="application/pdf", title="PDF document")

    assert sniffed.describe() == "PDF document"


def test_compressed_drawing_is_a_drawing() -> None:
    packed = gzip.compress(b"<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'>" + b"<g/>" * 100_000)

    assert sniff(packed, filename="a.svgz").format == "svg"
    assert decide("a.svgz", sniff(packed[:200], filename="a.svgz")).name == "svg"
    assert sniff(gzip.compress(b"text"), filename="a.svgz").title == "gzip archive"
    assert sniff(b"\x1f\x8b\x08" + b"\0" * 40).title == "gzip archive"
