"""Converters for office documents (one long-running LibreOffice per slot) and Keynote files."""
