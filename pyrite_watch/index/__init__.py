"""Stage 2: what we know. The index, the event log and the one function that changes them."""
