"""Which class and which split an image belongs to, seen from the paths of an archive. Pure.

In this order: a manifest (a CSV with a file and a label column), folders of splits with classes in them, or the other
way round, folders of classes. Folders that hold nothing but one folder are passed through first. What people's
machines leave behind (`__MACOSX`, `.DS_Store`, `Thumbs.db`) is never looked at.
"""

from __future__ import annotations

import csv
import io
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import InvalidInput
from .directory import Member

Split = Literal["train", "validation", "test"]

IMAGES = frozenset({"jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "dib", "gif"})
OTHER_IMAGES = frozenset(
    {"tif", "tiff", "heic", "heif", "avif", "svg", "psd", "ico", "jp2", "raw", "cr2", "nef", "dng"}
)
NEVER_IMAGES = frozenset(
    "txt md rst csv tsv json jsonl xml yaml yml toml html htm pdf doc docx xls xlsx log ini cfg py ipynb js css sh bat "
    "zip gz tar tgz bz2 xz 7z rar parquet npy npz pkl pt pth h5 mp4 mov avi mkv mp3 wav exe dll db".split()
)
HIDDEN = frozenset({"__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "@eadir"})
SPLITS: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
FILE_COLUMNS = ("file", "filename", "file_name", "path", "filepath", "file_path", "image", "image_path", "img")
LABEL_COLUMNS = ("label", "class", "class_name", "category", "target", "y")
SPLIT_COLUMNS = ("split", "set", "subset", "partition", "fold")
MAX_FOLDERS = 100_000
MAX_CLASSES = 10_000
MAX_LABEL = 200
"""Characters of a class's name."""
MAX_MANIFEST_BYTES = 32 * 2**20
_MANIFEST_SUFFIXES = frozenset({"csv", "tsv"})


class NoLayout(InvalidInput):
    """The archive is a good one, and nothing in it says which image is of which class."""

    @property
    def reason(self) -> dict[str, str]:
        return {"code": "layout", "text": str(self)}


@dataclass(frozen=True)
class Placed:
    """A file that is to be looked at. `certain`: its name says that it is an image."""

    label: str
    split: Split | None
    certain: bool = True


@dataclass(frozen=True)
class Passed:
    """A file that is not: hidden ones count for nothing, others are told with the reason."""

    kind: Literal["hidden", "other", "unplaced", "unsupported"]
    reason: str = ""


def suffix(path: str) -> str:
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2].casefold() if "." in name[1:] else ""


def hidden(path: str) -> bool:
    parts = path.removesuffix("/").split("/")
    return any(part.startswith(".") or part.casefold() in HIDDEN for part in parts)


def image_like(path: str) -> bool:
    """Whether the name allows for an image of a kind that is taken."""
    return suffix(path) not in NEVER_IMAGES | OTHER_IMAGES


@dataclass
class Survey:
    """What one pass over the paths leaves: how many images each folder holds, and the manifests that may be meant."""

    folders: Counter[str] = field(default_factory=Counter)
    manifests: list[Member] = field(default_factory=list)
    images: int = 0
    tables: int = 0
    """Files that a collection of texts is made of."""

    def add(self, member: Member) -> None:
        path = member.path
        if hidden(path):
            return
        if member.folder:
            self._count(path.removesuffix("/"), 0)
            return
        kind = suffix(path)
        self.tables += kind in ("csv", "tsv", "jsonl", "json", "parquet")
        if kind in _MANIFEST_SUFFIXES and path.count("/") <= 3 and len(self.manifests) < 100:
            self.manifests.append(member)
        if image_like(path):
            self.images += kind in IMAGES
            self._count(path.rpartition("/")[0], 1)

    def _count(self, folder: str, images: int) -> None:
        self.folders[folder] += images
        if len(self.folders) > MAX_FOLDERS:
            raise NoLayout(f"The archive has more than {MAX_FOLDERS:,} folders.")

    @property
    def of_images(self) -> bool:
        """Whether this is an archive of images, and not one of tables with a picture among them."""
        return self.images > self.tables

    def root(self) -> str:
        """The folder that everything lies in, through folders that hold one folder and nothing else; with its '/'."""
        root = ""
        holds_files = {member.path.rpartition("/")[0] for member in self.manifests}
        while True:
            inner = {rest.split("/")[0] for rest in self._below(root) if rest}
            alone = next(iter(inner)) if len(inner) == 1 else None
            if alone is None or self._has_images(root) or root.removesuffix("/") in holds_files:
                return root
            deeper = f"{root}{alone}/"
            leads_on = any(rest for rest in self._below(deeper)) or deeper.removesuffix("/") in holds_files
            if not leads_on or alone.casefold() in SPLITS:
                return root
            root = deeper

    def candidates(self) -> list[Member]:
        """CSV files at the root, which may be the manifest."""
        root = self.root()
        return [m for m in self.manifests if m.path.startswith(root) and "/" not in m.path.removeprefix(root)]

    def settle(self, manifest: Mapping[str, Placed] | None = None) -> Layout:
        """NoLayout where neither folders nor a manifest tell the classes."""
        root = self.root()
        if manifest is not None:
            return Layout("manifest", root, manifest)
        tops = self._tops(root)
        if not tops:
            raise NoLayout(
                "No classes: put the images into one folder for each class, or add a manifest.csv with the columns "
                "file and label."
                if self.images
                else "There is no image in the archive (JPEG, PNG, WebP, BMP or GIF); archives in it are not opened."
            )
        return Layout(self._kind(root, tops), root, None)

    def classes(self, layout: Layout) -> set[str]:
        """Every class that the manifest or the folders name, those without images too."""
        found = self._named(layout)
        if len(found) > MAX_CLASSES:
            raise NoLayout(f"There are {len(found):,} classes; at most {MAX_CLASSES:,} are taken.")
        return found

    def _named(self, layout: Layout) -> set[str]:
        if layout.kind == "manifest":
            return {placed.label for placed in (layout.manifest or {}).values()}
        depth = {"classes": 0, "splits": 1, "classes-of-splits": 0}[layout.kind]
        found = set()
        for rest in self._below(layout.root):
            parts = rest.split("/")
            inside = layout.kind != "splits" or parts[0].casefold() in SPLITS
            if inside and len(parts) > depth and 0 < len(parts[depth]) <= MAX_LABEL:
                found.add(parts[depth])
        return found

    def _kind(
        self, root: str, tops: Mapping[str, tuple[int, set[str]]]
    ) -> Literal["splits", "classes-of-splits", "classes"]:
        """tops: first folder -> (images right in it, folders in it)."""
        named = {name for name in tops if name.casefold() in SPLITS}
        if named and all(tops[name][1] and not tops[name][0] for name in named):
            others = {name for name in tops if name not in named and (tops[name][0] or tops[name][1])}
            if not others or any(SPLITS[name.casefold()] == "train" for name in named):
                return "splits"
        inner = [folder for images, folders in tops.values() for folder in folders]
        if inner and not any(images for images, _ in tops.values()) and all(f.casefold() in SPLITS for f in inner):
            return "classes-of-splits"
        return "classes"

    def _tops(self, root: str) -> dict[str, tuple[int, set[str]]]:
        tops: dict[str, tuple[int, set[str]]] = {}
        for rest, images in self._below(root).items():
            if not rest:
                continue
            first, _, more = rest.partition("/")
            right_in, folders = tops.get(first, (0, set()))
            if more:
                folders = folders | {more.split("/")[0]}
            tops[first] = (right_in + (0 if more else images), folders)
        return tops

    def _below(self, root: str) -> dict[str, int]:
        """Folders under the root, relative to it; '' is the root itself."""
        if not root:
            return dict(self.folders)
        bare = root.removesuffix("/")
        return {
            folder.removeprefix(bare).removeprefix("/"): images
            for folder, images in self.folders.items()
            if folder == bare or folder.startswith(root)
        }

    def _has_images(self, root: str) -> bool:
        return self.folders.get(root.removesuffix("/"), 0) > 0


@dataclass(frozen=True)
class Layout:
    kind: Literal["classes", "splits", "classes-of-splits", "manifest"]
    root: str
    """Ends in '/', or is empty."""
    manifest: Mapping[str, Placed] | None
    """Path below the root -> where it belongs."""

    def place(self, path: str) -> Placed | Passed:
        if hidden(path):
            return Passed("hidden")
        kind = suffix(path)
        if kind in OTHER_IMAGES:
            return Passed("unsupported", f"a {kind.upper()} file; save it as PNG or JPEG")
        if not image_like(path):
            return Passed("other")
        found = self._found(path)
        if found is None:
            return Passed("unplaced", self._why()) if kind in IMAGES else Passed("other")
        if len(found[0]) > MAX_LABEL:
            return Passed("unplaced", f"the name of its class has more than {MAX_LABEL} characters")
        return Placed(found[0], found[1], kind in IMAGES)

    def _found(self, path: str) -> tuple[str, Split | None] | None:
        if not path.startswith(self.root):
            return None
        rest = path.removeprefix(self.root)
        parts = rest.split("/")
        if self.kind == "manifest":
            placed = (self.manifest or {}).get(rest) or (self.manifest or {}).get(parts[-1])
            return (placed.label, placed.split) if placed else None
        if self.kind == "classes":
            return (parts[0], None) if len(parts) > 1 else None
        if len(parts) < 3:
            return None
        split, label = (parts[0], parts[1]) if self.kind == "splits" else (parts[1], parts[0])
        return (label, SPLITS[split.casefold()]) if split.casefold() in SPLITS else None

    def _why(self) -> str:
        return {
            "classes": "lies in no class folder",
            "splits": "lies in no class folder of a split",
            "classes-of-splits": "lies in no split of a class",
            "manifest": "is not named in the manifest",
        }[self.kind]


def read_manifest(body: bytes, root: str) -> tuple[dict[str, Placed], list[dict[str, Any]]] | None:
    """Path below the root, or bare file name, -> where it belongs; and the refused lines. None: no manifest at all."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = body.decode("cp1252", errors="replace")
    first = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(",\t;", key=first.count))
    try:
        header = [name.strip().casefold() for name in next(rows, [])]
        columns = _columns(header)
        return None if columns is None else _placements(rows, columns, root)
    except csv.Error:
        return None


def _columns(header: list[str]) -> tuple[int, int, int | None] | None:
    def at(names: Iterable[str]) -> int | None:
        return next((header.index(name) for name in names if name in header), None)

    file, label = at(FILE_COLUMNS), at(LABEL_COLUMNS)
    return None if file is None or label is None else (file, label, at(SPLIT_COLUMNS))


def _placements(
    rows: Iterable[list[str]], columns: tuple[int, int, int | None], root: str
) -> tuple[dict[str, Placed], list[dict[str, Any]]]:
    placed: dict[str, Placed] = {}
    refused: list[dict[str, Any]] = []
    for line, cells in enumerate(rows, 2):
        if not any(cell.strip() for cell in cells):
            continue
        try:
            path, where = _row(cells, columns, root)
            if placed.setdefault(path, where) != where:
                raise ValueError("the file has another label or split further up")
        except ValueError as error:
            refused.append({"line": line, "reason": str(error)})
    return placed, refused


def _row(cells: list[str], columns: tuple[int, int, int | None], root: str) -> tuple[str, Placed]:
    file, label, split = columns
    if len(cells) <= max(file, label):
        raise ValueError(f"{len(cells)} columns are too few")
    path = unicodedata.normalize("NFC", cells[file].strip()).replace("\\", "/").removeprefix("./").removeprefix(root)
    name = unicodedata.normalize("NFC", cells[label].strip())
    if not path or not name:
        raise ValueError("the file or the label is empty")
    if len(name) > MAX_LABEL or not name.isprintable():
        raise ValueError(f"a label has 1 to {MAX_LABEL} printable characters")
    told = cells[split].strip().casefold() if split is not None and len(cells) > split else ""
    if told and told not in SPLITS:
        raise ValueError(f"{told[:40]!r} is no split: train, validation or test")
    return path, Placed(name, SPLITS.get(told))


def in_order(names: Iterable[str]) -> list[str]:
    """Classes as a person lists them: 2 before 10, and letters whatever their case."""
    found = list(names)
    if all(name.isdecimal() for name in found):
        return sorted(found, key=lambda name: (int(name), name))
    return sorted(found, key=lambda name: (name.casefold(), name))
