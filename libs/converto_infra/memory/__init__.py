"""In-memory twins of the ports for tests; they pass the same contract suite as the real adapters."""
