"""The steps of one job: source, converters, results, and the private folder they use."""
