"""Stage 4: thin edges. Translate HTTP and WebSocket, and delegate."""
