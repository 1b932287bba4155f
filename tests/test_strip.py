"""Git's filter gives a notebook back as it is committed, whatever JupyterLab added."""

import glob
import json
import os
import subprocess
import sys

import pytest

from deeplab_nb import files

SCRIPT = os.path.join(files.ROOT, "scripts", "strip_notebook.py")


@pytest.mark.parametrize("path", sorted(glob.glob(os.path.join(files.NOTEBOOKS, "*.ipynb"))))
def test_what_a_visit_adds_goes(path):
    with open(path, encoding="utf-8") as file:
        committed = file.read()
    visited = json.loads(committed)
    visited["metadata"]["language_info"]["version"] = "3.12.1"
    visited["metadata"]["widgets"] = {"state": {}}
    for cell in visited["cells"]:
        cell["metadata"]["collapsed"] = False
        if cell["cell_type"] == "code":
            cell["execution_count"] = 3
            cell["outputs"] = [{"name": "stdout", "output_type": "stream", "text": ["seen\n"]}]
    stripped = subprocess.run(
        [sys.executable, SCRIPT], input=json.dumps(visited).encode(), stdout=subprocess.PIPE
    )
    assert stripped.returncode == 0 and stripped.stdout.decode() == committed
