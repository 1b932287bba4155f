"""Every profile of CANN and card: what each recipe asks of it, and which machine has which."""

import itertools
import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from deeplab_nb import ascend_profiles, recipes, settings as settings_module
from deeplab_nb.cli import main
from deeplab_nb.devices import ascend
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import om
from deeplab_nb.tf1 import host_config, tf
from tests.support.ascend_machines import CHIPS, LAYOUTS, npu_smi, put

ON_910 = [name for name in ascend_profiles.NAMES if name.endswith("910")]
BFLOAT16 = {"mixed_precision": True, "mixed_type": "bfloat16"}
NEWER = [name for name in ascend_profiles.NAMES if not name.endswith("910")]
FOUR = [r.name for r in recipes.RECIPES if r.hardware.endswith("Ascend 910")]
# session keys that came with CANN 9 and are not in the newest parser of before that is known
SINCE_9 = {
    "aicore_num",
    "all_tensor_not_empty",
    "auto_multistream_parallel_mode",
    "compile_dynamic_mode",
    "compile_hybrid_mode",
    "export_compile_stat",
    "graph_max_parallel_model_num",
    "input_batch_cpy",
    "input_fusion_size",
    "oo_constant_folding",
    "oo_level",
    "optimization_switch",
    "quant_dumpable",
    "shape_generalization_mode",
    "variable_use_1g_huge_page",
}
WORDS = {  # that the adapter of CANN 9 takes; it ends the session with any other
    "precision_mode": {
        "force_fp32",
        "allow_fp32_to_fp16",
        "force_fp16",
        "must_keep_origin_dtype",
        "allow_mix_precision",
        "cube_fp16in_fp32out",
        "allow_mix_precision_fp16",
        "allow_mix_precision_bf16",
        "allow_fp32_to_bf16",
    },
    "precision_mode_v2": {
        "fp16",
        "origin",
        "cube_fp16in_fp32out",
        "mixed_float16",
        "mixed_bfloat16",
    },
}


def fields(repo, cann):
    """{session key: value field} that the adapter of this CANN parses."""
    name = "ascend_keys.json" if cann == 5 else "ascend_keys_newest.json"
    with open(os.path.join(repo, "tests", "figures", name)) as file:
        keys = json.load(file)
    return {key: field for key, field in keys.items() if cann != 8 or key not in SINCE_9}


def options(config):
    """{key: (field, value)} of the session's one custom optimizer."""
    (npu,) = config.graph_options.rewrite_options.custom_optimizers
    found = {key: value.WhichOneof("value") for key, value in npu.parameter_map.items()}
    return {key: (field, getattr(npu.parameter_map[key], field)) for key, field in found.items()}


def given(profile, **values):
    """{key: value} of a session."""
    settings = settings_module.read(dict(values, ascend_profile=profile, device="npu"))
    return {
        key: value.decode() if isinstance(value, bytes) else value
        for key, (_, value) in options(ascend.session_config(settings)).items()
    }


# --- session options


@pytest.mark.parametrize("cann, count", [(5, 54), (8, 90), (9, 105)])
def test_the_key_lists_are_whole(repo, cann, count):
    assert len(fields(repo, cann)) == count  # CANN 8's es_cluster_config, which went later, apart


def every_combination(profile, folder):
    """Settings of every use of the options that the profile has."""
    mixlist = str(folder / "list.json")
    types = [{}, dict(mixed_precision=True), dict(mixed_precision=True, mixlist=mixlist)]
    if profile.hardware != "910":
        types.append(dict(mixed_precision=True, mixed_type="bfloat16", mixlist=mixlist))
    rest = [{}, dict(dump_folder=str(folder)), dict(profiling_folder=str(folder)), dict(cards=8)]
    rest += [dict(deterministic=True)] if profile.cann > 5 else []
    return [dict(a, **b) for a, b in itertools.product(types, rest)]


