"""Between routing's core and the outside: bus messages, center documents, FreeSWITCH's registrations."""
