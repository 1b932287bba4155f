"""Folders compared by what is in their files."""

import hashlib
import os


def digests(root):
    """{path below root: digest} of every file."""
    found = {}
    for folder, _, names in os.walk(str(root)):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, str(root))] = hashlib.md5(file.read()).hexdigest()
    return found
