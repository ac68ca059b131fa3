"""The worker: consumes messages, claims conversions, runs the conversion programs and uploads the outputs."""
