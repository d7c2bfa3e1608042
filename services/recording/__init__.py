"""The recording service: which calls were recorded, whether the files are whole, and who may hear them."""
