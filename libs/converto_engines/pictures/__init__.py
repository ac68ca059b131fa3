"""Pictures to pictures, and onto a page."""
