"""Values that the stages hand to each other: frozen, no I/O, no asyncio."""
