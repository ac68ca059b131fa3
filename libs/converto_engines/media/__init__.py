"""Video and sound by ffmpeg."""
