"""How converto is run: on a laptop without containers, in containers, on AWS, and from which locked requirements."""
