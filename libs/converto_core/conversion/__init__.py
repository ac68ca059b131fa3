"""Conversions: the record, its transitions, its history, the cache key of its result, and estimates."""
