"""Scheduled work: sweeps, the reaper, and retention."""
