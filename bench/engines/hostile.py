"""Hostile files to every possible target: connections, foreign reads, crashes and cost.

Run it with `python -m bench.engines.hostile CORPUS_FOLDER`. The files name a port of this machine, where a canary
listens; the same files are also given to the bare programs without a sandbox, which proves that the canary is heard.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bench.engines.foreign import PASSWORDS, SECRET_PICTURE, foreign_in, lay_out_secret
from bench.engines.runs import Engines, Run, decided
from bench.figures import percentile, print_table, save_figures, verdict
from converto_core.conversion.record import Step
from converto_core.errors import ConvertoError
from converto_core.formats import format_of_name
from converto_engines import planner
from converto_engines.converter import Limits
from converto_engines.sniffing import sniff
from tests.engines.canary import listening

PORT = 18_777
"""The port that the hostile files of the corpus refer to."""
FOLDERS = ("hostile_made", "hostile_found")
LIMITS = Limits(wall_s=30, cpu_s=30, memory_bytes=2 * 1024**3, file_bytes=2 * 1024**3)
_SPARE_S = 15.0  # looking into the file, ending what is killed, and checks of ours around each step
_SPARE_BYTES = 512 * 1024**2  # memory is sniffed at four times a second
_CONTROL_S = 60.0


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """One run and its violations."""

    run: Run
    visits: tuple[str, ...] = ()
    foreign: str = ""

    @property
    def breaches(self) -> list[str]:
        """Return every promise that this run broke."""
        steps = max(len(self.run.converters), 1)
        wall_s = steps * (LIMITS.wall_s + _SPARE_S)
        found = [f"canary: {visit}" for visit in self.visits]
        found += [f"foreign: {self.foreign}"] if self.foreign else []
        found += [f"died: {self.run.died}"] if self.run.died else []
        found += [f"{self.run.wall_s:.0f} s of {wall_s:.0f} s"] if self.run.wall_s > wall_s else []
        cpu_s = steps * (LIMITS.cpu_s + _SPARE_S)
        found += [f"{self.run.cpu_s:.0f} CPU s of {cpu_s:.0f} s"] if self.run.cpu_s > cpu_s else []
        most = LIMITS.memory_bytes + _SPARE_BYTES
        found += [f"{self.run.peak_bytes >> 20} MB of memory"] if self.run.peak_bytes > most else []
        return found


def plans_of(file: Path, engines: Engines) -> Iterator[tuple[Step, ...]]:
    """Return one plan per chain of programs, also for a file that sniffing rejects: by its content and by its name.

    Two targets of the same programs count as one attack; every program that could read the file is included.
    """
    sniffed = sniff.sniff_path(file)
    claimed = format_of_name(file.name)
    for source in dict.fromkeys([sniffed.format, claimed.name if claimed else None]):
        seen: set[tuple[str, ...]] = set()
        for target in planner.targets_of(source, engines.offers) if source else ():
            steps = engines.plan(source, target)
            chain = tuple(step.converter for step in steps or ())
            if steps and chain not in seen:
                seen.add(chain)
                yield steps


async def attacks(folders: Sequence[Path]) -> tuple[list[Attack], list[str]]:
    """Return all runs, and the files that sniffing rejects."""
    found, refused = [], []
    async with Engines.opened(LIMITS) as engines:
        print(f"  sandbox: {engines.sandbox.name}; {len(engines.offers)} converters")
        for file in (file for folder in folders for file in sorted(folder.iterdir())):
            if message := _refusal(file):
                refused.append(f"{file.name}: {message}")
            found += await _all_on(file, engines)
    return found, refused


async def _all_on(file: Path, engines: Engines) -> list[Attack]:
    """Run every chain of programs except those whose first step already failed alone."""
    found: list[Attack] = []
    failed: set[Step] = set()
    for steps in plans_of(file, engines):
        if steps[0] in failed:
            continue
        found.append(await _attack(engines, file, steps))
        print(f"  {_line(found[-1])}", flush=True)
        if found[-1].run.code and len(steps) == 1:
            failed.add(steps[0])
    return found


def _refusal(file: Path) -> str:
    try:
        decided(file)
    except ConvertoError as error:
        return error.stable_code
    return ""


async def _attack(engines: Engines, file: Path, steps: Sequence[Step]) -> Attack:
    with listening(PORT) as canary:
        async with engines.run(file, steps) as (run, products):
            own = file.name == SECRET_PICTURE.name
            foreign = "" if own else next(filter(None, map(foreign_in, products)), "")
    return Attack(run=run, visits=tuple(canary.requests), foreign=foreign)


def _line(attack: Attack) -> str:
    run = attack.run
    ended = run.code or f"{run.products} result{'s' if run.products != 1 else ''}"
    what = f"{run.name}: {' → '.join([run.source, *run.converters, run.target])}: {ended}"
    cost = f"{run.wall_s:.1f} s, {run.cpu_s:.1f} CPU s, {run.peak_bytes >> 20} MB"
    return f"{what} ({cost}){''.join(f'  !! {breach}' for breach in attack.breaches)}"


def control(corpus: Path) -> tuple[list[str], list[str]]:
    """Run the same traps without a sandbox; returns connections and foreign reads."""
    visits, foreign = [], []
    with tempfile.TemporaryDirectory(prefix="converto-control-") as name:
        folder = Path(name)
        for number, command in enumerate(_bare_commands(corpus / "hostile_made", folder)):
            with listening(PORT) as canary:
                _run_bare(command, folder)
            visits += [f"{Path(command[0]).name} {number}: {visit}" for visit in canary.requests]
        made = (path for path in sorted(folder.glob("*.*")) if path.is_file())
        foreign += [f"{path.name}: {told}" for path in made if (told := foreign_in(path))]
    return visits, foreign


def _bare_commands(made: Path, out: Path) -> list[list[str]]:
    office = ["soffice", f"-env:UserInstallation=file://{out}/profile", "--headless", "--convert-to", "pdf", "--outdir"]
    page = f"import weasyprint; weasyprint.HTML({str(made / 'ext.html')!r}).write_pdf({str(out / 'page.pdf')!r})"
    documents = ("ext_image_http.pptx", "attachedtemplate.docx", "ext.rtf", "ext.html", "ext_image_file.odt", "ext_section_file.odt")  # fmt: skip  # noqa: E501
    return [
        *([*office, str(out), str(made / document)] for document in documents),
        ["ffmpeg", "-v", "error", "-i", str(made / "hls_http.m3u8"), "-f", "null", "-"],
        ["ffmpeg", "-v", "error", "-i", str(made / "dash_http.mp4"), "-f", "null", "-"],
        ["assimp", "export", str(made / "gltf_file.gltf"), str(out / "gltf_file.glb")],
        [sys.executable, "-c", page],
    ]


def _run_bare(command: list[str], folder: Path) -> None:
    environment = {**os.environ, "HOME": str(folder)}
    try:
        subprocess.run(command, check=False, capture_output=True, timeout=_CONTROL_S, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"  {command[0]}: {error}", file=sys.stderr)


def report(found: Sequence[Attack], refused: Sequence[str], controls: tuple[list[str], list[str]]) -> bool:
    """Print the results and whether every promise was kept."""
    endings: dict[str, int] = {}
    for attack in found:
        endings[attack.run.code or "a result"] = endings.get(attack.run.code or "a result", 0) + 1
    print_table("How the runs ended", ["", "runs"], sorted(endings.items(), key=lambda entry: -entry[1]))
    print(f"\n{len(refused)} files are rejected before any program sees them:")
    print("\n".join(f"  {line}" for line in refused))
    for title, lines in zip(("Calls without a sandbox", "Reads without a sandbox"), controls, strict=True):
        print(f"\n{title}:\n" + "\n".join(f"  {line}" for line in lines))
    over = [attack for attack in found if attack.breaches]
    print("\n" + "\n".join(f"  {_line(attack)}" for attack in over))
    walls = [attack.run.wall_s for attack in found]
    print(f"  {len(found)} runs; wall clock p95 {percentile(walls, 95):.1f} s, longest {max(walls):.1f} s")
    kept = [
        verdict("calls to the canary", sum(len(attack.visits) for attack in found), 0),
        verdict("results with content of foreign files", sum(bool(attack.foreign) for attack in found), 0),
        verdict("errors that would end a worker", sum(bool(attack.run.died) for attack in found), 0),
        verdict("runs over their limits", len(over), 0),
        verdict("control: calls to the canary without a sandbox", len(controls[0]), 1, is_upper=False),
        verdict("control: foreign reads without a sandbox", len(controls[1]), 1, is_upper=False),
    ]
    return all(kept)


def main() -> int:
    """Return 0 without connections, foreign reads, crashes and exceeded limits; 1 otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path, help="folder that contains hostile_made and hostile_found")
    arguments = parser.parse_args()
    lay_out_secret()
    print(f"  sniffed for in results: {PASSWORDS}, {SECRET_PICTURE}")
    controls = control(arguments.corpus)
    found, refused = asyncio.run(attacks([arguments.corpus / folder for folder in FOLDERS]))
    is_kept = report(found, refused, controls)
    save_figures("engines_hostile", {"runs": msgspec.to_builtins(found), "refused": refused, "control": controls})
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
