"""`python -m deploy.local.formats_table`: writes the README's table of formats and `docs/formats.md`.

`--check` only verifies that both are current. Offers depend on the installed programs, so they show what a machine can
do after `make setup`.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from converto_core.catalogue import Offer
from converto_core.formats import Family
from converto_engines.converter import offers_of
from converto_engines.installed import build_converters
from converto_engines.planner import PASSWORD
from converto_engines.runtime.process import Sandbox
from deploy.local.formats_page import PAGE, page
from deploy.local.home import REPOSITORY

README = REPOSITORY / "README.md"
BEGIN, END = "<!-- formats: written by `make readme` -->", "<!-- end of formats -->"
_HEAD = ("| from | to | by | options |", "|---|---|---|---|")


def main() -> int:
    """0 when both files are current or were updated; 1 when `--check` finds an outdated one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when a file is outdated")
    arguments = parser.parse_args()
    outdated = {path: text for path, text in renewed().items() if not path.exists() or path.read_text("utf-8") != text}
    if arguments.check:
        for path in outdated:
            print(f"{path.relative_to(REPOSITORY)} is outdated; run: make readme", file=sys.stderr)
        return 1 if outdated else 0
    for path, text in outdated.items():
        path.write_text(text, encoding="utf-8")
    return 0


def renewed() -> dict[Path, str]:
    """The generated files with their current content."""
    offers = asyncio.run(installed_offers())
    return {README: with_table(README.read_text(encoding="utf-8"), table(offers)), PAGE: page(offers)}


async def installed_offers() -> tuple[Offer, ...]:
    """The offers of all converters on this machine, by family."""
    converters = build_converters(await Sandbox.choose("auto"))
    try:
        return tuple(sorted(await offers_of(converters), key=lambda offer: list(Family).index(offer.family)))
    finally:
        for converter in converters:
            await converter.aclose()


def table(offers: Sequence[Offer]) -> str:
    """One row for each converter: sources, targets, program, options."""
    return "\n".join((*_HEAD, *(_row(offer) for offer in offers)))


def with_table(text: str, renewed: str) -> str:
    """The README with this table between its markers; raises ValueError when a marker is missing."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{renewed}\n{END}{after}"


def _row(offer: Offer) -> str:
    names = [*offer.options_schema.get("properties", {}), *([PASSWORD] if offer.password_sources else [])]
    options = ", ".join(names) or "none"
    cells = (" ".join(offer.sources), " ".join(offer.targets), offer.engine, options)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
