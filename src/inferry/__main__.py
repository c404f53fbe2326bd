"""``python -m inferry``."""

from inferry.cli.main import main

main()
