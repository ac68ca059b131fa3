"""Makes encrypted documents: LibreOffice saves them with a password."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.local.home import REPOSITORY

SCRIPT = Path(__file__).with_name("save_with_password.py")
WRITERS = {
    "docx": "MS Word 2007 XML",
    "doc": "MS Word 97",
    "odt": "writer8",
    "pptx": "Impress MS PowerPoint 2007 XML",
    "odp": "impress8",
    "xlsx": "Calc MS Excel 2007 XML",
    "xls": "MS Excel 97",
    "ods": "calc8",
}


class Wanted(NamedTuple):
    """A document to save in the format that the name of `result` says."""

    source: Path
    result: Path
    password: str


def save(wanted: Sequence[Wanted], profile: Path) -> None:
    """Save all of them with one LibreOffice, which makes its profile in a new folder."""
    lines = [
        [str(one.source), one.source.suffix[1:], WRITERS[one.result.suffix[1:]], str(one.result), one.password]
        for one in wanted
    ]
    subprocess.run(
        ["/usr/bin/python3", str(SCRIPT), str(profile)],
        input=json.dumps(lines).encode(),
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "libs")},
        check=True,
        timeout=100,
    )
