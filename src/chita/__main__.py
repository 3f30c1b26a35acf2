"""``python -m chita``: the command line."""

from chita.cli.main import main

main()
