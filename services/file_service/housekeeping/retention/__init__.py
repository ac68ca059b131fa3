"""The rules by which things go: one file each. A rule only finds what may go; its caller decides whether that goes."""
