"""What runs on a schedule: sweeps, the reaper, and retention."""
