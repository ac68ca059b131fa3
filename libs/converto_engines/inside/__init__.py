"""Programs that run inside the sandbox, started by path: the standard library only, nothing of converto."""
