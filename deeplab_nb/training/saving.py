"""The checkpoints that a training writes, and which of them it keeps."""

import glob
import os
import time

from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.checkpoints import whole_checkpoints
from deeplab_nb.tf1 import tf
from deeplab_nb.training.log import writing_into


def refuse_foreign(folder):
    """Raises WorkbookError for a folder that another program trained in: it would lose some."""
    if whole_checkpoints(folder) or os.path.exists(os.path.join(folder, "log.jsonl")):
        raise WorkbookError(
            f"{folder} holds checkpoints or a log of another program, for there is no "
            "settings.json: give another folder"
        )


class Checkpoints:
    """The checkpoints of a session in a folder; `settings.keep_checkpoints` of them stay.

    name: of the folder, for TensorFlow, see `checkpoints.literal`. newest: prefix of the one that
    training goes on from. Rank 0 writes them, for all ranks.
    """

    def __init__(self, session, folder, name, settings, rank, newest):
        self._session, self._folder, self._settings = session, folder, settings
        self._base = os.path.join(name, "model.ckpt")
        self._rank, self._clock, self._newest = rank, time.time(), newest
        if rank == 0:
            kept = settings.keep_checkpoints
            self._saver = tf.train.Saver(max_to_keep=kept, save_relative_paths=True)
            earlier = [p for p in whole_checkpoints(name) if p.startswith(self._base + "-")]
            self._saver.recover_last_checkpoints(earlier)
            # what a kill left of one that was being written
            for path in glob.glob(glob.escape(self._base) + "-*.tempstate*"):
                os.remove(path)

    def due(self, step):
        """Whether to write one, by the number of steps or the minutes since the last one."""
        minutes = self._settings.save_minutes
        late = bool(minutes) and time.time() - self._clock > 60 * minutes
        return late or step % self._settings.save_every == 0

    def save(self, step):
        """Writes a checkpoint unless this step has one; returns its prefix.

        Raises WorkbookError for a full disk; the checkpoints before it stay. So it does for a
        folder that is gone: TensorFlow makes it again, with nothing but this checkpoint in it.
        """
        gone = not os.path.isdir(self._folder)
        prefix = os.path.join(self._folder, f"model.ckpt-{step}")
        if self._rank > 0 or self._newest == prefix:
            return prefix
        with writing_into(self._folder, tf.errors.OpError, ValueError):
            self._saver.save(self._session, self._base, step, write_meta_graph=False)
        if gone:
            raise WorkbookError(
                f"the folder {self._folder} was removed while training: it was made again and "
                f"holds step {step}, the same command goes on from there; logs and checkpoints "
                "before are lost"
            )
        self._newest, self._clock = prefix, time.time()
        return prefix
