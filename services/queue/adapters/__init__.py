"""Between the core and the bus, the switch and the center documents."""
