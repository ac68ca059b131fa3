"""Conversions: the record, its transitions, their history, cache keys and time estimates."""
