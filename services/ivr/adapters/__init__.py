"""Between the outside (center documents, FreeSWITCH, the bus) and the core's structs."""
