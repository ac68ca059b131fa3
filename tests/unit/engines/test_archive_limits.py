"""ZIP containers that unpack to too much are refused before a program opens them (behaviour I13, promise 6)."""

import stat
import zipfile
from pathlib import Path

import pytest

from converto_core.errors import CorruptSource, SourceTooLarge
from converto_engines.converter import Limits
from converto_engines.sniffing.archive_limits import check_archive

LIMITS = Limits(entries=20, unpacked_bytes=500 * 1024**2)


def packed(path: Path, members: dict[str, int]) -> Path:
    """A ZIP file whose members are zeros of these sizes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, size_bytes in members.items():
            with archive.open(name, "w", force_zip64=True) as member:
                for _ in range(0, size_bytes, 1024**2):
                    member.write(bytes(min(size_bytes, 1024**2)))
    return path


def test_ordinary_document_passes(tmp_path: Path) -> None:
    check_archive(packed(tmp_path / "a.docx", {"word/document.xml": 5_000_000, "b": 10}), LIMITS)


def test_other_files_pass(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    check_archive(tmp_path / "a.pdf", LIMITS)


def test_too_many_members_are_refused_with_their_number(tmp_path: Path) -> None:
    with pytest.raises(SourceTooLarge, match="21 parts"):
        check_archive(packed(tmp_path / "a.zip", {str(number): 1 for number in range(21)}), LIMITS)


def test_declared_member_count_is_checked_before_reading(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", {"a": 1})
    body = bytearray(path.read_bytes())
    end = body.rfind(b"PK\x05\x06")
    body[end + 8 : end + 12] = b"\xff\xfe\xff\xfe"
    path.write_bytes(body)

    with pytest.raises(SourceTooLarge, match="65,279 parts"):
        check_archive(path, LIMITS)


def test_too_large_contents_are_refused(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", {"a": 40 * 1024**2})
    with pytest.raises(SourceTooLarge, match="unpacks to 40 MB"):
        check_archive(path, Limits(unpacked_bytes=30 * 1024**2))


def test_too_high_ratio_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceTooLarge, match="times its size"):
        check_archive(packed(tmp_path / "a.zip", {"a": 110 * 1024**2}), LIMITS)


def test_symbolic_link_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("chapter.xhtml")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.epub", "w") as archive:
        archive.writestr(link, "/etc/passwd")

    with pytest.raises(CorruptSource, match="links"):
        check_archive(tmp_path / "a.epub", LIMITS)


def test_garbage_directory_is_corrupt(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", {"a": 5})
    body = path.read_bytes()
    path.write_bytes(body.replace(b"PK\x01\x02", b"XXXX"))

    with pytest.raises(CorruptSource):
        check_archive(path, LIMITS)
