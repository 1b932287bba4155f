"""When checkpoints are written, how many stay, and what is said where one cannot be written."""
import glob
import os
import time

from deeplab_nb.errors import WorkbookError
from deeplab_nb.network.checkpoints import step_of
from deeplab_nb.tf1 import tf
from deeplab_nb.training.log import cannot_write


class Checkpoints:
    """The checkpoints of one session in a folder; `settings.keep_checkpoints` of them stay, earlier runs' included."""

    def __init__(self, session, folder, settings):
        self._session, self._folder, self._settings = session, folder, settings
        self._saver = tf.train.Saver(max_to_keep=settings.keep_checkpoints)
        before = [path[:-len(".index")] for path in glob.glob(os.path.join(glob.escape(folder), "model.ckpt-*.index"))]
        self._saver.recover_last_checkpoints(sorted(before, key=step_of))
        self._clock = time.time()
        self.newest = None  # prefix of the last one that this session wrote

    def due(self, step):
        """Whether a checkpoint is to be written, by the number of steps or the minutes since the last one."""
        minutes = self._settings.save_minutes
        return step % self._settings.save_every == 0 or bool(minutes) and time.time() - self._clock > 60 * minutes

    def save(self, step):
        """Writes a checkpoint unless this step has one; returns its prefix.

        Raises WorkbookError for a full disk; the checkpoints before it stay. So it does for a folder that has
        been removed: TensorFlow makes it again, and this checkpoint is all that is in it.
        """
        if self.newest and step_of(self.newest) == step:
            return self.newest
        gone = not os.path.isdir(self._folder)
        try:
            self.newest = self._saver.save(self._session, os.path.join(self._folder, "model.ckpt"), global_step=step,
                                           write_meta_graph=False)
        except (tf.errors.OpError, ValueError, OSError) as error:
            raise cannot_write(self._folder, error)
        if gone:
            raise WorkbookError("the folder {} was removed while training: it was made again and holds step {}, the same command "
                                "goes on from there; logs and checkpoints before are lost".format(self._folder, step))
        self._clock = time.time()
        return self.newest


class OthersCheckpoints:
    """For a rank that leaves the writing to rank 0."""

    def __init__(self, folder):
        self._folder = folder

    def due(self, step):
        return False

    def save(self, step):
        """The prefix under which rank 0 saves this step."""
        return os.path.join(self._folder, "model.ckpt-{}".format(step))
