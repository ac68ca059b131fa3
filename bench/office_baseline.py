"""What the office benchmarks share: which files they take, and how the bare `soffice` command converts them."""

import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

PICKED = (("pptx", 10), ("docx", 6), ("xlsx", 4), ("odf", 4))
LARGEST_BYTES = 600_000  # one larger deck of the corpus takes LibreOffice 45 s alone and would make all ways look alike
DEADLINE_S = 900.0


def picked(corpus: Path) -> list[Path]:
    """The first files by name below the size limit, from one folder per family; ends the process when they lack."""
    files: list[Path] = []
    for folder, count in PICKED:
        fitting = [path for path in sorted((corpus / folder).glob("*.*")) if path.stat().st_size < LARGEST_BYTES]
        if len(fitting) < count:
            sys.exit(f"{corpus / folder} holds {len(fitting)} files below {LARGEST_BYTES:,} bytes; {count} are needed.")
        files += fitting[:count]
    return files


def fresh_copies(files: list[Path], folder: Path) -> list[Path]:
    """The same documents with other bytes (a comment in the zip), so that no cache can answer for the engine."""
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
    """One `soffice` that is given all files; how many PDFs came."""
    soffice(files, target, profile)
    return len(list(target.glob("*.pdf")))


def by_cold_calls(files: list[Path], target: Path, profile: Path) -> int:
    """One `soffice` per file, one after the other on the same ready profile; how many PDFs came."""
    for number, path in enumerate(files):
        soffice([path], target / str(number), profile)
    return len(list(target.glob("*/*.pdf")))


def soffice(files: list[Path], target: Path, profile: Path) -> None:
    """One call of the command on this profile; what it could not convert is missing in the target folder."""
    options = [f"-env:UserInstallation=file://{profile}", "--headless", "--convert-to", "pdf", "--outdir", str(target)]
    command = ["soffice", *options, *(str(path) for path in files)]
    subprocess.run(command, check=False, capture_output=True, timeout=DEADLINE_S)
