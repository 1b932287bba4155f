"""What notebook 04 shows of its rehearsal and of the recipes."""

import os
import shutil

import pytest

from deeplab_nb import recipes
from deeplab_nb.errors import WorkbookError
from deeplab_nb.launch import job, rank_table
from lessons import rehearsal


def test_eight_cards_see_nearly_the_images_of_one_in_a_ninth_of_the_steps():
    lines = rehearsal.batches("deeplabv3plus_1p", "deeplabv3plus_8p").splitlines()
    assert [line.split()[-1] for line in lines] == ["images", "2,100,000", "1,820,000"]
    assert lines[2].split()[1:6] == ["8", "7", "56", "0.0008", "32500"]
    assert len({len(line) for line in lines}) == 1


@pytest.mark.parametrize("cards", [1, 2, 8])
def test_the_damaged_table_is_refused_at_any_size(cards, tmp_path):
    conf = tmp_path / "conf"
    conf.write_text("".join(f"address_{i}=192.168.100.{i}\n" for i in range(8)))
    table = rank_table.make(
        str(tmp_path / "table.json"), cards, server="10.0.0.1", conf=str(conf), tool="none"
    )
    with pytest.raises(WorkbookError, match="rank_id"):
        rank_table.read(rehearsal.first_rank_twice(table.path, str(tmp_path / "twice.json")))
    assert rank_table.read(table.path).content == table.content


def test_lines_with_a_word_are_left_out():
    lines = ["INFO a", "[rank 0] b", "c"]
    assert rehearsal.without(lines, "INFO", "[rank 0]") == ["c"]


def test_a_drawn_table_is_not_held_against_this_machines_cards(tmp_path, monkeypatch):
    tool = tmp_path / "hccn_tool"
    tool.write_text("#!/bin/sh\necho ipaddr:10.9.9.9\n")
    tool.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    conf = tmp_path / "conf"
    conf.write_text("address_0=192.168.100.0\naddress_1=192.168.100.1\n")
    made = {"server": "10.0.0.1", "conf": str(conf), "tool": "none"}
    table = rank_table.make(str(tmp_path / "table.json"), 2, **made)
    recipe, values = recipes.get("deeplabv3plus_8p"), {"cards": 2, "device": "npu"}
    with pytest.raises(WorkbookError, match="10.9.9.9"):
        job.plan(recipe, values, str(tmp_path), rank_table=table.path, conf=str(conf))
    with rehearsal.without_cards():
        assert shutil.which("hccn_tool") is None
        job.plan(recipe, values, str(tmp_path), rank_table=table.path, conf=str(conf))
    assert os.environ["PATH"] == path
