"""Reads the lines by which one of our own programs tells how far it is. What they say is not trusted further."""

import json

from converto_engines.converter import Report

_STAGE_CHARACTERS = 80


def pass_on(line: str | bytes, report: Report) -> bool:
    """Report the progress that a line tells, and say whether it was such a line."""
    try:
        told = json.loads(line)
        percent, stage = told["percent"], str(told["stage"])
        share = None if percent is None else min(max(float(percent), 0.0), 100.0)
    except (ValueError, KeyError, TypeError):
        return False
    report(share, stage[:_STAGE_CHARACTERS])
    return True
