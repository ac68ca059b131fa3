"""Code that runs inside the sandbox, shared by all families: the standard library only."""
