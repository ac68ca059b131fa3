"""The laptop stack: every server and service as a plain process on loopback."""
