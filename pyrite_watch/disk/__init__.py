"""Stage 1: what is there. Reads the disk and listens to it; knows nothing of the index."""
