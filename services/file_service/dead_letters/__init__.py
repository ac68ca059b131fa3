"""Dead letters: collected from the broker, explained, requeued or dropped."""
