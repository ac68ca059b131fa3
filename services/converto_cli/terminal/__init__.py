"""What a person sees: progress, output, wording, exit codes."""
