"""Adapters: one file for each outside system, and the only place where its driver is imported."""
