"""Tools of the development machine: contracts, the live tail, the one-machine runner."""
