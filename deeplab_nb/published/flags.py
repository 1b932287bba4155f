"""Command lines in TensorFlow's style: --name=value, --name value, --name, --noname, lists."""

import re

from deeplab_nb import originals
from deeplab_nb.errors import WorkbookError, nearest
from deeplab_nb.settings import FIELDS

LISTS = (
    "atrous_rates eval_scales multi_grid label_weights image_pyramid train_crop_size "
    "eval_crop_size image_pooling_crop_size image_pooling_stride"
).split()
OURS = {
    "cards": "ranks that train together",
    "rank_table": "file that says which card is which rank",
    "set": "NAME=VALUE, a setting of this workbook; may be repeated",
    "dry_run": "say what would be run",
    "case": "acc or perf, the end of CaseName",
    "over_dump_path": "folder for over_dump",
}
_BOOLEANS = {"true": ("true", "t", "yes", "1"), "false": ("false", "f", "no", "0")}


def parse(words, known):
    """({flag: text}, [assignments of --set]); a list's text has commas, else the last one counts.

    known: names of the flags that there are. Raises WorkbookError with the nearest name for another
    one, and where blanks stand round '='.
    """
    given, assignments = {}, []
    for name, values in _occurrences(words, known):
        if name == "set":
            assignments += values
        elif name in LISTS:
            parts = re.sub(r"[\s,]+", ",", ",".join(values).strip("[]() "))
            given[name] = ",".join(filter(None, [given.get(name), parts]))
        elif len(values) > 1:
            raise WorkbookError(
                f"--{name} takes one value and got '{' '.join(values)}': write "
                f"--{name}=VALUE without blanks round '='"
            )
        else:
            given[name] = values[0] if values else "true"
    return {name: text for name, text in given.items() if text.lower() != "none"}, assignments


def _occurrences(words, known):
    """[(flag, its values)] in order; a word that starts no flag is a value of the one before."""
    found = []
    for word in words:
        match = re.fullmatch(r"--?([a-zA-Z]\w*)(?:=(.*))?", word, re.DOTALL)
        if match:
            name, value = match.groups()
            if name not in known and name[:2] == "no" and name[2:] in known and value is None:
                name, value = name[2:], "false"
            if name not in known:
                raise WorkbookError(f"unknown flag --{name}{nearest(name, known)}")
            found.append((name, [] if value is None else [value]))
        elif found:
            found[-1][1].append(word)
        else:
            raise WorkbookError(f"'{word}' is no flag: write --name=value")
    return found


def boolean(name, text):
    """'true' or 'false' as settings read them. Raises WorkbookError for another word."""
    for value, words in _BOOLEANS.items():
        if text.lower() in words:
            return value
    raise WorkbookError(f"--{name}={text} is neither true nor false: give one of them")


def settings_of(given, direct, elsewhere):
    """({setting: text}, notes) of flags.

    direct: {flag: setting}; elsewhere: flags that others read. Raises WorkbookError for what cannot
    be done here.
    """
    settings, notes = {}, []
    for name, text in given.items():
        if name in direct:
            kind = FIELDS[direct[name]].type
            settings[direct[name]] = boolean(name, text) if kind is bool else text
        elif name in originals.ONLY:
            done, why = originals.ONLY[name]
            text = boolean(name, text) if done in ("true", "false") else text.lower()
            if text not in (done.split() or [""]):
                raise WorkbookError(f"--{name}={given[name]} cannot be done here: {why}")
        elif name in originals.NOTES:
            notes.append(f"--{name}: {originals.NOTES[name]}")
        elif name not in elsewhere:
            raise WorkbookError(
                f"--{name} is of another command ({originals.meaning(name)}): leave it out here"
            )
    return settings, notes
