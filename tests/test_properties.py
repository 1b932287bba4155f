"""Whatever stands in a file or on the command line: a value, or one WorkbookError, nothing else.

Inputs are drawn by hypothesis, the same ones each time, from what is right with something changed.
"""

import copy
import dataclasses
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings as drawing, strategies as some

from deeplab_nb import settings
from deeplab_nb.data import outlines as drawn, voc
from deeplab_nb.errors import LeftOut, WorkbookError
from deeplab_nb.evaluation import ledger
from deeplab_nb.launch import rank_table
from deeplab_nb.network import described
from deeplab_nb.runs import parameters, state
from deeplab_nb.training.log import drop_later_lines, read_log
from tests.support.cell import CELL, write
from tests.support.files import digests
from tests.support.tiny_checkpoint import make_tiny_checkpoint

few = drawing(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

scalars = (
    some.none()
    | some.booleans()
    | some.integers(-(2**40), 2**40)
    | some.floats()
    | some.text(max_size=12)
)
values = some.recursive(
    scalars,
    lambda inner: (
        some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def told(read, *arguments):
    """What it gives, or None where it refuses with a sentence; any other exception is a failure."""
    try:
        return read(*arguments)
    except WorkbookError as error:
        assert str(error).strip()
        return None


def places(value, path=()):
    """The path of every item within JSON."""
    yield path
    inside = value.items() if isinstance(value, dict) else ()
    inside = enumerate(value) if isinstance(value, list) else inside
    for key, item in inside:
        yield from places(item, path + (key,))


@some.composite
def spoilt(draw, whole, values=values):
    """JSON that is right but for one item: it is missing or, unless `values` is None, another."""
    path = draw(some.sampled_from([path for path in places(whole) if path]))
    changed = copy.deepcopy(whole)
    holder = changed
    for key in path[:-1]:
        holder = holder[key]
    if values is not None and draw(some.booleans()):
        holder[path[-1]] = draw(values)
    else:
        del holder[path[-1]]
    return changed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(tmp_path_factory.mktemp("drawn"))


def put(path, content):
    """Writes bytes or JSON, returns the path."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


# --- settings

DEFAULTS = settings.as_dict(settings.Settings())
names = some.sampled_from(sorted(DEFAULTS))
as_written = some.sampled_from(["1e-4", "false", "1,2,4", "-1", "none", "0.5,1", " ", "8", "[1]"])


@few
@given(some.dictionaries(names | some.text(max_size=12), values | as_written, max_size=3))
def test_settings_are_read_or_refused(given_values):
    read = told(settings.read, given_values)
    assert read is None or settings.read(settings.as_dict(read)) == read


@few
@given(names, as_written | some.integers(-2, 600) | some.floats(0, 2))
def test_an_override_changes_what_it_names_only(name, value):
    changed = told(settings.override, settings.Settings(), {name: value})
    if changed is not None:
        assert dataclasses.replace(changed, **{name: getattr(settings.Settings(), name)}) == (
            settings.Settings()
        )


@few
@given(names)
def test_a_setting_written_as_text_is_the_same(name):
    value = DEFAULTS[name]
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    assert settings.read({name: text}) == settings.Settings()


@few
@given(spoilt(DEFAULTS) | some.binary(max_size=40))
def test_a_runs_settings_are_loaded_or_refused(folder, content):
    put(os.path.join(folder, "settings.json"), content)
    told(settings.load, folder)


# --- parameters of notebooks


@pytest.fixture(scope="module")
def notebooks(folder):
    cell = CELL + "images = 4\nshow = True\nshare = 0.5\ntitle = 'a'\npick = [1, 2]\nalpha = None\n"
    path = write(os.path.join(folder, "05_evaluation.ipynb"), cell)
    return [parameters.check_notebook(path)]


NUMBERS = ["1e-4", ".5", "0x1F", "1_0", "12:30", "2020-13-40", ".inf", "~", "- 1", "[1, 1e-3", "{a"]
texts = some.text(max_size=12) | some.sampled_from(NUMBERS) | some.from_regex("[][{}:,&*!|>-]{1,6}")


@few
@given(some.lists(some.text(max_size=8).map("a={}".format) | texts, max_size=3))
def test_assignments_are_parsed_or_refused(assignments):
    found = told(parameters.parse_assignments, assignments)
    assert found is None or len(found) == len(assignments)


@few
@given(some.sampled_from(["images", "show", "share", "title", "pick", "alpha"]), texts)
def test_a_parameter_takes_the_type_of_its_default_or_is_refused(notebooks, name, text):
    found = told(parameters.split, {name: text}, notebooks, settings.Settings())
    kinds = {"images": int, "show": bool, "share": float, "title": str, "pick": list}
    assert found is None or name == "alpha" or type(found[1][name]) is kinds[name]


@few
@given(
    some.text(max_size=30)
    | some.sampled_from(["a = b", "a: int = 1", "a, b = 1, 2", "\0", "a = " + "[" * 300])
)
def test_a_parameters_cell_is_read_or_refused(folder, source):
    told(parameters.check_notebook, write(os.path.join(folder, "drawn.ipynb"), CELL + source))


# --- rank tables

ADDRESS = "192.168.100.{}"
SERVERS = {
    "version": "1.0",
    "server_count": "1",
    "status": "completed",
    "server_list": [
        {
            "server_id": "10.0.0.10",
            "device": [
                {"device_id": str(i), "device_ip": ADDRESS.format(i), "rank_id": str(i)}
                for i in range(2)
            ],
        }
    ],
}
PODS = dict(
    copy.deepcopy(SERVERS),
    version="1.2",
    super_pod_list=[{"super_pod_id": "0", "server_list": [{"server_id": "10.0.0.10"}]}],
)
for number, device in enumerate(PODS["server_list"][0]["device"]):
    device["super_device_id"] = str(number)
GROUPS = {
    "status": "completed",
    "group_count": "1",
    "group_list": [
        {
            "device_num": "2",
            "server_num": "1",
            "instance_count": "2",
            "instance_list": [
                {
                    "server_id": "10.0.0.10",
                    "devices": [{"device_id": str(i), "device_ip": ADDRESS.format(i)}],
                }
                for i in range(2)
            ],
        }
    ],
}


@pytest.mark.parametrize("table", [SERVERS, PODS, GROUPS], ids=["servers", "pods", "groups"])
def test_the_tables_that_are_spoilt_are_right(folder, table):
    assert len(rank_table.read(put(os.path.join(folder, "right.json"), table)).cards) == 2


@few
@given(spoilt(SERVERS) | spoilt(PODS) | spoilt(GROUPS) | values | some.binary(max_size=40))
def test_a_rank_table_is_read_or_refused(folder, content):
    table = told(rank_table.read, put(os.path.join(folder, "table.json"), content))
    assert table is None or [card.rank for card in table.cards] == list(range(len(table.cards)))


@few
@given(spoilt(SERVERS) | spoilt(PODS) | spoilt(GROUPS))
def test_a_table_that_is_read_can_be_shown_and_merged(folder, content):
    table = told(rank_table.read, put(os.path.join(folder, "one.json"), content))
    if table is not None:
        merged = os.path.join(folder, "merged.json")
        if os.path.exists(merged):
            os.remove(merged)
        assert len(rank_table.show(table).splitlines()) > len(table.cards)
        told(rank_table.merge, merged, [table])


# --- image lists


@few
@given(some.text(some.characters(blacklist_categories=["Cs"]), max_size=30).map(str.encode))
def test_a_list_is_the_words_of_its_file_or_refused(folder, content):
    put(voc.list_path(folder, "drawn"), content)
    found = told(voc.read_list, folder, "drawn")
    words = content.decode("utf-8-sig").replace("\\", "/").split()  # Windows' folders are folders
    assert found is None or found == [os.path.normpath(word) for word in words]
    assert found is None or not any(word.startswith(("/", "..")) for word in found)


# --- outlines

CORNERS = [[1, 1], [9, 1], [9, 6], [1, 6]]
LABELME = {
    "imageHeight": 8,
    "imageWidth": 12,
    "shapes": [{"label": "leaf", "points": CORNERS, "shape_type": "polygon"}],
}
COCO = {
    "images": [{"id": 7, "file_name": "a.jpg", "height": 8, "width": 12}],
    "categories": [{"id": 4, "name": "leaf"}],
    "annotations": [
        {"image_id": 7, "category_id": 4, "segmentation": [[1, 1, 9, 1, 9, 6, 1, 6]]},
    ],
}


RUNS = dict(
    COCO,
    annotations=[
        {"image_id": 7, "category_id": 4, "segmentation": {"size": [8, 12], "counts": counts}}
        for counts in ([20, 6, 70], "d0`0")
    ],
)


def outlines(folder, annotations):
    """Names of the classes that the outlines show."""
    paths = [annotations]
    if os.path.isdir(annotations):
        paths = [os.path.join(annotations, name) for name in os.listdir(annotations)]
    left_out = LeftOut()
    found, labels = drawn.read(paths, left_out)
    classes = ["background"] + [label for label in labels if label not in drawn.NO_CLASS]
    for each in found:
        drawn.draw(each, classes, left_out, size=(8, 12))
    return classes


@pytest.mark.parametrize("content, name", [(LABELME, "labelme/a.json"), (COCO, "coco.json")])
def test_the_outlines_that_are_spoilt_are_right(folder, content, name):
    path = put(os.path.join(folder, "right", name), content)
    annotations = os.path.dirname(path) if content is LABELME else path
    assert outlines(folder, annotations) == ["background", "leaf"]


@few
@given(spoilt(LABELME) | some.binary(max_size=40))
def test_labelmes_outlines_are_drawn_or_refused(folder, content):
    path = put(os.path.join(folder, "labelme", "a.json"), content)
    told(outlines, folder, os.path.dirname(path))


@few
@given(spoilt(COCO) | spoilt(RUNS) | values | some.binary(max_size=40))
def test_cocos_outlines_are_drawn_or_refused(folder, content):
    told(outlines, folder, put(os.path.join(folder, "coco.json"), content))


# --- files whose bytes are damaged, whatever they hold

PIECES = [
    b"",
    b"\0",
    b"\xff",
    b"\n",
    b'"',
    b"NaN",
    b"1e999",
    b"9" * 400,
    b"[" * 3000,
    b"{}",
    b"../",
]


@some.composite
def damaged(draw, content):
    """The bytes with some of them missing and others in their place."""
    start = draw(some.integers(0, len(content)))
    end = start + draw(some.sampled_from([0, 1, 7, 60, len(content)]))
    return content[:start] + draw(some.sampled_from(PIECES)) + content[end:]


def only_read(folder, read, *arguments):
    """What `told` gives; whatever lies in the folder stays as it is, and a refusal is brief."""
    before = digests(folder)
    found = told(read, *arguments)
    assert digests(folder) == before
    return found


RECORD = {
    "recipe": "sample",
    "settings": "0" * 16,
    "created": "2024-01-01T00:00:00.000",
    "notebooks": {"01_a": {"state": "done"}, "02_b": {"state": "pending"}},
}
RESULTS = {
    "miou": 0.5,
    "images": 4,
    "list": "val",
    "protocol": "deeplab: a word",
    "scales": [1.0],
    "network": "mobilenet_v2",
    "classes": {"background": {"iou": 0.5, "pixels": 9}, "cat": {"iou": None, "pixels": 0}},
    "image_miou": {"a": 0.5},
    "trained": {"data": "train", "steps": 5},
}
STEPS = b"".join(
    b'{"step": %d, "loss": 2.5, "cross_entropy": 2.0, "learning_rate": 0.1}\n' % step
    for step in (1, 2, 3)
)


def as_bytes(value):
    return json.dumps(value, indent=2).encode()


@few
@given(damaged(as_bytes(DEFAULTS)))
def test_damaged_settings_are_loaded_or_refused(folder, content):
    put(os.path.join(folder, "damaged", "settings.json"), content)
    only_read(folder, settings.load, os.path.join(folder, "damaged"))


@few
@given(damaged(STEPS))
def test_a_damaged_log_is_read_whole_or_refused(folder, content):
    path = put(os.path.join(folder, "log", "log.jsonl"), content)
    entries = only_read(folder, read_log, path)
    if entries is not None:
        assert len(entries) >= content.count(b"\n")
        drop_later_lines(path, 10**9)
        assert read_log(path) == entries


@few
@given(damaged(b"a\r\ns1/b\nc\n"))
def test_a_damaged_list_is_read_or_refused(folder, content):
    put(voc.list_path(folder, "damaged"), content)
    ids = only_read(folder, voc.read_list, folder, "damaged")
    assert ids is None or not any(name.startswith(("/", "..")) for name in ids)


@few
@given(damaged(as_bytes(SERVERS)) | damaged(as_bytes(GROUPS)))
def test_a_damaged_rank_table_is_read_or_refused(folder, content):
    only_read(folder, rank_table.read, put(os.path.join(folder, "damaged.json"), content))


@few
@given(damaged(as_bytes(RECORD)) | spoilt(RECORD).map(as_bytes))
def test_a_damaged_run_is_listed_and_read_or_refused(folder, content):
    runs = os.path.join(folder, "runs")
    put(os.path.join(runs, "one", "run.json"), content)
    assert [info.name for info in only_read(folder, state.list_runs, runs)] == ["one"]
    only_read(folder, state.read_run, os.path.join(runs, "one"))


@few
@given(damaged(as_bytes(RESULTS)) | spoilt(RESULTS).map(as_bytes))
def test_damaged_results_are_compared_or_refused(folder, content):
    run = os.path.join(folder, "results", "one")
    path = put(os.path.join(run, "eval", "results.json"), content)
    only_read(folder, state.evaluation_of, run)
    for name, results in only_read(folder, ledger.find, [path]) or ():
        assert name in ledger.table(results, name)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return make_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint"))


@few
@given(some.data())
def test_a_damaged_checkpoint_is_described_or_refused(checkpoint, data):
    with open(checkpoint + ".index", "rb") as file:
        whole = file.read()
    try:
        put(checkpoint + ".index", data.draw(damaged(whole)))
        only_read(os.path.dirname(checkpoint), described.describe, checkpoint)
    finally:
        put(checkpoint + ".index", whole)
