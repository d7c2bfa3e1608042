"""Decisions of the queue service for one FreeSWITCH node: pure, without clock, I/O or chance."""
