"""Messages: dispatch, the outbox, lost messages, and live events to clients."""
