"""The command line as a shell sees it."""
import os
import subprocess
import sys

COMMAND = os.path.join(os.path.dirname(sys.executable), "deeplab-nb")


def call(*arguments, code=0):
    """What `deeplab-nb` says, on either stream; it ends with this code and without a traceback."""
    done = subprocess.run([COMMAND] + list(arguments), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=300)
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == code, said
    assert "Traceback" not in said
    return said
