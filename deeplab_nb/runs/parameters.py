"""Parameters of the notebooks: the one place that casts and checks them.

papermill 2.4 injects a misspelt name without a word and YAML reads 1e-4 as a text,
so every name and type is compared with the `parameters` cells before anything starts.
"""
import ast
import math

import nbformat
import yaml

from deeplab_nb import settings as settings_module
from deeplab_nb.errors import WorkbookError

RESERVED = {  # the runner passes these to every notebook
    "recipe": "give the recipe as the first word of the command",
    "run_folder": "name the run with --name",
    "overrides": "give each setting by its own name",
}


def parse_assignments(assignments):
    """{name: text} of ["name=value", ...]. Raises WorkbookError without '=' or for a name given twice."""
    texts = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        name = name.strip()
        if not equals or not name:
            raise WorkbookError("'{}' sets nothing: write name=value without blanks around '='".format(assignment))
        if name in texts:
            raise WorkbookError("'{}' is given twice ({} and {}): keep one".format(name, texts[name], text))
        texts[name] = text.strip()
    return texts


def split(assignments, notebooks, base):
    """(overrides of settings, parameters of notebooks), both cast.

    `assignments` is {name: text}, `notebooks` are paths, `base` is the recipe's Settings,
    for a setting is checked together with the others.
    Raises WorkbookError for an unknown or reserved name and for a value of the wrong type.
    """
    declared = [check_notebook(path) for path in notebooks]
    texts, parameters = {}, {}
    for name, text in assignments.items():
        _refuse_reserved(name)
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
        raise WorkbookError("{} names kernel {!r}: choose the kernel 'python3' and save it".format(path, kernel))
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1 or cells[0].cell_type != "code":
        raise WorkbookError("{} has {} cells tagged 'parameters': tag exactly one code cell".format(path, len(cells)))
    defaults = _literals(cells[0].source, path)
    for name in RESERVED:
        if name not in defaults:
            raise WorkbookError("{} does not set '{}' in its parameters cell: add it, the runner passes it".format(path, name))
    for name in defaults:
        if name in settings_module.FIELDS:
            raise WorkbookError("{} sets '{}' in its parameters cell: remove it, it is a setting of the run".format(path, name))
    return defaults


def _read(path):
    try:
        return nbformat.read(path, as_version=4)
    except FileNotFoundError:
        raise WorkbookError("notebook {} does not exist: correct the path".format(path))
    except Exception as error:  # nbformat and its validators raise many kinds
        raise WorkbookError("notebook {} is not readable ({}): restore the file".format(
            path, str(error).splitlines()[0] if str(error) else type(error).__name__))


def _literals(source, path):
    remedy = "keep only lines such as `name = 1` there, derived values in the next cell"
    try:
        statements = ast.parse(source).body
    except SyntaxError as error:
        raise WorkbookError("{} has a parameters cell that is not Python (line {}): {}".format(path, error.lineno, remedy))
    defaults = {}
    for statement in statements:
        try:
            name, = (target.id for target in statement.targets)
            defaults[name] = ast.literal_eval(statement.value)
        except (AttributeError, TypeError, ValueError):
            raise WorkbookError("{} has a parameters cell whose line {} is no literal assignment: {}".format(
                path, statement.lineno, remedy))
    return defaults


def _refuse_reserved(name):
    if name in RESERVED:
        raise WorkbookError("'{}' cannot be set: {}".format(name, RESERVED[name]))


def _parameter(name, text, declared):
    """The value for the notebooks that declare the name; each must accept it."""
    defaults = [names[name] for names in declared if name in names]
    if not defaults:
        known = set(settings_module.FIELDS).union(*declared) - set(RESERVED)
        hint = settings_module.hint(name, known)
        raise WorkbookError(f"unknown setting or parameter '{name}'{hint}")
    return [_cast(name, text, default) for default in defaults][0]


def _cast(name, text, default):
    """`text` as the type of the default; a default of None takes whatever YAML reads."""
    cast, words = _CASTS.get(type(default), (None, None))
    if cast is None:
        raise WorkbookError("parameter '{}' holds a {}: edit it in the notebook".format(name, type(default).__name__))
    try:
        return cast(text)
    except (ValueError, KeyError, yaml.YAMLError):
        raise WorkbookError("parameter '{}' needs {}, got '{}'".format(name, words, text))


def _to_float(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _to_list(text):
    value = _from_yaml(text)
    if not isinstance(value, list):
        raise ValueError(text)
    return value


def _from_yaml(text):
    return _numbers(yaml.safe_load(text))


def _numbers(value):
    """YAML 1.1 takes 1e-4 for a text; here it is a number, in lists too."""
    if isinstance(value, list):
        return [_numbers(item) for item in value]
    try:
        return _to_float(value) if isinstance(value, str) else value
    except ValueError:
        return value


_CASTS = {
    bool: (lambda text: {"true": True, "false": False}[text.lower()], "true or false"),
    int: (int, "a whole number"),
    float: (_to_float, "a number"),
    str: (str, "a text"),
    list: (_to_list, "a list such as [1, 2]"),
    type(None): (_from_yaml, "a value that YAML can read"),
}
