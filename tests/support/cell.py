"""A notebook that is no more than its parameters cell."""

import nbformat

CELL = 'recipe = "sample"\nrun_folder = None\noverrides = {}\n'


def write(path, cell=CELL, tags=("parameters",), kernel="python3"):
    """Writes the notebook; returns its path as text."""
    spec = {"name": kernel, "display_name": "x", "language": "python"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": spec})
    notebook.cells = [nbformat.v4.new_code_cell(cell, metadata={"tags": list(tags)})]
    nbformat.write(notebook, str(path))
    return str(path)
