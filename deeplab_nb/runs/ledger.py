"""Paper versus here: a run's number beside published ones, with every condition that must agree.

A number is called comparable only if all its conditions agree; otherwise the table says which do not.
"""
import collections

# number: mIoU in percent; the other fields are the conditions it was obtained under
Published = collections.namedtuple("Published", "name number source backbone width list images output_stride scales flip protocol")

_ZOO = "TensorFlow DeepLab model zoo"
_SIX = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
_WHOLE = dict(list="val", images=1449, scales=(1.0,), flip=False, protocol="deeplab")
_ALL_SCALES = dict(_WHOLE, scales=_SIX, flip=True, output_stride=8)
PUBLISHED = (
    Published("MobileNetV2 0.5, trainaug + COCO", 70.19, _ZOO, "mobilenet_v2", 0.5, output_stride=16, **_WHOLE),
    Published("MobileNetV2, trainaug + COCO", 75.32, _ZOO, "mobilenet_v2", 1.0, output_stride=16, **_WHOLE),
    Published("DeepLabv3+ Xception-65, trainaug + COCO", 82.20, _ZOO, "xception_65", 1.0, output_stride=16, **_WHOLE),
    Published("MobileNetV2, trainaug + COCO, all scales", 77.33, _ZOO, "mobilenet_v2", 1.0, **_ALL_SCALES),
    Published("DeepLabv3+ Xception-65, all scales", 83.58, _ZOO, "xception_65", 1.0, **_ALL_SCALES),
    Published("DeepLabv3 of the MindSpore zoo (2020)", 65.05, "its README", "resnet_v1_50_beta", 1.0, "val", 1449, 16,
              _SIX, False, "mindspore"),
)
CONDITIONS = ("backbone", "width", "list", "images", "output_stride", "scales", "flip", "protocol")


def conditions_of(settings, results):
    """The same conditions for a run, from its settings and its eval/results.json."""
    return {"backbone": settings.backbone, "width": settings.depth_multiplier, "list": results["list"],
            "images": results["images"], "output_stride": results["output_stride"], "scales": tuple(results["scales"]),
            "flip": results["flip"], "protocol": results["protocol"].split(":")[0]}


def compare(settings, results):
    """[(published row, names of the conditions in which the run differs from it)], the closest first."""
    here = conditions_of(settings, results)
    rows = [(row, [name for name in CONDITIONS if getattr(row, name) != here[name]]) for row in PUBLISHED]
    return sorted(rows, key=lambda pair: len(pair[1]))


def table(settings, results):
    """Plain-text table: published number, this run's, and a difference only where every condition agrees."""
    here = 100 * results["miou"]
    lines = ["this run: mIoU {:.2f} %, {} images of list {}, output stride {}".format(
        here, results["images"], results["list"], results["output_stride"]), ""]
    for row, differing in compare(settings, results):
        verdict = "difference {:+.2f}".format(here - row.number) if not differing else \
            "not comparable: " + ", ".join(differing)
        lines.append("{:42s} {:6.2f} %  {}".format(row.name, row.number, verdict))
    return "\n".join(lines)
