"""`python3 -m deploy.release_notes v1.2.3`: print the changelog's section of a release, or refuse the tag.

Standard library only: the release workflow runs it before anything is installed.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class TagRefused(Exception):
    """The tag does not fit the sources; the message says what to change."""


def notes(tag: str, *, version: str, changelog: str) -> str:
    """Return the section of this version; raise `TagRefused` when the tag, the version and the changelog disagree."""
    if tag != f"v{version}":
        raise TagRefused(f"the tag is {tag}, but libs/converto_core/version.py says {version}: tag v{version}")
    section = re.search(
        rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n(.*?)(?=^## |^\[|\Z)", changelog, re.MULTILINE | re.DOTALL
    )
    if section is None:
        raise TagRefused(f'CHANGELOG.md has no section "## [{version}] - YYYY-MM-DD": rename "Unreleased"')
    if not section[1].strip():
        raise TagRefused(f"the section of {version} in CHANGELOG.md is empty")
    return section[1].strip() + "\n"


def main(arguments: list[str]) -> int:
    """0 when printed, 1 when the tag was refused, 2 without exactly one tag."""
    if len(arguments) != 1:
        sys.stderr.write("Name one tag: python3 -m deploy.release_notes v1.2.3\n")
        return 2
    source = (ROOT / "libs/converto_core/version.py").read_text(encoding="utf-8")
    version = re.findall(r'^__version__ = "([^"]+)"$', source, re.MULTILINE)[0]
    try:
        changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        sys.stdout.write(notes(arguments[0], version=version, changelog=changelog))
    except TagRefused as refusal:
        sys.stderr.write(f"error: {refusal}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
