"""`python -m pyrite_watch` is `pyrite`."""

from pyrite_watch.cli.app import main

if __name__ == "__main__":
    main()
