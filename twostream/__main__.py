"""`python -m twostream`."""

from twostream.commands.main import main

main(prog_name="twostream")
