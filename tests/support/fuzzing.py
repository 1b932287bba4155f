"""Damages one file after another and gives it to whatever reads such files.

`python -m tests.support.fuzzing FOLDER SEED COUNT` writes a line of JSON an input to its output:
what was done to which file and what came of it, 'read' or the sentence, or else what went wrong.
"""

import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import traceback

import numpy as np
from click.testing import CliRunner

from deeplab_nb import files, settings as settings_module
from deeplab_nb.cli import main
from deeplab_nb.data import audit, download, own, records, voc
from deeplab_nb.errors import WorkbookError
from deeplab_nb.evaluation import evaluate, ledger, shards
from deeplab_nb.evaluation.metrics import Counts, save_counts
from deeplab_nb.evaluation.predict import Predictor
from deeplab_nb.launch import rank_table
from deeplab_nb.network import mindspore
from deeplab_nb.network.deeplab import variables_of
from deeplab_nb.network.described import describe, outline
from deeplab_nb.runs import report, state
from deeplab_nb.show import labelling
from deeplab_nb.tf1 import tf
from deeplab_nb.training import loop, validation
from deeplab_nb.training.log import best_before, drop_later_lines, read_log
from tests.support.archives import packed
from tests.support.cell import write as write_notebook
from tests.support.damage import damaged
from tests.support.files import digests
from tests.support.tiny_checkpoint import SMALLEST
from tests.support.tiny_voc import make_tiny_voc

MEMORY = 2 << 30  # bytes that an input may take, beside what TensorFlow has mapped by then
SECONDS = 30
LONGEST = 2000  # letters of a sentence

CORNERS = [[1, 1], [30, 1], [30, 20], [1, 20]]


