"""The worker: takes wake-ups, claims conversions, runs the real programs on them and stores what they make."""
