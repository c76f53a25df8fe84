"""The door to the commands from a checkout: `python cli.py`. Installed, it is `twostream`."""

from twostream.commands.main import main

if __name__ == "__main__":
    main(prog_name="twostream")
