"""The laptop stack: its programs, their supervisor, ports, sockets and probes."""
