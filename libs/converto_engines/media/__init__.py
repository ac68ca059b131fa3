"""Converters of video and sound with ffmpeg."""
