"""What is decided about a replay: how long callers would have waited, what is changed, what the figures are. Pure."""
