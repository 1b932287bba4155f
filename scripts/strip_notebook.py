"""A notebook as it is committed, from standard input to standard output: a filter of git.

What opening it in JupyterLab adds goes: outputs, counts, the Python's version, a cell's state.
`make lab` sets it up; .gitattributes says which files it is for.
"""

import json
import sys

notebook = json.load(sys.stdin)
for cell in notebook["cells"]:
    tags = cell["metadata"].get("tags")
    cell["metadata"] = {"tags": tags} if tags else {}
    if cell["cell_type"] == "code":
        cell.update(execution_count=None, outputs=[])
notebook["metadata"] = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
sys.stdout.write(json.dumps(notebook, ensure_ascii=False, indent=1) + "\n")
