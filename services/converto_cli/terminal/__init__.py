"""Terminal output: results, progress bars, formatting, exit codes."""
