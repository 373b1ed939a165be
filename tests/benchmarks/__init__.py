"""Measurements with limits and peers; run by hand, not by pytest."""
