"""Request and response bodies exactly as clients see them, one noun per file."""
