"""`python -m convback_tools` is the command `convback`."""

from convback_tools.cli import main

if __name__ == "__main__":
    main()
