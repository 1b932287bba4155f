"""JSON and logs that others wrote, spoilt: a sentence with file and line, and nothing lost."""

import json
import os

import numpy as np
import pytest

from deeplab_nb import files, settings
from deeplab_nb.data import own
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import ledger, metrics
from deeplab_nb.runs import report, state
from deeplab_nb.show import plots
from deeplab_nb.training.log import best_before, drop_later_lines, read_log

SPOILT = [
    (b"[" * 100000, "maximum recursion depth of 100 exceeded: line 1"),
    (b'{"seed":\n' * 200 + b"1" + b"}" * 200, "maximum recursion depth of 100 exceeded: line 101"),
    (b'{"seed": 1,\n "learning_rate": 1e999}', "1e999 is no number: line 2"),
    (b'{"learning_rate":\n\n ' + b"9" * 400 + b"}", "99999999999999999999 is no number: line 3"),
    (b'{"a": "]]NaN",\n "learning_rate": NaN}', "NaN is no number: line 2"),
    (b'{"learning_rate": -Infinity}', "-Infinity is no number: line 1"),
    (b'{"seed": 1\n "crop": 2}', "Expecting ',' delimiter: line 2"),
    (b'{"seed":\n "\xff"}', "not UTF-8 text: line 2"),
    (b"", "Expecting value: line 1"),
    (b'{"seed": "1', "Unterminated string starting at: line 1"),
]


@pytest.mark.parametrize("content, reason", SPOILT)
def test_json_that_is_none_is_told_with_reason_and_line(tmp_path, content, reason):
    (tmp_path / "some.json").write_bytes(content)
    with pytest.raises(ValueError) as refusal:
        files.read_json(str(tmp_path / "some.json"))
    assert str(refusal.value) == reason


def test_json_is_read_as_it_is(tmp_path):
    value = {"a": ["]" * 300, '\\"[', -1.5e-3, 0, True, None, {"b": "NaN"}], "ü": "[" * 300}
    for content in (json.dumps(value).encode(), b"\xef\xbb\xbf" + json.dumps(value).encode()):
        (tmp_path / "some.json").write_bytes(content)
        assert files.read_json(str(tmp_path / "some.json")) == value
    nested = "[" * 100 + "]" * 100
    assert json.dumps(files.parse_json(nested)) == nested


READERS = [
    ("settings.json", lambda run: settings.load(run)),
    ("run.json", lambda run: state.read_run(run)),
    ("eval/results.json", lambda run: state.evaluation_of(run)),
    ("eval/results.json", lambda run: ledger.find([run])),
    ("colours.json", lambda run: own.read_colours(os.path.join(run, "colours.json"))),
]


@pytest.mark.parametrize("name, read", READERS)
@pytest.mark.parametrize("content", [content for content, _ in SPOILT] + [b"3", b"[]x", b'"a"'])
def test_a_runs_spoilt_file_is_named_and_kept(tmp_path, name, read, content):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    if path.name == "results.json" and (b"NaN" in content or b"Infinity" in content):
        return  # our own may hold one, of an image whose mask shows no class
    with pytest.raises(WorkbookError) as refusal:
        read(str(tmp_path))
    said = str(refusal.value)
    assert path.name in said and "delete" not in said and "\n" not in said and len(said) < 400
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "results",
    [
        {"miou": "high"},
        {"miou": 50},
        {"image_miou": {"a": 10**400}},
        {"classes": {"cat": {"iou": "x", "pixels": 3}}},
        {"classes": [1]},
        {"classes": {"cat": {}}},
        {"image_miou": {"a": []}},
    ],
)
def test_results_with_other_values_are_named(tmp_path, results):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "results.json").write_text(json.dumps(results))
    with pytest.raises(WorkbookError, match="results.json (holds no results|is not readable)"):
        state.evaluation_of(str(tmp_path))


@pytest.mark.parametrize(
    "noted", [{"duration": "long"}, {"duration": 3, "parameters": [1]}, [], 3, None]
)
def test_an_executed_notebook_with_other_notes_has_not_been_executed(tmp_path, noted):
    (tmp_path / "03_x.ipynb").write_text(json.dumps({"metadata": {"papermill": noted}}))
    assert state.parameters_of(str(tmp_path), "03_x") is None


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"learning_rate": 10**400}, "'learning_rate' needs a number, got 1000000000"),
        ({"learning_rate": "1e999"}, "'learning_rate' needs a number, got '1e999'"),
        ({"seed": 10**400}, "'seed' needs a whole number, got 1000000000"),
        ({"seed": "9" * 5000}, "'seed' needs a whole number, got '999999"),
        ({"seed": 1e300}, "'seed' needs a whole number, got 1e+300"),
        ({"eval_scales": [10**400]}, "'eval_scales' needs positive numbers"),
        ({"learning_rate": [[[[[[[[[]]]]]]]]]}, "'learning_rate' needs a number, got [[["),
    ],
)
def test_numbers_that_no_setting_holds_are_refused_briefly(values, sentence):
    with pytest.raises(WorkbookError) as refusal:
        settings.read(values)
    assert sentence in str(refusal.value) and len(str(refusal.value)) < 200


