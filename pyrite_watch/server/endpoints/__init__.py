"""The HTTP endpoints, a module a subject."""
