"""Pure parts of reporting: facts in, rows and boards out."""
