"""routing decides who takes what: agents, their states and skills, waiting contacts and their order, offers."""