@pytest.mark.parametrize("profile", ascend_profiles.PROFILES, ids=str)
def test_every_option_is_known_to_the_profiles_adapter(repo, tmp_path, profile):
    (tmp_path / "list.json").write_text("{}")
    known, seen = fields(repo, profile.cann), set()
    for values in every_combination(profile, tmp_path):
        settings = settings_module.read(dict(values, ascend_profile=profile.name, device="npu"))
        found = options(ascend.session_config(settings))
        assert [known.get(key) for key in found] == [kind for kind, _ in found.values()]
        (mode,) = {"precision_mode", "precision_mode_v2"} & set(found)  # never both
        word = found[mode][1].decode()
        assert word in WORDS[mode] and (profile.hardware != "910" or "bf" not in word)
        assert "modify_mixlist" not in found or "mix" in word
        assert found.get("dump_debug_mode", ("s", b"all"))[1] == b"all"
        seen |= set(found)
    keys = 10 if profile.cann == 5 else 12
    assert len(seen) == keys + (profile.name in ("cann8-910", "cann9-910"))  # have both modes


@pytest.mark.parametrize(
    "values, profiles, key, word",
    [
        ({}, ON_910, "precision_mode", "allow_fp32_to_fp16"),
        ({}, NEWER, "precision_mode_v2", "origin"),
        ({"mixed_precision": True}, ["cann5-910"], "precision_mode", "allow_mix_precision"),
        (
            {"mixed_precision": True},
            ["cann8-910", "cann9-910"] + NEWER,
            "precision_mode_v2",
            "mixed_float16",
        ),
        (BFLOAT16, NEWER, "precision_mode_v2", "mixed_bfloat16"),
        ({"deterministic": True}, ["cann8-910", "cann9-910"] + NEWER, "deterministic", 1),
        ({"deterministic": False}, ascend_profiles.NAMES, "deterministic", None),
        ({"cards": 8}, ["cann8-910", "cann9-910"] + NEWER, "hcom_parallel", True),
        ({"cards": 8}, ["cann5-910"], "hcom_parallel", None),
        ({"cards": 1}, ascend_profiles.NAMES, "hcom_parallel", None),
    ],
)
def test_what_each_profile_is_told(values, profiles, key, word):
    found = {name: given(name, **values).get(key) for name in profiles}
    assert found == dict.fromkeys(profiles, word)


@pytest.mark.parametrize(
    "profiles, values, sentence",
    [
        (ON_910, BFLOAT16, "mixed_type bfloat16 is for an Ascend A2 or A3"),
        (["cann5-910"], {"deterministic": True}, "deterministic=true is for CANN 8 and later"),
    ],
)
def test_what_a_profile_lacks_is_refused(profiles, values, sentence):
    for name in profiles:
        words = f"{sentence}, and the profile is {name}: leave it out"
        with pytest.raises(WorkbookError, match=words):
            given(name, **values)


@pytest.mark.parametrize(
    "values", [{}, {"device": "npu"}, {"mixed_precision": True, "device": "cpu"}]
)
def test_bfloat16_is_for_mixed_precision_on_a_card(values):
    with pytest.raises(WorkbookError, match="set mixed_precision=true and device=npu"):
        settings_module.read(dict(values, mixed_type="bfloat16"))


def test_host_work_stays_on_the_host(monkeypatch):
    assert host_config() == tf.ConfigProto() or "npu_bridge" in sys.modules
    monkeypatch.setitem(sys.modules, "npu_bridge", None)
    made = host_config()
    assert options(made) == {"use_off_line": ("b", False)}
    with tf.Graph().as_default(), tf.Session(config=made) as session:
        assert session.run(tf.constant(2) * 3) == 6


# --- the dry run


def dry_run(recipe, *arguments):
    done = CliRunner().invoke(main, ["train", recipe, "--device", "npu", "--dry-run", *arguments])
    return done.exit_code, [line.strip() for line in done.output.splitlines()]


@pytest.mark.parametrize("profile", ascend_profiles.PROFILES, ids=str)
@pytest.mark.parametrize("recipe", FOUR)
def test_the_four_recipes_can_be_shown_for_every_profile(recipe, profile):
    code, lines = dry_run(recipe, "--ascend-profile", profile.name)
    ranks, mixed = 8 if recipe.endswith("8p") else 1, recipe.startswith("deeplabv3plus")
    key, word = profile.precision["float16" if mixed else ""]
    assert code == 0 and lines[0].startswith(f"profile {profile.name}: ")
    assert "not run on hardware" in lines[0]
    assert f"{key} = {word} (s)" in lines and sum("precision_mode" in line for line in lines) == 1
    assert f"RANK_SIZE={ranks}" in lines and lines[1].startswith("source /usr/local/Ascend/")
    assert ("hcom_parallel = True (b)" in lines) == (ranks == 8 and profile.cann > 5)
    assert any("HF32" in line for line in lines) == (profile.hardware != "910" and not mixed)
    overflow = lines[lines.index("a float16 that is too large") + 1]
    assert ("clamped (saturation)" if profile.hardware == "910" else "inf/nan mode") in overflow
    assert ("NPULossScaleOptimizer" in overflow) == (recipe == "deeplabv3plus_8p")
    (table,) = [line for line in lines if line.startswith("rank table of")] or [""]
    assert ("1.2" in table, "CM_*" in table) == (
        ranks > 1 and profile.hardware == "a3",
        ranks > 1 and profile.cann > 5 and profile.hardware != "a3",
    )


