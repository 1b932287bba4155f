"""Where a run computes: what differs between CPU, GPU and NPU is the session's options and the optimizer's wrapping."""
from deeplab_nb.errors import WorkbookError
from deeplab_nb.tf1 import tf


def find(settings):
    """'cpu', 'gpu' or 'npu': what the settings ask for, or the best there is. Raises WorkbookError for one that is absent."""
    if settings.device in ("auto", "gpu") and tf.test.is_built_with_cuda() and tf.test.is_gpu_available():
        return "gpu"
    if settings.device == "gpu":
        raise WorkbookError("device=gpu, but TensorFlow sees none: set device=cpu, or install tensorflow-gpu and its CUDA 10.0")
    return "cpu"


def session_config(device, settings):
    """The tf.ConfigProto of a training session."""
    config = tf.ConfigProto(intra_op_parallelism_threads=settings.intra_op_threads)
    # TensorFlow's graph optimiser takes 3 s over MobileNetV2's training graph and makes its steps no faster
    config.graph_options.rewrite_options.disable_meta_optimizer = device == "cpu"
    return config


def wrapped(optimizer, device, settings):
    """`(optimizer, loss scale)`: wrapped as mixed precision needs it; the scale is a float32 scalar tensor."""
    return optimizer, tf.constant(1.0)
