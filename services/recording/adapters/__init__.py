"""Between the core and files, the switch and the bus."""
