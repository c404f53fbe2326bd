"""The ``inferry`` command, and ``python -m inferry``."""

import sys

_INTERRUPTED = 130


def main() -> None:
    """Runs the command line; Ctrl-C ends quietly also while the verbs are still being imported."""
    try:
        from inferry.cli.main import main as verbs  # noqa: PLC0415 -- takes most of a second

        verbs()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
