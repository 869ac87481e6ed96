"""Loaders of public data sets, on fixtures in their true layout that the test makes itself."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.benchmarks.real import Cityscapes3D, DataError, DomainNet, OfficeHome, Pacs, Taskonomy
from models.benchmarks.registry import open_benchmark
from models.benchmarks.splits.rendered import rendered_split
from models.runtime.image_bodies import decode_image
from models.tasks import find_task
from models.zoo.cards import Preprocessing

SIZE = (32, 48)
RNG = np.random.default_rng(0)


def _picture(path: Path, shape: tuple[int, int] = (40, 56)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (*shape, 3)).astype(np.uint8)).save(path)
    return path


def _levels(path: Path, values: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


# DomainNet, PACS, Office-Home


@pytest.fixture
def domainnet(tmp_path: Path) -> Path:
    """Two domains; `real` has the official lists, `sketch` a list for training only."""
    names = []
    for class_name, number in (("aircraft_carrier", 0), ("zigzag", 344)):
        for index in range(20):
            name = f"real/{class_name}/real_{number:03d}_{index:06d}.jpg"
            _picture(tmp_path / name)
            names.append(f"{name} {number}")
    (tmp_path / "real_train.txt").write_text("\n".join(names[:15] + names[20:35]) + "\n")
    (tmp_path / "real_test.txt").write_text("\n".join(names[15:20] + names[35:]) + "\n")
    return tmp_path


def test_domainnet_keeps_to_its_official_lists(domainnet: Path) -> None:
    splits = {name: DomainNet(domainnet, name, SIZE) for name in ("train", "val", "test")}
    assert len(splits["test"]) == 10
    assert len(splits["train"]) + len(splits["val"]) == 30
    assert 0 < len(splits["val"]) < 10
    test = splits["test"]
    listed = (domainnet / "real_test.txt").read_text().splitlines()
    assert set(test._samples) == {line.split()[0] for line in listed}
    task = find_task("domainnet-real")
    assert len(task.classes) == 345
    for index in range(len(test)):
        sample = test.sample(index)
        assert sample.image.shape == (*SIZE, 3)
        (label,) = sample.labels.values()
        assert list(sample.labels) == ["domainnet-real"]
        assert label.dtype == task.answer_dtype
        assert task.classes[int(label.argmax())] in ("aircraft_carrier", "zigzag")
        assert task.score(label, label) == 1.0
        assert task.render(label).ndim == 3


def test_a_stored_picture_is_what_serving_makes_of_its_file(domainnet: Path) -> None:
    split = DomainNet(domainnet, "test", SIZE)
    card = Preprocessing(height=SIZE[0], width=SIZE[1], mean=(0.5,) * 3, std=(0.5,) * 3)
    for index in range(3):
        body = (domainnet / split._samples[index]).read_bytes()
        assert np.array_equal(split.sample(index).image, decode_image(body, card))


def test_domains_without_lists_are_dealt_by_name(tmp_path: Path) -> None:
    for class_name in ("dog", "person"):
        for index in range(40):
            _picture(tmp_path / "art_painting" / class_name / f"pic_{index:03d}.jpg", (8, 8))
    splits = [Pacs(tmp_path, name) for name in ("train", "val", "test")]
    seen = [name for split in splits for name in split._samples]
    assert len(seen) == len(set(seen)) == 80
    assert all(len(split) >= 2 for split in splits)
    assert list(splits[0].sample(0).labels) == ["pacs-art-painting"]
    assert [len(Pacs(tmp_path, "train", count=n)) for n in (1, 5)] == [1, 5]
    assert Pacs(tmp_path, "train")._samples == splits[0]._samples


def test_office_home_is_known_by_any_spelling(tmp_path: Path) -> None:
    for folder in ("Real World", "Art"):
        for index in range(30):
            _picture(tmp_path / folder / "Alarm_Clock" / f"{index:05d}.jpg", (8, 8))
    opened = OfficeHome(tmp_path, "train")
    tasks = {task for i in range(len(opened)) for task in opened.sample(i).labels}
    assert tasks == {"office-home-real", "office-home-art"}


def test_faults_of_a_domain_folder_name_path_and_expectation(
    domainnet: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    nothing = tmp_path_factory.mktemp("nothing")
    with pytest.raises(DataError, match=r"absent: no such folder; expected DOMAIN/CLASS"):
        DomainNet(nothing / "absent", "train")
    with pytest.raises(DataError, match=r"no folder of a domain; expected .* real, painting"):
        DomainNet(nothing, "train")
    (domainnet / "real_test.txt").write_text("real/aircraft_carier/x.jpg 0\n")
    with pytest.raises(
        DataError, match=r"real_test.txt:1: 'aircraft_carier' is no class .*carrier"
    ):
        DomainNet(domainnet, "test")
    (domainnet / "real_test.txt").write_text("real/zigzag/absent.jpg 344\n\nreal zigzag\n")
    with pytest.raises(DataError, match=r"real_test.txt:3: expected 'real/CLASS/FILE NUMBER'"):
        DomainNet(domainnet, "test")
    (domainnet / "real_test.txt").write_text("real/zigzag/absent.jpg 344\n")
    with pytest.raises(DataError, match=r"absent.jpg: expected a picture: No such file"):
        DomainNet(domainnet, "test").sample(0)
    (domainnet / "real" / "zigzag" / "absent.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"absent.jpg: expected a PNG or JPEG"):
        DomainNet(domainnet, "test").sample(0)
    (domainnet / "real_test.txt").unlink()
    with pytest.raises(DataError, match=r"real_test.txt: no such file"):
        DomainNet(domainnet, "test")
    _picture(nothing / "sketch" / "unicorn" / "1.jpg")
    with pytest.raises(DataError, match=r"sketch/unicorn: 'unicorn' is no class of pacs"):
        Pacs(nothing, "train")


# Taskonomy


def _taskonomy_view(root: Path, building: str, view: str, inner: str = "") -> None:
    def at(folder: str, ending: str) -> Path:
        return root / folder / inner / building / f"{view}_domain_{ending}.png"

    flat = (20, 30)
    _picture(at("rgb", "rgb"), (40, 60))
    classes = np.ones(flat, np.uint8)
    classes[:, :15], classes[0] = 4, 0
    _levels(at("segment_semantic", "segmentsemantic"), classes)
    depth = np.full(flat, 3 * 512, np.uint16)
    depth[:, -3:] = 65_535
    _levels(at("depth_zbuffer", "depth_zbuffer"), depth)
    normal = np.full((*flat, 3), (255, 128, 128), np.uint8)
    normal[:10] = (128, 128, 255)
    normal[-3:] = 128
    _levels(at("normal", "normal"), normal)
    _levels(at("keypoints2d", "keypoints2d"), np.full(flat, 0.0125 * 65_535, np.uint16))
    _levels(at("edge_texture", "edge_texture"), np.full(flat, 65_535, np.uint16))


@pytest.mark.parametrize("inner", ["", "taskonomy"])
def test_taskonomy_labels_are_decoded_as_published(tmp_path: Path, inner: str) -> None:
    for building in ("ackermanville", "adairsville", "albertville"):
        _taskonomy_view(tmp_path, building, "point_0_view_1", inner)
    splits = {name: Taskonomy(tmp_path, name, (20, 30)) for name in ("train", "val", "test")}
    assert [len(split) for split in splits.values()] == [1, 1, 1]
    sample = splits["train"].sample(0)
    assert set(sample.labels) == set(splits["train"].tasks)
    for name, label in sample.labels.items():
        task = find_task(name)
        assert label.dtype == task.answer_dtype
        assert label.shape == task.answer_shape(20, 30)
        assert task.render(label).shape == (20, 30, 3)
    classes = find_task("taskonomy-segmentation").classes
    segmentation = sample.labels["taskonomy-segmentation"]
    assert segmentation[0, 0] == 255  # uncertain
    assert [classes[segmentation[5, column]] for column in (0, 29)] == ["couch", "background"]
    depth = sample.labels["taskonomy-depth"]
    assert depth[0, 0] == 3.0
    assert depth[0, -1] == 0
    normals = sample.labels["taskonomy-normals"].astype(int)
    assert np.abs(normals[0, 0] - (0, 0, -127)).max() <= 1  # towards the camera
    assert np.abs(normals[12, 0] - (127, 0, 0)).max() <= 1  # to the right
    assert not normals[-1].any()
    assert np.unique(sample.labels["taskonomy-keypoints"]) == pytest.approx([127], abs=1)
    assert np.unique(sample.labels["taskonomy-edges"]) == [255]


def test_pixels_without_a_label_do_not_score(tmp_path: Path) -> None:
    _taskonomy_view(tmp_path, "allensville", "point_0_view_0")
    (split,) = (s for n in ("train", "val", "test") if (s := _opened(tmp_path, n)) is not None)
    for name, label in split.sample(0).labels.items():
        task = find_task(name)
        if name == "taskonomy-segmentation":
            answer = np.where(label == 255, 7, label)
        elif name == "taskonomy-depth":
            answer = np.where(label == 0, 9, label).astype(np.float16)
        elif name == "taskonomy-normals":
            answer = np.where(label.any(axis=-1, keepdims=True), label, 88).astype(np.int8)
        else:
            continue
        assert not np.array_equal(answer, label)
        assert task.score(answer, label) == 1.0
        assert task.score(np.zeros_like(label) + 5, label) < 1.0


def _opened(root: Path, split: str) -> Taskonomy | None:
    try:
        return Taskonomy(root, split, SIZE)
    except DataError:
        return None


def test_taskonomy_follows_the_official_split_file(tmp_path: Path) -> None:
    for building in ("one", "two", "three", "four"):
        _taskonomy_view(tmp_path, building, "point_0_view_0")
    (tmp_path / "train_val_test_tiny.csv").write_text(
        "id,train,val,test\none,1,0,0\ntwo,1,0,0\nthree,0,1,0\nfour,0,0,1\nelsewhere,1,0,0\n"
    )
    found = {n: sorted(Taskonomy(tmp_path, n)._samples) for n in ("train", "val", "test")}
    assert found["train"] == ["one/point_0_view_0", "two/point_0_view_0"]
    assert found["test"] == ["four/point_0_view_0"]


def test_faults_of_a_taskonomy_folder_name_path_and_expectation(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"rgb: no such folder; expected TASK/BUILDING"):
        Taskonomy(tmp_path, "train")
    for building in ("one", "two", "three"):
        _taskonomy_view(tmp_path, building, "point_0_view_0")
    opened = Taskonomy(tmp_path, "train", SIZE)
    (building, view) = opened._samples[0].split("/")
    path = tmp_path / "segment_semantic" / building / f"{view}_domain_segmentsemantic.png"
    _levels(path, np.full((20, 30), 19, np.uint8))
    with pytest.raises(DataError, match=r"segmentsemantic.png: class 19; expected 0 .* to 17"):
        opened.sample(0)
    path.unlink()
    with pytest.raises(DataError, match=r"segmentsemantic.png: expected a 8-bit grey PNG: No such"):
        opened.sample(0)
    _picture(path)
    with pytest.raises(DataError, match=r"expected a 8-bit grey PNG, got mode RGB"):
        opened.sample(0)
    _picture(tmp_path / "rgb" / "one" / "point_9_view_9_domain_rgb.png").write_bytes(b"x")


# Cityscapes 3D


CAMERA = {
    "sensor_T_ISO_8855": [[1, 0, 0, -1.7], [0, 1, 0, 0], [0, 0, 1, -1.2]],
    "fx": 2262.52,
    "fy": 2265.3,
    "u0": 1096.98,
    "v0": 513.137,
    "baseline": 0.209313,
}


def _box(label: str, center: list[float], yaw: float = 0.0) -> dict[str, object]:
    turn = [float(np.cos(yaw / 2)), 0.0, 0.0, float(np.sin(yaw / 2))]
    solid = {"center": center, "dimensions": [4.1, 1.7, 1.4], "rotation": turn}
    return {"label": label, "3d": solid, "2d": {"modal": [0, 0, 9, 9], "amodal": [0, 0, 9, 9]}}


def _street(root: Path, split: str, frame: int, objects: list[dict[str, object]]) -> str:
    name = f"{split}/aachen/aachen_{frame:06d}_000019"
    _picture(root / "leftImg8bit" / f"{name}_leftImg8bit.png", (64, 128))
    ids = np.full((64, 128), 7, np.uint8)
    ids[:32], ids[60:] = 23, 1
    _levels(root / "gtFine" / f"{name}_gtFine_labelIds.png", ids)
    disparity = np.full((64, 128), 1 + 256 * 20, np.uint16)
    disparity[:32] = 0
    _levels(root / "disparity" / f"{name}_disparity.png", disparity)
    path = root / "gtBbox3d" / f"{name}_gtBbox3d.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"imgWidth": 2048, "imgHeight": 1024, "sensor": CAMERA, "objects": objects})
    )
    return name


def test_cityscapes_labels_are_decoded_as_published(tmp_path: Path) -> None:
    objects = [
        _box("car", [31.7, -5.0, 1.2], yaw=np.pi / 2),
        _box("person", [10.0, 0.0, 1.0]),
        _box("truck", [11.7, 3.0, 1.2]),
        _box("car", [-9.0, 0.0, 1.0]),
    ]
    for frame in range(12):
        _street(tmp_path, "train", frame, objects)
    _street(tmp_path, "val", 0, objects)
    splits = {name: Cityscapes3D(tmp_path, name, SIZE) for name in ("train", "val", "test")}
    assert len(splits["train"]) + len(splits["val"]) == 12
    assert len(splits["test"]) == 1
    sample = splits["test"].sample(0)
    assert set(sample.labels) == set(splits["test"].tasks)
    segmentation = sample.labels["cityscapes3d-segmentation"]
    classes = find_task("cityscapes3d-segmentation").classes
    assert [classes[segmentation[row, 0]] for row in (0, 20)] == ["sky", "road"]
    assert segmentation[-1, 0] == 255
    depth = sample.labels["cityscapes3d-depth"]
    assert depth[20, 0] == pytest.approx(0.209313 * 2262.52 / 20, rel=1e-3)
    assert depth[0, 0] == 0
    boxes = sample.labels["cityscapes3d-boxes"].astype(float)
    # Nearest first; 1.7 m behind the camera's place is the vehicle's origin, left is not right.
    assert boxes[0] == pytest.approx([1, -3, 0, 10, 4.1, 1.7, 1.4, 0], abs=0.01)
    assert boxes[1] == pytest.approx([1, 5, 0, 30, 4.1, 1.7, 1.4, -np.pi / 2], abs=0.02)
    assert not boxes[2:].any()
    for name, label in sample.labels.items():
        task = find_task(name)
        assert label.dtype == task.answer_dtype
        assert label.shape == task.answer_shape(*SIZE)
        assert task.score(label, label) == 1.0


def test_faults_of_a_cityscapes_folder_name_path_and_expectation(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"leftImg8bit/train: no such folder; expected leftImg8bit"):
        Cityscapes3D(tmp_path, "train")
    name = _street(tmp_path, "val", 0, [{"label": "car"}])
    opened = Cityscapes3D(tmp_path, "test", SIZE)
    with pytest.raises(DataError, match=r"gtBbox3d.json: objects.0.3d: expected center"):
        opened.sample(0)
    path = tmp_path / "gtBbox3d" / f"{name}_gtBbox3d.json"
    path.write_text("{}")
    with pytest.raises(DataError, match=r"gtBbox3d.json: expected `sensor` with"):
        opened.sample(0)
    path.write_text("{")
    with pytest.raises(DataError, match=r"gtBbox3d.json: expected .* not valid JSON"):
        opened.sample(0)
    path.unlink()
    with pytest.raises(DataError, match=r"gtBbox3d.json: expected the frame's boxes"):
        opened.sample(0)


# All of them


def test_a_data_set_on_disk_is_cached_like_any_other(domainnet: Path, tmp_path: Path) -> None:
    opened = open_benchmark("domainnet", "test", SIZE, 4, data=domainnet)
    split = rendered_split(opened, folder=tmp_path / "cache")
    assert len(split) == 4
    assert np.array_equal(split.rows["domainnet-real"], np.arange(4))
    assert len(split.rows["domainnet-sketch"]) == 0
    before = opened.key
    _picture(domainnet / opened._samples[0])  # type: ignore[attr-defined]
    assert open_benchmark("domainnet", "test", SIZE, 4, data=domainnet).key != before


def test_a_data_set_is_found_by_option_or_variable(
    domainnet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("J3O_DATA", raising=False)
    with pytest.raises(ValueError, match="--data"):
        open_benchmark("domainnet", "test")
    (domainnet.parent / "domainnet").symlink_to(domainnet)
    monkeypatch.setenv("J3O_DATA", str(domainnet.parent))
    try:
        assert len(open_benchmark("domainnet", "test")) == 10
    finally:
        (domainnet.parent / "domainnet").unlink()
    with pytest.raises(KeyError, match="office-home"):
        open_benchmark("officehome", "test")
    with pytest.raises(ValueError, match="splits: train, val, test"):
        open_benchmark("domainnet", "training", data=domainnet)
