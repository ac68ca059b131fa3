"""Files: presigned uploads, confirmation, originals."""