@pytest.mark.parametrize(
    "text", ["[" * 5000, "[.inf]", "1.0e+999", ".nan", "2020-01-01", "&a [*a]", "!!binary aGk="]
)
def test_a_parameter_that_no_command_could_hand_on_is_refused(text):
    with pytest.raises(ValueError, match="needs a value that YAML can read"):
        settings.cast(type(None), text)


# --- logs

STEP = '{"step": 1, "loss": 2.5, "cross_entropy": 2.0, "learning_rate": 0.1, "gradient_norm": %s}\n'
LINES = [
    "5",
    "broken text",
    "[]",
    "null",
    "{}",
    '{"step": "2"}',
    '{"step": NaN}',
    '{"step": 1' + "0" * 400 + "}",
    '{"step": 2, "loss": NaN, "cross_entropy": 1, "learning_rate": 1}',
    '{"step": 2, "loss": 1e999, "cross_entropy": 1, "learning_rate": 1}',
    '{"step": 2, "loss": "1"}',
    '{"step": 2, "seconds_a_step": null}',
    '{"step": 2, "validation_miou": "good"}',
    '{"step": 2, "x": ' + "[" * 5000,
    "\\xff",
]


@pytest.mark.parametrize("line", LINES)
def test_a_line_of_a_log_that_is_no_entry_is_named_and_no_line_is_lost(tmp_path, line):
    path, text = tmp_path / "log.jsonl", STEP % 1 + line + "\n" + STEP % 2
    path.write_bytes(text.encode().replace(b"\\xff", b"\xff"))
    before = path.read_bytes()
    for read in (read_log, lambda name: drop_later_lines(name, 9)):
        with pytest.raises(WorkbookError, match=r"line 2 of .*log.jsonl is no entry of a step"):
            read(str(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize("cut", ['{"step": 2, "lo', "\0\0\0", "5", '{"step": 2, "x": "\\', "{}"])
def test_a_log_whose_last_line_was_cut_goes_on(tmp_path, cut):
    path = tmp_path / "log.jsonl"
    path.write_text(STEP % 1 + cut)
    assert [entry["gradient_norm"] for entry in read_log(str(path))] == [1]
    drop_later_lines(str(path), 1)
    assert path.read_text() == STEP % 1


def test_a_log_without_some_numbers_is_drawn():
    axes, rate = plots.loss_curve([{"step": 1, "loss": 2.5}, {"step": 2, "loss": 2.0}]).axes
    assert list(axes.lines[0].get_ydata()) == [2.5, 2.0] and len(rate.lines[0].get_ydata()) == 0


def test_what_a_training_may_write_is_read(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [STEP % "Infinity", STEP % "NaN"]
    lines += ['{"step": 2, "validation_miou": NaN}\n', '{"step": 2, "validation_miou": 0.5}\n']
    path.write_text("".join(lines) + '{"step": 2, "variables_sha256": "a"}')
    assert len(read_log(str(path))) == 5
    assert best_before(str(tmp_path), 2) == 0.5 and best_before(str(tmp_path), 1) is None


def test_counts_that_are_none_are_named_and_kept(tmp_path):
    path = tmp_path / "counts.npz"
    for content in (b"", b"PK\x03\x04" + b"\0" * 60, b"\x93NUMPY\x01\0v\0{", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(WorkbookError, match="counts .* are not readable .*move the file away"):
            metrics.load_counts(str(path))
        assert path.read_bytes() == content


def test_counts_of_other_conditions_than_an_evaluations_are_named(tmp_path):
    path = str(tmp_path / "counts.npz")
    for matrix, conditions in (
        (np.eye(3, dtype=int), []),
        (np.eye(3, dtype=int), {"protocol": 1, "list": "val"}),
        (np.eye(3, dtype=int)[0], {"protocol": "tight", "list": "val"}),
    ):
        metrics.save_counts(path, metrics.Counts({"a": matrix}, {}, conditions, 0.0))
        with pytest.raises(WorkbookError, match="counts .* are not readable"):
            metrics.load_counts(path)


def test_a_report_of_results_that_lack_something_is_refused(tmp_path):
    record = {"recipe": "sample", "settings": "", "created": "2024-01-01T00:00", "notebooks": {}}
    files.write_json(str(tmp_path / "run.json"), record)
    settings.save(settings.read({"data_root": "nowhere"}), str(tmp_path))
    files.write_json(state.evaluation_path(str(tmp_path)), {"miou": 0.5})
    with pytest.raises(WorkbookError, match="results.json lacks what a report shows"):
        report.write(str(tmp_path))


def test_an_image_without_classes_has_no_number_and_its_results_are_read(tmp_path):
    results = {"miou": 0.5, "image_miou": {"a": float("nan")}, "classes": {}}
    files.write_json(state.evaluation_path(str(tmp_path)), results)
    assert state.evaluation_of(str(tmp_path))["miou"] == 0.5
