"""Bytes between this disk and the object store: upload, download, and what is remembered to resume."""
