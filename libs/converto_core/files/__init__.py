"""Files: uploaded sources and their versions."""
