"""HTTP routes, one noun per file; they translate between HTTP and the use cases."""
