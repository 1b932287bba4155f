"""The compiler's command line and a device's files; test_export tries them with a network."""

import numpy as np
import pytest

from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import om


def test_the_command_is_the_published_one():
    said = om.atc_command("a.pb", "b", soc_version="Ascend910A").replace(" \\\n    ", " ")
    assert said == (
        "atc --model=a.pb --framework=3 --output=b --output_type=FP32 --soc_version=Ascend910A "
        '--input_shape="ImageTensor:1,513,513,3" --out_nodes=SemanticPredictions:0 --log=info'
    )
    with pytest.raises(WorkbookError, match="soc_version '310; rm' is no chip"):
        om.atc_command("a.pb", "b", soc_version="310; rm")


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_labels_are_read_from_whole_numbers_of_either_kind(tmp_path, dtype):
    labels = np.arange(25).reshape(5, 5) % 21
    path = str(tmp_path / "result.bin")
    labels.astype(dtype).tofile(path)
    assert np.array_equal(om.read_labels(path, 5, 21), labels)
    with pytest.raises(WorkbookError, match="holds no class numbers 0..4"):
        om.read_labels(path, 5, 5)
    with pytest.raises(WorkbookError, match="has 25 numbers of 4 bytes, 7x7 labels need 49"):
        om.read_labels(path, 7, 21)
    with pytest.raises(WorkbookError, match="gone.bin is not readable"):
        om.read_labels(str(tmp_path / "gone.bin"), 5, 21)
