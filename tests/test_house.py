"""Arrows between the module's files point one way: no circle of files, none of folders."""

import ast
import collections
import os

import pytest


def imports(path):
    """[(module's name, whether it stands within a function)] of a file's imports of the module."""
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    found, top = [], set(map(id, tree.body))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] + [f"{node.module}.{alias.name}" for alias in node.names]
        found += [(name, id(node) not in top) for name in names if name.startswith("deeplab_nb")]
    return found


@pytest.fixture(scope="module")
def arrows(repo):
    """{module: {module that it imports: whether within a function}}."""
    paths = {}
    for folder, _, names in os.walk(os.path.join(repo, "deeplab_nb")):
        for path in (os.path.join(folder, name) for name in names if name.endswith(".py")):
            name = os.path.relpath(path, repo)[:-3].replace(os.sep, ".")
            paths[name[: -len(".__init__")] if name.endswith(".__init__") else name] = path
    found = {name: dict(imports(path)) for name, path in paths.items()}
    return {
        name: {to: late for to, late in tos.items() if to in paths and to != name}
        for name, tos in found.items()
    }


def circle(graph):
    """The names along a circle of {name: names}, [] without one."""
    done = set()

    def visit(name, way):
        if name in way:
            return way[way.index(name) :] + [name]
        found = []
        if name not in done:
            found = next(filter(None, (visit(to, way + [name]) for to in graph.get(name, ()))), [])
            done.add(name)
        return found

    return next(filter(None, (visit(name, []) for name in graph)), [])


def folder_of(name):
    """The module's folder that a file stands in; '' for those at its top."""
    parts = name.split(".")
    return parts[1] if len(parts) > 2 else ""


def test_a_circle_is_found():
    assert circle({"a": ["b"], "b": ["c"], "c": ["b"]}) == ["b", "c", "b"]
    assert circle({"a": ["b", "c"], "b": ["c"]}) == []


def test_no_files_import_each_other(arrows):
    assert len(arrows) > 50 and circle(arrows) == []


def test_no_folders_import_each_other(arrows):
    folders = collections.defaultdict(set)
    for name, tos in arrows.items():
        for to in tos:
            if folder_of(name) and folder_of(to) and folder_of(name) != folder_of(to):
                folders[folder_of(name)].add(folder_of(to))
    assert len(folders) > 5 and circle(folders) == []


def test_only_commands_and_what_asks_for_tensorflow_import_late(arrows):
    """So that help and refusals come at once; TensorFlow takes seconds."""
    late = {name for name, tos in arrows.items() if any(tos.values())}
    assert {name for name in late if folder_of(name) != "cli"} <= {
        "deeplab_nb.doctor",
        "deeplab_nb.launch.job",
    }


def test_what_the_quick_tests_leave_out_is_there(repo):
    with open(os.path.join(repo, "tests", "slow.txt"), encoding="utf-8") as file:
        lines = [line for line in file.read().splitlines() if line and not line.startswith("#")]
    for path, _, name in (line.partition("::") for line in lines):
        with open(os.path.join(repo, "tests", path), encoding="utf-8") as file:
            assert f"def {name}" in file.read(), name
