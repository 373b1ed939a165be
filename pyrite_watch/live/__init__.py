"""Stage 3: who is told. The hub and its subscribers; knows nothing of disk or SQLite."""
