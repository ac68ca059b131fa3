"""`python -m deploy.local.formats_table`: writes the README's table of formats from the converters.

`--check` only verifies that the table is current. Offers depend on the installed programs, so the table shows what a
machine can do after `make setup`.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence

from converto_core.catalogue import Offer
from converto_core.formats import Family
from converto_engines.converter import offers_of
from converto_engines.installed import build_converters
from converto_engines.runtime.process import Sandbox
from deploy.local.home import REPOSITORY

README = REPOSITORY / "README.md"
BEGIN, END = "<!-- formats: written by `make readme` -->", "<!-- end of formats -->"
_HEAD = ("| from | to | by | options |", "|---|---|---|---|")


def main() -> int:
    """0 when the table is current or was updated; 1 when `--check` finds an outdated one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when the table is outdated")
    arguments = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    renewed = with_table(text, table(asyncio.run(installed_offers())))
    if renewed == text:
        return 0
    if arguments.check:
        print("The table of formats in the README is outdated; run: make readme", file=sys.stderr)
        return 1
    README.write_text(renewed, encoding="utf-8")
    return 0


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
    options = ", ".join(offer.options_schema.get("properties", {})) or "none"
    cells = (" ".join(offer.sources), " ".join(offer.targets), offer.engine, options)
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
