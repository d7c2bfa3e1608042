"""Faults at seeded moments against a whole installation under calls, and the account of what they did to callers and agents."""
