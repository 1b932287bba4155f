"""`python -m deeplab_nb COMMAND` is `deeplab-nb COMMAND`."""

from deeplab_nb.cli import main

main(prog_name="deeplab-nb")
