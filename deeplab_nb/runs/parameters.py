"""Parameters of the notebooks: the one place that reads and checks them.

papermill 2.4 injects a misspelt name without a word and passes over lines that it cannot read,
so every name and type is compared with the `parameters` cells before anything starts.
"""

import ast

import nbformat

from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError

RESERVED = {  # the runner passes these to every notebook
    "recipe": "give the recipe as the first word of the command",
    "run_folder": "name the run with --name",
    "overrides": "give each setting by its own name",
}


def parse_assignments(assignments):
    """{name: text} of ["name=value", ...]. Raises WorkbookError without '=' or for a name twice."""
    texts = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals or not name:
            raise WorkbookError(
                f"'{assignment}' sets nothing: write name=value without blanks around '='"
            )
        if name in texts:
            raise WorkbookError(f"'{name}' is given twice ({texts[name]} and {text}): keep one")
        texts[name] = text.strip()
    return texts


def split(assignments, declared, base):
    """(overrides of settings, parameters of notebooks), both cast.

    assignments: {name: text}; declared: what `check_notebook` returned of each notebook; base: the
    recipe's Settings, for a setting is checked together with the others.
    Raises WorkbookError for an unknown or reserved name and for a value of the wrong type.
    """
    texts, parameters = {}, {}
    for name, text in assignments.items():
        if name in RESERVED:
            raise WorkbookError(f"'{name}' cannot be set: {RESERVED[name]}")
        if name in settings_module.FIELDS:
            texts[name] = text
        else:
            parameters[name] = _parameter(name, text, declared)
    changed = settings_module.as_dict(settings_module.override(base, texts))
    return {name: changed[name] for name in texts}, parameters


def check_notebook(path):
    """{name: default} of a notebook's `parameters` cell.

    Raises WorkbookError unless exactly one cell is tagged `parameters`, holds nothing but literal
    assignments, names what the runner passes and no setting, and the kernel is `python3`.
    """
    notebook = _read(path)
    kernel = notebook.metadata.get("kernelspec", {}).get("name")
    if kernel != "python3":
        raise WorkbookError(
            f"{path} names kernel {kernel!r}: choose the kernel 'python3' and save it"
        )
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1 or cells[0].cell_type != "code":
        raise WorkbookError(
            f"{path} has {len(cells)} cells tagged 'parameters': tag exactly one code cell"
        )
    defaults = _literals(cells[0].source, f"{path} has a parameters cell")
    for name in RESERVED:
        if name not in defaults:
            raise WorkbookError(
                f"{path} does not set '{name}' in its parameters cell: add it, the runner passes it"
            )
    for name in defaults:
        if name in settings_module.FIELDS:
            raise WorkbookError(
                f"{path} sets '{name}' in its parameters cell: remove it, it is a "
                "setting of the run"
            )
    return defaults


def _read(path):
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise WorkbookError(f"notebook {path} does not exist: correct the path")
    except Exception as error:  # nbformat and its validators raise many kinds
        why = str(error).partition("\n")[0] or type(error).__name__
        raise WorkbookError(f"notebook {path} is not readable ({why}): restore the file")


def _literals(source, cell):
    """{name: value} of lines such as `name = 1`; cell: words that begin a refusal."""
    remedy = "keep only lines such as `name = 1` there, derived values in the next cell"
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise WorkbookError(f"{cell} that is not Python (line {error.lineno}): {remedy}")
    except (ValueError, RecursionError, MemoryError) as error:  # a NUL, brackets in brackets
        raise WorkbookError(f"{cell} that Python cannot read ({error}): {remedy}")
    defaults = {}
    for statement in statements:
        try:
            (name,) = (target.id for target in statement.targets)
            defaults[name] = ast.literal_eval(statement.value)
        except (AttributeError, TypeError, ValueError):
            raise WorkbookError(
                f"{cell} whose line {statement.lineno} is no literal assignment: {remedy}"
            )
    return defaults


def _parameter(name, text, declared):
    """The value for the notebooks that declare the name; each must accept it."""
    kinds = [type(names[name]) for names in declared if name in names]
    if not kinds:
        known = set(settings_module.FIELDS).union(*declared) - set(RESERVED)
        raise WorkbookError(
            f"unknown setting or parameter '{name}'{settings_module.hint(name, known)}"
        )
    try:
        return [settings_module.cast(kind, text) for kind in kinds][0]
    except ValueError as error:
        raise WorkbookError(f"parameter '{name}' {error}")
    except KeyError as error:
        raise WorkbookError(
            f"parameter '{name}' holds a {error.args[0].__name__}: edit it in the notebook"
        )
