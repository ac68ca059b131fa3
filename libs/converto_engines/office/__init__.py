"""Office documents by one warm LibreOffice, and Keynote."""
