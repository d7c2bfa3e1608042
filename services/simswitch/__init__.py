"""A simulated FreeSWITCH: the event socket, a call model, callers and agents who behave, and the books of what really happened."""
