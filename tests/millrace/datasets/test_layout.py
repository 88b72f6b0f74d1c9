"""Where an image belongs, by its path: each layout that people send, and what they did not mean to send."""

from __future__ import annotations

import pytest
from millrace.datasets.indexing import Index, Plan
from millrace.datasets.layout import Layout, NoLayout, in_order

from tests.millrace.datasets.archives import Entry, Written, picture, read_of, zipped

PNG = picture(1)


def planned(*paths: str, **files: bytes) -> tuple[Plan, dict[str, tuple[str, str | None]]]:
    """The plan of an archive with these images (and `name__csv=b"..."` files), and where each image went."""
    named = {name.replace("__", "."): body for name, body in files.items()}
    body = zipped({**{path: b"" if path.endswith("/") else PNG for path in paths}, **named})
    with Index(read_of(body), len(body)) as index:
        plan, layout = index.plan()
        items = [item for batch in index.slices(plan, layout) for item in batch]
    assert isinstance(layout, Layout)
    return plan, {item.member.path: (item.label, item.split) for item in items}


def test_class_folders() -> None:
    plan, placed = planned("cat/1.png", "cat/deep/2.png", "dog/1.jpg", "bird/")

    assert (plan.layout, plan.classes) == ("classes", ["bird", "cat", "dog"])
    assert placed == {"cat/1.png": ("cat", None), "cat/deep/2.png": ("cat", None), "dog/1.jpg": ("dog", None)}


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("train", "val", "test"),
        ("Training", "Valid", "Testing"),
        ("train", "validation", "test"),
        ("train", "dev", "test"),
    ],
)
def test_split_folders(train: str, validation: str, test: str) -> None:
    plan, placed = planned(f"{train}/cat/1.png", f"{validation}/cat/2.png", f"{test}/dog/x/3.png")

    assert (plan.layout, plan.classes) == ("splits", ["cat", "dog"])
    assert list(placed.values()) == [("cat", "train"), ("cat", "validation"), ("dog", "test")]


def test_splits_within_classes() -> None:
    plan, placed = planned("cat/train/1.png", "cat/test/2.png", "dog/train/1.png")

    assert (plan.layout, plan.classes) == ("classes-of-splits", ["cat", "dog"])
    assert placed["cat/test/2.png"] == ("cat", "test")


@pytest.mark.parametrize("root", ["animals/", "a/b/c/", "My pictures äöü/"])
@pytest.mark.parametrize("inner", ["", "train/"])
def test_folders_round_everything_are_passed_through(root: str, inner: str) -> None:
    plan, placed = planned(f"{root}{inner}cat/1.png", f"{root}{inner}dog/2.png", "__MACOSX/._1.png", ".DS_Store")

    assert plan.root == root and plan.classes == ["cat", "dog"] and plan.hidden == 2
    assert {split for _, split in placed.values()} == {"train" if inner else None}


def test_a_class_may_be_called_test_or_train() -> None:
    plan, placed = planned("train/1.png", "bus/2.png", "car/3.png")

    assert plan.layout == "classes" and plan.classes == ["bus", "car", "train"]
    assert placed["train/1.png"] == ("train", None)


def test_one_class_alone_is_a_class() -> None:
    plan, placed = planned("cat/1.png", "cat/2.png")

    assert plan.root == "" and plan.classes == ["cat"] and len(placed) == 2


@pytest.mark.parametrize(
    "manifest",
    [
        b"file,label\n1.png,cat\n2.png,dog\n",
        b"\xef\xbb\xbfimage_path;class\nimages/1.png;cat\n.\\images\\2.png;dog\n",
        b"filename\tcategory\n1.png\tcat\n2.png\tdog\n",
    ],
)
def test_a_manifest_of_any_usual_form(manifest: bytes) -> None:
    plan, placed = planned("images/1.png", "images/2.png", "images/3.png", manifest__csv=manifest)

    assert plan.layout == "manifest" and plan.classes == ["cat", "dog"]
    assert placed == {"images/1.png": ("cat", None), "images/2.png": ("dog", None)}
    assert plan.rejected == [{"path": "images/3.png", "reason": "is not named in the manifest"}]


def test_a_manifest_with_splits_tells_the_lines_that_it_cannot_use() -> None:
    manifest = b"file,label,split\n1.png,cat,train\n2.png,dog,nonsense\n3.png,,test\n1.png,dog,train\n4.png\n"

    plan, placed = planned("1.png", "2.png", "3.png", labels__csv=manifest)

    assert placed == {"1.png": ("cat", "train")}
    assert [warning["text"].split(":")[0] for warning in plan.warnings] == [
        f"labels.csv, line {line}" for line in (3, 4, 5, 6)
    ]


