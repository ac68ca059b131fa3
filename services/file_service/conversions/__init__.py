"""Conversions as users ask for them: submit, plan, list, and answer from the result cache."""
