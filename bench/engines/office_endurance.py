"""300 office files in a row through one slot: memory must stay flat and the work must not get slower.

The same small files are repeated, so that a later block can be compared with an earlier one. Each block is
timed; memory is what the warm LibreOffice's processes hold after each file. The first block pays for the start and is
not compared. Run it with `python -m bench.engines.office_endurance CORPUS_FOLDER`.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from bench.engines.office import job_of
from bench.figures import print_table, save_figures, verdict
from bench.office_baseline import picked_files
from converto_engines.office.libreoffice import LibreOffice
from converto_engines.office.warm_office import WarmOffice
from converto_engines.runtime.process import Sandbox
from converto_engines.runtime.process_tree import usage_of

BLOCKS, FILES_PER_BLOCK = 6, 50  # one LibreOffice is replaced after as many files as a block has
SMALL_BYTES = 40_000
LIMIT_SLOWER_PERCENT, LIMIT_PEAK_MIB = 10.0, 700.0
MIB = 1024 * 1024


class Block(msgspec.Struct, frozen=True):
    """Duration of a block, and the highest memory in MiB measured after one of its files."""

    seconds: float
    peak_mib: float
    count: int


async def all_blocks(files: list[Path]) -> list[Block]:
    """Run the blocks sequentially in one slot."""
    with tempfile.TemporaryDirectory(prefix="converto-bench-") as name:
        office = WarmOffice(await Sandbox.choose("auto"), work_dir=Path(name))
        try:
            return [await _block(office, files, Path(name) / f"block-{number}") for number in range(BLOCKS)]
        finally:
            await office.aclose()


async def _block(office: WarmOffice, files: list[Path], folder: Path) -> Block:
    converter, memory, count = LibreOffice(office), [0.0], 0
    started = time.perf_counter()
    for number in range(FILES_PER_BLOCK):
        job_folder = folder / str(number)
        job_folder.mkdir(parents=True)
        count += len(await converter.convert(job_of(files[number % len(files)], job_folder)))
        memory.append(usage_of(office.pid).resident_bytes / MIB if office.pid else 0.0)
    block = Block(time.perf_counter() - started, max(memory), count)
    print(f"  {block.count} files in {block.seconds:.1f} s, at most {block.peak_mib:.0f} MiB")
    return block


def main() -> int:
    """Return 0 when memory stays below its limit and the last blocks are not slower than the first; 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="folder that contains pptx, docx, xlsx and odf")
    files = [path for path in picked_files(parser.parse_args().corpus) if path.stat().st_size < SMALL_BYTES]
    blocks = asyncio.run(all_blocks(files))
    compared = [block.seconds for block in blocks[1:]]
    slower_percent = round((statistics.mean(compared[-2:]) / statistics.mean(compared[:2]) - 1) * 100, 1)
    rows = [
        [f"block {number}", f"{block.seconds:.1f}", f"{block.peak_mib:.0f}"] for number, block in enumerate(blocks, 1)
    ]
    print_table(f"{BLOCKS * FILES_PER_BLOCK} office files to PDF in a row", ["", "seconds", "MiB"], rows)
    are_kept = [
        verdict("slower at the end, %", slower_percent, LIMIT_SLOWER_PERCENT),
        verdict("maximum memory, MiB", round(max(block.peak_mib for block in blocks)), LIMIT_PEAK_MIB),
        verdict("PDFs", sum(block.count for block in blocks), BLOCKS * FILES_PER_BLOCK, is_upper=False),
    ]
    save_figures("engines_office_endurance", {"blocks": msgspec.to_builtins(blocks), "slower_percent": slower_percent})
    return 0 if all(are_kept) else 1


if __name__ == "__main__":
    sys.exit(main())
