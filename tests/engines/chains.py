"""Runs a whole plan as the worker does: every step with its own options."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from converto_core.catalogue import Offer
from converto_engines import planner
from converto_engines.converter import Converter, offers_of
from tests.engines.conftest import RunJob


async def run_chain(
    run_job: RunJob,
    converters: Sequence[Converter],
    source: Path,
    formats: tuple[str, str],
    *,
    offers: Sequence[Offer] = (),
    **options: Any,
) -> Path:
    """Return the single product of the last step; `formats` are source and target, `offers` avoids probing again."""
    offers = offers or await offers_of(converters)
    steps = planner.plan(*formats, offers)
    planner.check_options(options, steps, offers)
    path = source
    for position, step in enumerate(steps):
        converter = next(converter for converter in converters if converter.name == step.converter)
        chosen = planner.options_of_step(options, position, steps, offers)
        (product,) = await run_job(converter, path, step.source_format, step.target_format, **chosen)
        path = product.path
    return path
