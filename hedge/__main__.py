"""``python -m hedge``."""

from hedge.cli.app import main

main()
