"""A slot: consume, claim under a lease, run exclusively where needed, complete the record."""
