"""Files that are whole or absent."""
import json
import os


def write_json(path, values):
    """Writes values under a name that no reader takes, then renames; makes the folder."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path + ".part", "w") as file:
        json.dump(values, file, indent=2)
        file.write("\n")
    os.replace(path + ".part", path)
