"""The servers and the tabs of the fan-out benchmark, each a program of its own."""
