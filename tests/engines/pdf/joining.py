"""Joins PDFs in one job, as the worker does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converto_core.secret import Secret
from converto_engines.converter import Job, Product, options_for
from converto_engines.pdf.document import PdfDocument
from tests.engines.conftest import SHORT


async def join(converter: PdfDocument, folder: Path, paths: Sequence[Path], **chosen: Any) -> list[Product]:
    """Run a job of several sources, as the worker does."""
    folder.mkdir()
    password = chosen.pop("password", None)
    copies = [folder / f"source-{number}" for number in range(len(paths))]
    for copy, path in zip(copies, paths, strict=True):
        copy.write_bytes(path.read_bytes())
    return await converter.convert(
        Job(
            source=copies[0],
            more=tuple(copies[1:]),
            source_format="pdf",
            target_format="pdf",
            folder=folder,
            options=options_for(converter, chosen),
            limits=chosen.pop("limits", SHORT),
            report=lambda *_: None,
            password=None if password is None else Secret(password),
        )
    )
