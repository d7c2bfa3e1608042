"""ivr: what a caller hears and chooses until the call is handed on."""
