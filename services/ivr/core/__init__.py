"""Pure decisions: the flow interpreter, business hours, and what agents' feature codes mean."""