class World:
    """A folder with one whole file of each kind, and what reads them into another folder."""

    def __init__(self, folder):
        self.root, self.out = os.path.join(folder, "in"), os.path.join(folder, "out")
        self.voc = make_tiny_voc(self.at("voc"), train=2, val=1, num_classes=5)
        self.settings = settings_module.override(
            SMALLEST, {"data_root": self.voc, "train_steps": 2, "eval_output_stride": 16}
        )
        self._weights()
        self._run()
        self._own()
        self.predictor = Predictor(self.settings, self.prefix)
        labelling.Predictor = lambda *_, **__: contextlib.nullcontext(self.predictor)

    def at(self, *names):
        path = os.path.join(self.root, *names)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return path

    def _weights(self):
        folder = self.at("train", "x")[:-2]
        with tf.Graph().as_default(), tf.Session() as session:
            variables_of(self.settings)
            tf.train.get_or_create_global_step()
            session.run(tf.global_variables_initializer())
            base = os.path.join(folder, "model.ckpt")
            self.prefix = tf.train.Saver().save(session, base, 2, write_meta_graph=False)
        settings_module.save(self.settings, folder)
        lines = [{"step": i, "loss": 2.5, "learning_rate": 0.1, "cross_entropy": 2} for i in (1, 2)]
        lines += [{"step": 2, "validation_miou": 0.5, "validation_images": 1}]
        self.text("train/log.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        message = mindspore.checkpoint_class()()
        value = message.value.add(tag=b"deeplabv3.fc2.weight")
        value.tensor.dims.extend([5, 256, 1, 1])
        value.tensor.tensor_type = b"Float32"
        value.tensor.tensor_content = np.zeros([5, 256], np.float32).tobytes()
        with open(self.at("zoo-1_2.ckpt"), "wb") as file:
            file.write(message.SerializeToString())
        with open(self.at("weights.tgz"), "wb") as file:
            file.write(packed(self.at("voc", "ImageSets")))
        voc.write_mask(self.at("shown", "val_000.png"), np.eye(33, 49, dtype=np.uint8))
        written = records.write_records(self.voc, "train", self.at("records"), shards=1)
        shutil.copy(written[0], self.at("set", "train-00000-of-00001.tfrecord"))
        shutil.rmtree(self.at("records"))

    def _run(self):
        run = self.at("run", "run.json")[: -len("/run.json")]
        settings_module.save(self.settings, run)
        notebooks = {"03_x": {"state": "done"}}
        files.write_json(
            self.at("run", "run.json"),
            {"recipe": "sample", "settings": "0" * 16, "created": "2024", "notebooks": notebooks},
        )
        found = evaluate.evaluate(self.settings, self.prefix)
        results = dict(found.results, image_miou=found.image_miou)
        files.write_json(self.at("run", "eval", "results.json"), results)
        shutil.copytree(self.at("train"), self.at("run", "train"))
        self.text("run/ledger.txt", "a ledger\n")
        shutil.copy(voc.image_path(self.voc, "val_000"), self.at("run", "overlays", "val_000.png"))
        write_notebook(self.at("run", "03_x.ipynb"))
        matrix = np.eye(5, dtype=np.int64)
        counts = Counts({"a": matrix}, {}, {"protocol": "deeplab: x", "list": "val"}, 0.1)
        save_counts(self.at("shards", "shard-1-of-1.npz"), counts)
        devices = [
            {"device_id": str(i), "device_ip": f"192.168.1.{i}", "rank_id": str(i)}
            for i in range(2)
        ]
        table = {"version": "1.0", "server_count": "1", "status": "completed"}
        table["server_list"] = [{"server_id": "10.0.0.1", "device": devices}]
        files.write_json(self.at("table.json"), table)

    def _own(self):
        for name in ("train_000", "train_001"):
            for place in ("images", "labelme"):
                shutil.copy(voc.image_path(self.voc, name), self.at(place, name + ".jpg"))
            shutil.copy(voc.mask_path(self.voc, name), self.at("masks", name + ".png"))
            shapes = [{"label": "leaf", "points": CORNERS, "shape_type": "polygon"}]
            values = {"imageHeight": 33, "imageWidth": 49, "shapes": shapes}
            files.write_json(self.at("labelme", name + ".json"), values)
        runs = {"size": [33, 49], "counts": [9, 1608]}
        annotations = [
            {"image_id": 0, "category_id": 4, "segmentation": [sum(CORNERS, [])]},
            {
                "image_id": 1,
                "category_id": 4,
                "segmentation": runs,
            },
        ]
        images = [
            {"id": i, "file_name": f"train_00{i}.jpg", "height": 33, "width": 49} for i in range(2)
        ]
        files.write_json(
            self.at("coco.json"),
            {"images": images, "categories": [{"id": 4, "name": "a"}], "annotations": annotations},
        )
        self.text("voc/classes.txt", "background\na\nb\nc\nd\n")
        self.text("masks/labelmap.txt", "# label:color_rgb:parts:actions\nbackground:0,0,0::\n")
        files.write_json(self.at("colours.json"), {"background": [0, 0, 0], "a": [128, 0, 0]})

    def text(self, name, text):
        files.write_text(self.at(*name.split("/")), text)

    # --- what reads them

    def audited(self, _):
        result = audit.audit(self.voc, ["train", "val"], num_classes=5)
        [result.table(name) for name in ("train", "val")]
        result.raise_if_bad()

    def evaluated(self, _):
        predictions = os.path.join(self.out, "predictions")
        options = dict(predictor=self.predictor, predictions=predictions, trimap=True)
        evaluate.evaluate(self.settings, None, **options).scores.table(list("abcde"))

    def scored(self, _):
        evaluate.score(self.settings, self.at("shown", "")[:-1])

    def predicted(self, path):
        folder = os.path.dirname(path if path.endswith(".jpg") else voc.image_path(self.voc, "x"))
        names = labelling.names_of(self.prefix, 5)
        options = dict(engine="auto", names=names, side=65, tell=len)
        failed = labelling.label(self.settings, self.prefix, [folder], self.out, **options)
        for why in failed.values():
            raise WorkbookError(why)

    def recorded(self, _):
        records.write_records(self.voc, "train", self.out, num_classes=5)

    def converted(self, path):
        if path.endswith(".json"):
            masks = path if "coco" in path else os.path.dirname(path)
            images = self.at("images") if "coco" in path else masks
            return str(own.convert(images, masks, os.path.join(self.out, "set")))
        command(["convert", self.at("images"), self.at("masks"), "--out", self.out + "/set"])

    def restored(self, _):
        """As `evaluate`, `predict` and a training that is resumed do."""
        described = settings_module.read(describe(self.prefix))
        assert described.num_classes > 0
        with Predictor(self.settings, self.prefix):
            pass
        with tf.Graph().as_default(), tf.Session() as session:
            variables_of(self.settings)
            tf.train.get_or_create_global_step()
            loop.resume(session, self.prefix, self.settings)

    def resumed(self, _):
        folder = os.path.dirname(self.prefix)
        loop.check_same_run(settings_module.load(folder), folder)
        validation.ended(self.settings, folder)

    def logged(self, path):
        read_log(path), best_before(os.path.dirname(path), 2)
        copy = shutil.copy(path, os.path.join(self.out, "log.jsonl"))
        drop_later_lines(copy, 1)

    def reported(self, _):
        copy = os.path.join(self.out, "run")
        shutil.copytree(self.at("run"), copy)
        report.write(copy)
        state.list_runs(self.out)

    def compared(self, path):
        for name, results in ledger.find([path]):
            ledger.table(results, name, related=True)

    def ranked(self, path):
        table = rank_table.read(path)
        rank_table.show(table)
        rank_table.merge(os.path.join(self.out, "merged.json"), [table])

    def merged(self, path):
        merged = shards.merge(os.path.dirname(path))
        merged.scores.table(list(merged.results["classes"]))

    def unpacked(self, path):
        download.unpack(path, self.out)

    def listed(self, path):
        records.read_ids([path])
        records.check_masks([path], num_classes=5, ignore_label=255)

    def foreign(self, path):
        mindspore.read_variables(path), outline(path)

    def coloured(self, path):
        own.read_colours(path)


def command(words):
    """One of the commands, whose own sentence is its end."""
    done = CliRunner().invoke(main, words)
    if isinstance(done.exception, SystemExit) and done.exit_code == 1:
        raise WorkbookError(done.output.strip().split("\n")[-1])
    if done.exception:
        raise done.exception


PHOTOGRAPH, MASK = "voc/JPEGImages/train_000.jpg", "voc/SegmentationClass/train_000.png"
CASES = [
    (MASK, "audited evaluated scored recorded"),
    (PHOTOGRAPH, "audited evaluated predicted recorded"),
    ("shown/val_000.png", "scored"),
    ("voc/ImageSets/Segmentation/val.txt", "audited evaluated scored"),
    ("voc/classes.txt", "audited evaluated predicted"),
    ("masks/train_000.png", "converted"),
    ("masks/labelmap.txt", "converted"),
    ("images/train_000.jpg", "converted predicted"),
    ("labelme/train_000.json", "converted"),
    ("coco.json", "converted"),
    ("colours.json", "coloured"),
    ("train/model.ckpt-2.index", "restored resumed"),
    ("train/model.ckpt-2.data-00000-of-00001", "restored"),
    ("zoo-1_2.ckpt", "foreign"),
    ("train/settings.json", "resumed predicted"),
    ("train/log.jsonl", "logged resumed"),
    ("run/run.json", "reported"),
    ("run/settings.json", "reported"),
    ("run/eval/results.json", "reported compared"),
    ("run/train/log.jsonl", "reported"),
    ("run/overlays/val_000.png", "reported"),
    ("run/ledger.txt", "reported"),
    ("run/03_x.ipynb", "reported"),
    ("table.json", "ranked"),
    ("shards/shard-1-of-1.npz", "merged"),
    ("set/train-00000-of-00001.tfrecord", "listed"),
    ("weights.tgz", "unpacked"),
]


def outcome(world, reader, path):
    """'read' or a sentence, and what is wrong with either; None if nothing is."""
    before, said = digests(world.root), "read"
    shutil.rmtree(world.out, ignore_errors=True)
    os.makedirs(world.out)
    signal.alarm(SECONDS)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            getattr(world, reader)(path)
    except WorkbookError as error:
        said = str(error)
    except BaseException:
        return "unhandled", traceback.format_exc()[-1500:]
    finally:
        signal.alarm(0)
    if said.strip() != said or "\n" in said or not 4 <= len(said) <= LONGEST:
        return said, "is not one sentence"
    if "delete" in said or "Traceback" in said:
        return said, "advises to delete, or shows what Python says"
    return said, None if digests(world.root) == before else "something of the input changed"


def spent(*_):
    raise TimeoutError(f"it took more than {SECONDS} s")


def run(folder, seed, count, only=""):
    """Yields what came of each input."""
    world, results = World(folder), []
    signal.signal(signal.SIGALRM, spent)
    with open("/proc/self/statm") as file:
        limit = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for name, readers in CASES:  # what is whole is read
        for reader in readers.split():
            said, wrong = outcome(world, reader, world.at(*name.split("/")))
            results.append({"input": f"{name} whole", "said": said, "wrong": wrong})
            yield dict(results[-1], wrong=wrong or (said != "read" and "is whole and was refused"))
    cases = [case for case in CASES if only in case[0]]
    for number in range(count):
        draw = random.Random(1000 * seed + number)
        name, readers = cases[number % len(cases)]
        path = world.at(*name.split("/"))
        with open(path, "rb") as file:
            whole = file.read()
        content, way = damaged(whole, draw)
        with open(path, "wb") as file:
            file.write(content)
        reader = draw.choice(readers.split())
        told = f"{number}: {name} {way}, {reader}"
        print(told, file=sys.stderr, flush=True)  # names the input that kills the process
        said, wrong = outcome(world, reader, path)
        with open(path, "wb") as file:
            file.write(whole)
        yield {"input": told, "said": said, "wrong": wrong}


if __name__ == "__main__":
    for line in run(sys.argv[1], *map(int, sys.argv[2:4]), *sys.argv[4:]):
        print(json.dumps(line), flush=True)
