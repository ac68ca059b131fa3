"""Converters of pictures to other picture formats and to PDF."""
