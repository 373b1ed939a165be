"""The property test of the whole product: whatever happens to the disk, every replica is the index, and the
index is the disk."""
