"""Melodies as bars of symbols: notation, and reading and writing MIDI. Data, models, metrics and tasks stand on it."""
