"""Files that are whole or absent."""
import json
import os


def write_json(path, values):
    """Writes values as JSON, as `write_text` does."""
    write_text(path, json.dumps(values, indent=2) + "\n")


def write_text(path, text):
    """Writes under a name that no reader takes, then renames; makes the folder; returns the path."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".part", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".part", path)
    return path
