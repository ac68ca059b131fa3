"""Local file in, local files out. Knows nothing of queue, database or object store."""
