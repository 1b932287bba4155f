from deeplab_nb import settings as settings_module
from deeplab_nb.runs import ledger

RESULTS = {"miou": 0.70, "list": "val", "images": 1449, "output_stride": 16, "scales": [1.0], "flip": False,
           "protocol": "deeplab: whole image padded to 513x513"}
HALF = settings_module.read({"depth_multiplier": 0.5})


def test_a_number_under_the_same_conditions_is_compared():
    row, differing = ledger.compare(HALF, RESULTS)[0]
    assert row.number == 70.19 and differing == []
    assert "difference -0.19" in ledger.table(HALF, RESULTS)


def test_a_subset_another_stride_or_another_network_is_not():
    for change in ({"images": 150}, {"output_stride": 8}, {"scales": [0.5, 1.0]}, {"flip": True}):
        text = ledger.table(HALF, dict(RESULTS, **change))
        assert "difference" not in text and "not comparable: " + list(change)[0] in text
    assert "width" in ledger.compare(settings_module.read({"depth_multiplier": 0.35}), RESULTS)[0][1]
