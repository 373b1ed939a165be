"""Fan-out against the limit and the peers: `python tests/benchmarks/fanout/run.py`."""
