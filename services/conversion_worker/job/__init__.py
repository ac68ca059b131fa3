"""The steps of one job: source, converters, outputs, and the private folder they use."""
