"""Converters of web pages, Markdown, books, tables and subtitles."""
