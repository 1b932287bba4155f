"""The command line's words and exit codes, in this process or as a shell sees them."""

import os
import subprocess
import sys
import traceback

from click.testing import CliRunner

from deeplab_nb.cli import main

COMMAND = os.path.join(os.path.dirname(sys.executable), "deeplab-nb")


def call(*arguments, code=0):
    """All that a command says; it runs in this process, where what it imports is there already."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == code, done.output
    expected = done.exception is None or isinstance(done.exception, SystemExit)
    assert expected, "".join(traceback.format_exception(*done.exc_info))
    return done.output


def shell(*arguments, code=0):
    """The same in a process of its own."""
    done = subprocess.run(
        [COMMAND] + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300
    )
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == code and "Traceback" not in said, said
    return said
