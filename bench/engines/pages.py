"""Pages of PDFs to PNG at 150 dpi: our converter, called directly, against one `pdftoppm -r 150 -png`.

Both alternate within a round, and the ratio is computed per round. Run it with `python -m bench.engines.pages CORPUS`.
"""

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.figures import print_medians, save_figures, verdict
from converto_engines.converter import Job, Limits, ignore_report
from converto_engines.pdf.pages import PageOptions, PdfPages
from converto_engines.runtime.process import Sandbox
from tests.assets.make_samples import MAKERS
from tests.assets.plain_pdf import Page, make_pdf

DPI = 150
DECK_PAGES, TEXT_PAGES, REAL_FILES = 12, 10, 20
PAUSE_S = 0.3  # the next process starts in the meantime, as in a worker that is not fully busy
LIMIT_TO_PDFTOPPM, LIMIT_ONE_PAGE = 1.7, 1.0
SLOWEST_S = 3.0  # a file that takes longer than this would dominate the result


def deck(folder: Path) -> Path | None:
    """Return the sample deck as a PDF of twelve pages; None where LibreOffice is missing."""
    if shutil.which("soffice") is None:
        return None
    (folder / "deck.pptx").write_bytes(MAKERS["deck.pptx"]())
    profile = f"-env:UserInstallation=file://{folder / 'profile'}"
    command = ["soffice", profile, "--headless", "--convert-to", "pdf", "--outdir", str(folder), "deck.pptx"]
    subprocess.run(command, check=False, capture_output=True, cwd=folder, timeout=120)
    slides, whole = folder / "deck.pdf", folder / "deck12.pdf"
    if not slides.is_file():
        return None
    info = subprocess.run(["pdfinfo", slides], check=True, capture_output=True, text=True).stdout
    count = int(info.partition("Pages:")[2].split()[0])
    copies = [str(slides)] * -(-DECK_PAGES // count)
    subprocess.run(["pdfunite", *copies, str(whole)], check=True, capture_output=True)
    return whole


def text(folder: Path, pages: int) -> Path:
    """Write A4 pages, each with a line of text and a coloured half."""
    return make_pdf(folder / f"text-{pages}.pdf", [Page(595, 842, text=f"Page {number}") for number in range(pages)])


def documents(corpus: Path, folder: Path) -> dict[str, list[Path]]:
    """The documents by name of the case; each is rendered file by file."""
    found = {"one page": [text(folder, 1)], f"{TEXT_PAGES} pages": [text(folder, TEXT_PAGES)]}
    if (slides := deck(folder)) is not None:
        found[f"deck of {DECK_PAGES}"] = [slides]
    real = [path for path in sorted((corpus / "pdf").glob("*.pdf")) if _by_pdftoppm([path], folder) < SLOWEST_S]
    found[f"{REAL_FILES} real files"] = real[:REAL_FILES]
    return found


async def _by_converter(converter: PdfPages, paths: list[Path], folder: Path) -> float:
    spent_s = 0.0
    for path in paths:
        room = Path(tempfile.mkdtemp(dir=folder))
        shutil.copyfile(path, room / "source.pdf")
        job = Job(
            source=room / "source.pdf",
            source_format="pdf",
            target_format="png",
            folder=room,
            options=PageOptions(dpi=DPI),
            limits=Limits(),
            report=ignore_report,
        )
        started = time.perf_counter()
        products = await converter.convert(job)
        spent_s += time.perf_counter() - started
        assert products
        await asyncio.sleep(PAUSE_S)
        shutil.rmtree(room)
    return spent_s


def _by_pdftoppm(paths: list[Path], folder: Path) -> float:
    spent_s = 0.0
    for path in paths:
        room = Path(tempfile.mkdtemp(dir=folder))
        command = ["pdftoppm", "-r", str(DPI), "-png", str(path), str(room / "page")]
        started = time.perf_counter()
        subprocess.run(command, check=False, capture_output=True)
        spent_s += time.perf_counter() - started
        shutil.rmtree(room)
    return spent_s


async def measure(found: Mapping[str, list[Path]], folder: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return the seconds of our converter and of pdftoppm per round, after one warm-up round."""
    converter = PdfPages(await Sandbox.choose("auto"))
    assert await converter.version()
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
    for number in range(rounds + 1):
        for name, paths in found.items():
            both = (await _by_converter(converter, paths, folder), _by_pdftoppm(paths, folder))
            if number:
                spent[name].append(both)
    await converter.aclose()
    return spent


def main() -> int:
    """Return 0 when rendering is fast enough, also for a single page; 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="folder that contains pdf")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="converto-bench-") as name:
        found = documents(arguments.corpus, Path(name))
        spent = asyncio.run(measure(found, Path(name), arguments.rounds))
    ratios = {name: statistics.median(theirs / ours for ours, theirs in entries) for name, entries in spent.items()}
    title = f"PDF to PNG at {DPI} dpi on {len(os.sched_getaffinity(0))} cores, medians of {arguments.rounds} rounds"
    print_medians(title, ["ours, s", "pdftoppm, s", "times faster"], spent, ratios)
    are_kept = [
        verdict(name, round(ratio, 2), LIMIT_ONE_PAGE if name == "one page" else LIMIT_TO_PDFTOPPM, is_upper=False)
        for name, ratio in ratios.items()
    ]
    save_figures("pages", {"seconds": spent, "ratios": {name: round(ratio, 3) for name, ratio in ratios.items()}})
    return 0 if all(are_kept) else 1


if __name__ == "__main__":
    sys.exit(main())
