"""How converto is run: on a laptop without containers, in containers, and from which locked requirements."""
