"""``python -m paribus`` is the ``paribus`` command."""

from paribus.cli import main

if __name__ == "__main__":
    main()
