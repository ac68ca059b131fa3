"""Shared by the office benchmarks: the choice of files, and conversion by the bare `soffice` command."""

import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

PICKED = (("pptx", 10), ("docx", 6), ("xlsx", 4), ("odf", 4))
LARGEST_BYTES = 600_000  # one larger deck takes LibreOffice 45 s alone and would hide all differences
DEADLINE_S = 900.0


def picked_files(corpus: Path) -> list[Path]:
    """Return the first files by name below the size limit, from one folder per kind. Exits if there are too few."""
    files: list[Path] = []
    for folder, count in PICKED:
        fitting = [path for path in sorted((corpus / folder).glob("*.*")) if path.stat().st_size < LARGEST_BYTES]
        if len(fitting) < count:
            sys.exit(f"{corpus / folder} has {len(fitting)} files below {LARGEST_BYTES:,} bytes; {count} are needed.")
        files += fitting[:count]
    return files


def fresh_copies(files: list[Path], folder: Path) -> list[Path]:
    """Copy the documents and change their bytes (a ZIP comment), so that no cache can answer."""
    folder.mkdir()
    copies = []
    for path in files:
        copy = folder / path.name
        shutil.copyfile(path, copy)
        with zipfile.ZipFile(copy, "a") as package:
            package.comment = str(time.time_ns()).encode()
        copies.append(copy)
    return copies


def by_one_call(files: list[Path], target: Path, profile: Path) -> int:
    """Convert all files in one `soffice` call and return the number of PDFs."""
    soffice(files, target, profile)
    return len(list(target.glob("*.pdf")))


def by_cold_calls(files: list[Path], target: Path, profile: Path) -> int:
    """Convert with one `soffice` call per file, on the same prepared profile, and return the number of PDFs."""
    for number, path in enumerate(files):
        soffice([path], target / str(number), profile)
    return len(list(target.glob("*/*.pdf")))


def soffice(files: list[Path], target: Path, profile: Path) -> None:
    """Call the command once on this profile; files that it cannot convert are missing in the target folder."""
    options = [f"-env:UserInstallation=file://{profile}", "--headless", "--convert-to", "pdf", "--outdir", str(target)]
    command = ["soffice", *options, *(str(path) for path in files)]
    subprocess.run(command, check=False, capture_output=True, timeout=DEADLINE_S)
