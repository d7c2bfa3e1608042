"""What the simulated switch and its people decide, without sockets, clocks or chance of their own."""
