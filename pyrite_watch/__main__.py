"""The commands' entry points; `python -m pyrite_watch` is `pyrite`.

Little is imported here: a signal is to be heard while the rest is still being read.
"""

import sys

from pyrite_watch.cli.signals import end_early, end_when_interrupted, run_to_the_end


def main() -> None:
    """Run `pyrite`."""
    command = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
    is_lasting = command in ("watch", "tail")
    if is_lasting:
        end_early()
    else:
        end_when_interrupted()
    from pyrite_watch.cli import app

    if is_lasting:
        run_to_the_end(app.main)
    app.main()


def main_watch() -> None:
    """Run `pyrite-watch`."""
    end_early()
    from pyrite_watch.cli import app

    run_to_the_end(app.main_watch)


if __name__ == "__main__":
    main()
