"""What a file really is: signatures, containers, and the limits of archives."""
