"""Sandboxed code of this family: it imports the standard library, its packages and other sandboxed modules only."""
