"""What the tests see the product with: from outside only, through the contract.

Nothing here imports `pyrite_watch`: a fault in the product cannot hide itself in its own test.
"""
