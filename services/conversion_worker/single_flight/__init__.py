"""One engine run for identical requests: a leader converts, waiters copy its outputs."""
