"""A slot: consume a message, claim its conversion, run the job under a lease, complete the record."""
