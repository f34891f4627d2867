"""`python -m sweep` is the console script `sweep`."""

from sweep.cli import main

if __name__ == "__main__":
    main()
