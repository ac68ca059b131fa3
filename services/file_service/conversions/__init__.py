"""Conversion use cases: submit, start, plan, read, cancel, and answer from the result cache."""
