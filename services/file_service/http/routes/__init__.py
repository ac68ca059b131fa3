"""HTTP routes, one noun per file. They translate between HTTP and the use cases and decide nothing themselves."""
