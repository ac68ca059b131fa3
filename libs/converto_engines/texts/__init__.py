"""Web pages, Markdown, books, tables and subtitles."""