def test_a_table_that_is_no_manifest_does_not_make_one() -> None:
    plan, placed = planned("cat/1.png", "dog/2.png", readings__csv=b"time,value\n1,2\n")

    assert plan.layout == "classes" and len(placed) == 2 and plan.other == 1


def _with_table(path: str, body: bytes, **lie: int) -> bytes:
    entries = [Entry(b"cat/1.png", PNG), Entry(b"dog/2.png", PNG), Entry(path.encode(), body, **lie)]  # type: ignore
    return bytes(Written(entries))


@pytest.mark.parametrize(("lie", "why"), [({"crc": 1}, "damaged"), ({"method": 14}, "compressed with LZMA")])
def test_a_table_that_cannot_be_read_costs_itself_alone(lie: dict[str, int], why: str) -> None:
    """D3: a log beside the class folders is no reason to refuse them."""
    body = _with_table("readings.csv", b"time,value\n1,2\n", **lie)

    with Index(read_of(body), len(body)) as index:
        plan, layout = index.plan()
        items = [item for batch in index.slices(plan, layout) for item in batch]

    assert plan.layout == "classes" and len(items) == 2 and (plan.rejections, plan.other) == (1, 0)
    assert plan.rejected[0]["path"] == "readings.csv" and why in plan.rejected[0]["reason"]


def test_where_nothing_else_tells_the_classes_the_table_that_cannot_be_read_is_named() -> None:
    body = bytes(Written([Entry(b"1.png", PNG), Entry(b"labels.csv", b"file,label\n1.png,cat\n", crc=1)]))

    with pytest.raises(NoLayout, match=r"No classes.* labels.csv might, and is damaged"):
        with Index(read_of(body), len(body)) as index:
            index.plan()


def test_a_folder_with_too_long_a_name_is_no_class() -> None:
    """D3: a manifest's labels are held to the same length."""
    long = "x" * 201

    plan, placed = planned("cat/1.png", f"{long}/2.png", f"{long[:-1]}/3.png")

    assert plan.classes == ["cat", long[:-1]] and len(placed) == 2
    assert plan.rejected == [{"path": f"{long}/2.png", "reason": "the name of its class has more than 200 characters"}]


def test_a_manifest_may_name_as_many_classes_as_folders_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millrace.datasets.layout.MAX_CLASSES", 1)

    with pytest.raises(NoLayout, match="2 classes"):
        planned("1.png", "2.png", labels__csv=b"file,label\n1.png,cat\n2.png,dog\n")


def test_what_is_passed_over_is_counted_or_named() -> None:
    plan, placed = planned(
        "cat/1.png",
        "cat/Thumbs.db",
        "cat/notes.txt",
        "cat/scan.tiff",
        "loose.png",
        "cat/bare",
        "dog/.hidden.png",
    )

    assert set(placed) == {"cat/1.png", "cat/bare"}
    assert (plan.hidden, plan.other) == (2, 1)
    assert [(each["path"], each["reason"][:11]) for each in plan.rejected] == [
        ("cat/scan.tiff", "a TIFF file"),
        ("loose.png", "lies in no "),
    ]


@pytest.mark.parametrize(
    ("paths", "says"),
    [(("1.png", "2.png"), "No classes"), (("a.txt",), "no image"), (("in.zip",), "not opened")],
)
def test_what_tells_no_classes_is_refused_in_words(paths: tuple[str, ...], says: str) -> None:
    with pytest.raises(NoLayout, match=says):
        planned(*paths)


def test_classes_stand_as_a_person_lists_them() -> None:
    assert in_order(["10", "9", "1"]) == ["1", "9", "10"]
    assert in_order(["b", "C", "a"]) == ["a", "b", "C"]


@pytest.mark.parametrize(
    ("raw", "flags", "label"),
    [("Bär", 0x800, "Bär"), ("Bär", 0, "Bär"), ("Ba\u0308r", 0x800, "Bär")],
)
def test_umlauts_are_read_as_they_were_meant(raw: str, flags: int, label: str) -> None:
    for name, bits in ((f"{raw}/1.png".encode(), flags), (f"{label}/1.png".encode("cp437"), 0)):
        body = bytes(Written([Entry(name, PNG, flags=bits)]))
        with Index(read_of(body), len(body)) as index:
            assert index.plan()[0].classes == [label]
