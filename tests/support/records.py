"""Record files as the users of the original code have them."""
import os
import shutil

from deeplab_nb.data.records import write_records


def write_flat_records(root, name, folder, *, shards=4):
    """A list's shards in the folder itself, as the original's users have them."""
    os.makedirs(folder, exist_ok=True)
    for path in write_records(root, name, os.path.join(root, "records"), shards=shards):
        shutil.copy(path, folder)
