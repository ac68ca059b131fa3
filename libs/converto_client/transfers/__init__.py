"""File transfers to and from the object store, and the state needed to resume them."""
