"""Retention rules, one per file. A rule only finds what may be removed; its caller decides whether to remove it."""
