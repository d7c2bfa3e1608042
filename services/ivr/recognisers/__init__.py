"""Engines that understand speech, each in a process of its own: what callers say never takes the time of other callers.

``worker`` is that process; ``sphinx``, ``vosk`` and ``whisper`` are engines. All take 8 kHz mono sound and the phrases that are possible now.
"""
