"""Delivery: the sender, dispatch, the outbox, lost messages, and live events to clients."""
