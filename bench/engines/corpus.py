"""Converts every file of the corpus to the main targets of its family, and reports failures with their reasons.

Run it with `python -m bench.engines.corpus CORPUS_FOLDER [--family F]`. Hostile files have a bench of their own. The
folder `found` beside the corpus, with small files that once went wrong, belongs to it.
"""

import argparse
import asyncio
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench.engines.runs import Engines, Run, decided
from bench.engines.unreadable import reason_for
from bench.figures import print_table, save_figures, verdict
from converto_core.errors import ConvertoError
from converto_core.formats import Family, Format
from converto_engines.converter import Limits

TARGETS: dict[Family, tuple[str, ...]] = {
    Family.OFFICE: ("pdf",),
    Family.PDF: ("png", "txt"),
    Family.IMAGE: ("webp", "png", "jpg"),
    Family.VIDEO: ("mp4", "webm"),
    Family.AUDIO: ("mp3", "opus"),
    Family.MODEL: ("stl", "glb"),
}
LEAST_CONVERTED_PERCENT = 99.0
LIMITS = Limits(wall_s=600, cpu_s=900)
_HOSTILE = "hostile_"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one file and one target; `reason` is empty on success."""

    folder: str
    run: Run
    reason: str = ""
    is_known: bool = False


def files_of(corpus: Path) -> list[Path]:
    """Return all files except the hostile ones, in a fixed order, then those that once went wrong."""
    folders = sorted(path for path in corpus.iterdir() if path.is_dir() and not path.name.startswith(_HOSTILE))
    found = corpus.parent / "found"
    folders += [found] if found.is_dir() else []
    files = (file for folder in folders for file in sorted(folder.iterdir()) if file.is_file())
    return [file for file in files if file.name != "README.md"]


async def converted(engines: Engines, file: Path, family: str | None) -> list[Found]:
    """Convert one file to each of its targets."""
    try:
        source = decided(file)
    except ConvertoError as error:
        refusal = Run(name=file.name, source="", target="*", converters=(), code=error.stable_code)
        return [_found(file, msgspec.structs.replace(refusal, message=error.public_message))] if not family else []
    if family and source.family != family:
        return []
    return [await _one(engines, file, source, target) for target in _targets(source)]


def _targets(source: Format) -> Iterator[str]:
    """Yield the main targets except the format itself."""
    yield from (target for target in TARGETS[source.family] if target != source.name)


async def _one(engines: Engines, file: Path, source: Format, target: str) -> Found:
    steps = engines.plan(source.name, target)
    if steps is None:
        missing = f"no installed converter makes {target} from {source.name}"
        return _found(file, Run(name=file.name, source=source.name, target=target, converters=(), code="no_route", message=missing))  # fmt: skip  # noqa: E501
    async with engines.run(file, steps) as (run, _):
        return _found(file, run)


def _found(file: Path, run: Run) -> Found:
    known = reason_for(file.name, run.target)
    reason = (known or f"{run.code}: {run.message}{run.died}") if run.code else ""
    return Found(folder=file.parent.name, run=run, reason=reason, is_known=known is not None)


async def all_found(corpus: Path, family: str | None) -> list[Found]:
    """Convert all files sequentially and report progress."""
    found: list[Found] = []
    async with Engines.opened(LIMITS) as engines:
        print(f"  sandbox: {engines.sandbox.name}; {len(engines.offers)} converters")
        for file in files_of(corpus):
            for entry in await converted(engines, file, family):
                found.append(entry)
                print(f"  {_line(entry)}", flush=True)
    return found


def _line(entry: Found) -> str:
    what = f"{entry.folder}/{entry.run.name} → {entry.run.target} ({entry.run.wall_s:.1f} s)"
    return f"{what}: {'NOT ' if entry.reason else ''}converted{f': {entry.reason}' if entry.reason else ''}"


def report(found: Sequence[Found]) -> bool:
    """Print the counts per folder, every failure with its reason, and the verdict."""
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for entry in found:
        row = rows[f"{entry.folder} → {entry.run.target}"]
        row[0] += 1
        row[1] += entry.is_known and bool(entry.reason)
        row[2] += not entry.reason
        row[3] += bool(entry.reason) and not entry.is_known
    print_table(
        "The corpus", ["", "files", "unreadable", "converted", "failed"], [[name, *row] for name, row in rows.items()]
    )
    for title, chosen in (
        (
            "Unreadable for every program here, so not counted",
            [entry for entry in found if entry.reason and entry.is_known],
        ),
        ("Failed", [entry for entry in found if entry.reason and not entry.is_known]),
        (
            "Listed as unreadable, but converted: the table is out of date",
            [e for e in found if not e.reason and e.is_known],
        ),
    ):
        if chosen:
            print(f"\n{title}:")
            print("\n".join(f"  {_line(entry)}" for entry in chosen))
    readable = [entry for entry in found if not (entry.reason and entry.is_known)]
    share = 100 * sum(not entry.reason for entry in readable) / max(len(readable), 1)
    died = sum(bool(entry.run.died) for entry in found)
    is_enough = verdict(
        "readable files that convert, percent", round(share, 1), LEAST_CONVERTED_PERCENT, is_upper=False
    )
    return verdict("errors that would end a worker", died, 0) and is_enough


def main() -> int:
    """Return 0 when enough of the readable files convert; 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="folder with one folder of real files per kind")
    parser.add_argument("--family", choices=[str(family) for family in Family], help="only files of this family")
    arguments = parser.parse_args()
    found = asyncio.run(all_found(arguments.corpus, arguments.family))
    is_kept = report(found)
    save_figures(
        "engines_corpus" + (f"_{arguments.family}" if arguments.family else ""), {"runs": msgspec.to_builtins(found)}
    )
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
