"""File use cases: presigned uploads, confirmation, downloads."""