def test_there_are_four_recipes_of_a_card():
    assert len(FOUR) == 4


@pytest.mark.parametrize(
    "command",
    [
        ["train", "sample", "--device", "npu", "--dry-run"],
        ["launch", "sample", "--dry-run"],
        ["doctor"],
        ["export", "--checkpoint", "x", "--out", "y"],
    ],
)
def test_an_unknown_profile_is_one_sentence_everywhere(command):
    done = CliRunner().invoke(main, command + ["--ascend-profile", "cann8-b2"])
    assert done.exit_code == 1 and "did you mean 'cann8-a2'" in done.output
    assert done.output.strip().count("\n") == 0


def test_a_launch_hands_the_profile_to_its_ranks():
    command = ["launch", "sample", "--dry-run", "--ascend-profile", "cann9-a3"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0 and "--set ascend_profile=cann9-a3" in done.output


# --- atc's chips


@pytest.mark.parametrize("chip, kind", CHIPS)
def test_a_chips_name_tells_its_kind(chip, kind):
    assert ascend_profiles.hardware_of(chip) == ascend_profiles.hardware_of("Ascend" + chip) == kind
    command = om.atc_command("a.pb", "b", soc_version="Ascend" + chip)
    assert f"--soc_version=Ascend{chip} " in command


@pytest.mark.parametrize(
    "chip",
    [
        "310",
        "910B3",
        "Ascend910b3",
        "Ascend910C",
        "Ascend910_B3",
        "Ascend910_9",
        "Ascend 310",
        "Ascend",
        "Ascend310;rm",
    ],
)
def test_what_cannot_be_a_chip_is_refused(chip):
    with pytest.raises(WorkbookError, match=f"soc_version '{chip}' is no chip of this kind"):
        om.atc_command("a.pb", "b", soc_version=chip)


@pytest.mark.parametrize(
    "given, profile, expected",
    [
        (None, None, "Ascend310"),
        ("Ascend710", None, "Ascend710"),
        (None, "cann5-910", "Ascend910A"),
        (None, "cann8-910", "Ascend910A"),
        (None, "cann8-a2", "Ascend910B3"),
        (None, "cann9-a3", "Ascend910_9391"),
        ("Ascend310P3", "cann5-910", "Ascend310P3"),
        ("Ascend910B1", "cann9-a2", "Ascend910B1"),
    ],
)
def test_the_chip_follows_from_the_profile(given, profile, expected):
    assert om.chip(given, profile) == expected


@pytest.mark.parametrize("chip", ["Ascend910B3", "Ascend910_9391"])
def test_cann_5_compiles_for_no_newer_card(chip):
    with pytest.raises(WorkbookError, match=f"{chip} is newer than CANN 5, .* cann5-910 names"):
        om.chip(chip, "cann5-910")


# --- which profile a machine has


def look(folder, **places):
    gone = str(folder / "gone")
    defaults = dict(variables={}, root=str(folder), installed=gone, tool=gone)
    return ascend_profiles.found(**dict(defaults, **places))


def test_looking_needs_no_tensorflow():
    code = "import sys; from deeplab_nb import ascend_profiles; ascend_profiles.chosen(); "
    subprocess.check_call([sys.executable, "-c", code + "sys.exit('tensorflow' in sys.modules)"])


def test_a_machine_without_ascend_has_none(tmp_path):
    assert look(tmp_path) is None
    put(tmp_path / "driver" / "version.info", "Version=9.0.1\n")  # a driver is no CANN
    assert look(tmp_path) is None and ascend_profiles.chosen("cann9-a2").hardware == "a2"


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_cann_is_found_where_its_packages_lie(tmp_path, layout):
    LAYOUTS[layout](tmp_path)
    assert look(tmp_path).name == layout.split()[0]


@pytest.mark.parametrize("name", ["ASCEND_TOOLKIT_HOME", "ASCEND_OPP_PATH", "HOME"])
def test_cann_is_found_where_the_environment_says(tmp_path, name):
    LAYOUTS["cann9-910 cann"](tmp_path / "Ascend")
    LAYOUTS["cann5-910 by hand"](tmp_path / "root")
    home = "Ascend/cann"
    path = {"ASCEND_TOOLKIT_HOME": home, "ASCEND_OPP_PATH": home + "/opp/", "HOME": ""}[name]
    variables, root = {name: str(tmp_path / path)}, "gone" if name == "HOME" else "root"
    assert look(tmp_path, root=str(tmp_path / root), variables=variables).name == "cann9-910"


def test_cann_is_found_where_its_installer_noted_it(tmp_path):
    LAYOUTS["cann8-910 toolkit"](tmp_path / "opt")
    put(tmp_path / "note", f"Toolkit_Install_Path_Param={tmp_path}/opt\n")
    assert look(tmp_path, installed=str(tmp_path / "note")).name == "cann8-910"


@pytest.mark.parametrize(
    "version, name",
    [
        ("5.1.RC2", "cann5-910"),
        ("6.0.1", "cann5-910"),
        ("7.0.0", "cann8-910"),
        ("8.0.RC3", "cann8-910"),
        ("8.5.0", "cann8-910"),
        ("9.0.0", "cann9-910"),
    ],
)
def test_a_version_goes_by_the_profile_whose_keys_it_has(tmp_path, version, name):
    home = tmp_path / "ascend-toolkit" / "latest"
    put(
        home / "x86_64-linux" / "ascend_toolkit_install.info",
        f"package_name=Ascend-cann-toolkit\nversion={version}\n",
    )
    put(home / "compiler" / "version.info", "Version=7.6.0.1.220\n")
    assert look(tmp_path).name == name


@pytest.mark.parametrize(
    "content",
    ["", "version=\n", "version=x.y\n", "Version=1.79.22.5.220\n", "version=99.1\n", "\x00\xff"],
)
def test_odd_files_are_passed_over(tmp_path, content):
    put(tmp_path / "ascend-toolkit" / "latest" / "version.info", content)
    (tmp_path / "cann" / "version.info").mkdir(parents=True)
    assert look(tmp_path) is None
    variables = {"ASCEND_TOOLKIT_HOME": "", "ASCEND_OPP_PATH": "/", "HOME": ""}
    assert look(tmp_path, variables=variables) is None


@pytest.mark.parametrize("chip, kind", [*CHIPS, ("Ascend910", "910"), ("Ascend910B3", "a2")])
def test_npu_smi_tells_the_card(tmp_path, chip, kind):
    assert ascend_profiles.hardware(npu_smi(tmp_path, chip)) == kind


def test_an_a3_is_told_by_its_board(tmp_path):
    assert ascend_profiles.hardware(npu_smi(tmp_path, "Ascend910", board="9391")) == "a3"


@pytest.mark.parametrize(
    "text", ["exit 1", "echo '| 0     310P3 | OK |'", "echo 910B3", "printf '\\377'"]
)
def test_what_npu_smi_does_not_say_is_no_card(tmp_path, text):
    put(tmp_path / "npu-smi", f"#!/bin/sh\n{text}\n", 0o755)
    assert ascend_profiles.hardware(str(tmp_path / "npu-smi")) is None


@pytest.mark.parametrize(
    "layout, chip, name",
    [
        ("cann8-910 toolkit", "910B3", "cann8-a2"),
        ("cann9-910 cann", "910_9391", "cann9-a3"),
        ("cann5-910 nnae", "910A", "cann5-910"),
        ("cann5-910 nnae", "910B3", "cann8-a2"),
        (None, "910B", "cann5-910"),
        (None, "910B2", "cann8-a2"),
        ("cann9-910 cann", "310P3", "cann9-910"),
    ],
)
def test_the_profile_is_that_of_cann_and_card(tmp_path, layout, chip, name):
    if layout:
        LAYOUTS[layout](tmp_path)
    assert look(tmp_path, tool=npu_smi(tmp_path, chip)).name == name
