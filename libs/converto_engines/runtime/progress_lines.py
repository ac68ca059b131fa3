"""Parses the progress lines that sandboxed programs print. Their content is untrusted, so values are clamped."""

import json

from converto_engines.converter import Report

_STAGE_CHARACTERS = 80


def forward(line: str | bytes, report: Report) -> bool:
    """Report the progress in a line; return False when it is not a progress line."""
    try:
        message = json.loads(line)
        percent, stage = message["percent"], str(message["stage"])
        clamped = None if percent is None else min(max(float(percent), 0.0), 100.0)
    except (ValueError, KeyError, TypeError):
        return False
    report(clamped, stage[:_STAGE_CHARACTERS])
    return True
