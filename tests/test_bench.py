"""The benchmarks' own arithmetic, on work too small to measure anything."""
from deeplab_nb import bench


def test_training_has_a_line_a_network(monkeypatch):
    monkeypatch.setattr(bench, "NETWORKS", (("small", {"depth_multiplier": 0.25}, 33, 2),))
    header, line = bench.train(repeat=1)
    name, crop, rate, wall, cpu, images, memory = line.split()
    assert (name, crop) == ("small", "2x33") and header.split()[0] == "crop"
    assert abs(float(images) * float(wall) - 2) < 0.1  # both are rounded
    assert min(float(rate), float(cpu)) > 0 and float(memory) > 100
