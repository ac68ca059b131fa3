"""Office documents, converted by one warm LibreOffice per slot, and Keynote."""
