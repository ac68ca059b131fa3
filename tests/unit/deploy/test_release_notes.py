"""A release tag is accepted only when version and changelog agree with it (behaviour C10)."""

import subprocess
import sys

import pytest

from converto_core.version import __version__
from deploy.local.home import REPOSITORY
from deploy.release_notes import TagRefused, notes

CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.0] - 2026-12-01

### Added
- A new format.

## [1.1.0] - 2026-11-01

### Fixed
- An old fault.

## [1.0.0] - 2026-10-01

[1.2.0]: https://example.org
"""


def test_section_of_the_version_is_printed() -> None:
    assert notes("v1.2.0", version="1.2.0", changelog=CHANGELOG) == "### Added\n- A new format.\n"
    assert notes("v1.1.0", version="1.1.0", changelog=CHANGELOG) == "### Fixed\n- An old fault.\n"


@pytest.mark.parametrize(
    ("tag", "version", "reason"),
    [
        ("v1.2.1", "1.2.0", "tag v1.2.0"),
        ("1.2.0", "1.2.0", "tag v1.2.0"),
        ("v1.3.0", "1.3.0", "no section"),
        ("v1.0.0", "1.0.0", "is empty"),
    ],
)
def test_tag_that_does_not_fit_is_refused(tag: str, version: str, reason: str) -> None:
    with pytest.raises(TagRefused, match=reason):
        notes(tag, version=version, changelog=CHANGELOG)


def test_command_reads_the_version_of_the_sources() -> None:
    command = [sys.executable, "-m", "deploy.release_notes", "v0.0.0"]
    refused = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert refused.returncode == 1
    assert __version__ in refused.stderr
