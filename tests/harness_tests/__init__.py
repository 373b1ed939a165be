"""Tests of the tests: the harness must see faults."""
