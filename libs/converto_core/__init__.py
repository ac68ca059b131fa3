"""What the business is: conversions, files, formats, events, errors and ports. No I/O and no framework."""
