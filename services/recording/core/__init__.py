"""Decisions of the recording service: pure, without clock, files or chance."""
