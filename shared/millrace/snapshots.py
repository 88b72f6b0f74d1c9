"""Immutable sets of data points that jobs train on, and which of them hold a given one. AWS: DynamoDB, S3.

A snapshot holds every usable example that the tenant's policy lets train: of several for one source the best (an edit
before an accepted answer before a row, the later before the earlier); none whose quality is under the policy's. Its
splits are fixed by content, and a near duplicate of a test text is in no other split, one of a validation text not in
training. The snapshot is named by its data points, so the same ones give the same snapshot, written once.

Memory: about 600 bytes a point, whatever their texts are; these wait in a file. At most MAX_POINTS: minutes of work,
so that no more than AT_ONCE are taken while somebody waits for the answer; the job's first step takes the others.
A snapshot's `ids.txt` has its points sorted, each on LINE bytes: a few reads of a range tell whether one is in it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from errno import ENOSPC
from functools import cache
from importlib import resources
from typing import IO, TYPE_CHECKING, Any

import orjson

from .corpus import MAX_POINTS
from .datapoints import SPLITS, DataPoint, Origin, Split, split_of
from .datapolicy import DataPolicy, data_policy
from .errors import NotFound, TooLarge
from .indexing import Index
from .quality import assess
from .similar import Clusters
from .table import MAX_PAGE, Item, Table
from .tenants import Kind, Tenant

if TYPE_CHECKING:
    from .artifacts import Store
    from .corpus import Corpus

_BESIDE = 10
"""Answers that nobody corrected train nothing; so many are passed over for each point that may be read."""
LINE = 29
"""Bytes of one id and its newline in ids.txt."""
_RANK = {Origin.EDIT: 3, Origin.ACCEPTED: 2, Origin.NEGATIVE: 0}
_CHUNK = 1 << 20
_READERS, _LOOKERS = 8, 32


@dataclass(frozen=True)
class Snapshot:
    """An immutable set of data points, named by its content."""

    id: str
    rows: dict[Split, int]
    keys: dict[Split, str]
    """S3 prefix of each split's channel; it holds one data.jsonl."""


@dataclass
class _Candidate:
    """What is kept in memory of a point while the others are read."""

    id: str
    rank: tuple[int, str, str]
    quality: float
    split: Split
    at: int
    """Where its line begins in the file, and how long it is."""
    length: int
    text: int
    """Its number among the clusters' texts."""


@dataclass
class Selection:
    """Which points of all that were read make the snapshot, and why the others do not."""

    points: list[_Candidate] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Snapshots:
    corpus: Corpus

    @property
    def table(self) -> Table:
        return self.corpus.table

    @property
    def store(self) -> Store:
        return self.corpus.store

    def take(self, tenant: Tenant, created_at: str, most: int = MAX_POINTS, until: str | None = None) -> Snapshot:
        """Everything usable now, or of it what was there at `until`. TooLarge where that is more than `most` points."""
        policy = data_policy(self.table, tenant)
        with tempfile.TemporaryFile() as lines:
            left_out: Counter[str] = Counter()
            try:
                selection = self._select(policy, lines, left_out, self._read(tenant, most, until, left_out))
            except OSError as error:
                if error.errno != ENOSPC:
                    raise
                raise TooLarge("The texts of all usable data points are more than the disk here holds.") from error
            return self._write(tenant, policy, selection, lines, created_at)

    def take_of(self, tenant: Tenant, points: Sequence[DataPoint], created_at: str) -> Snapshot:
        """Of these points, which somebody chose: none is left out for its quality."""
        policy = replace(data_policy(self.table, tenant), min_quality=0)
        with tempfile.TemporaryFile() as lines:
            selection = self._select(policy, lines, Counter(), [(point, 1.0) for point in points])
            return self._write(tenant, policy, selection, lines, created_at)

    def load(self, tenant: Tenant, id: str) -> Snapshot:
        item = self.table.get(tenant.pk(Kind.SNAPSHOT, id), "body")
        if item is None:
            raise NotFound(f"There is no snapshot {id}.")
        return Snapshot(id, item["rows"], self._keys(tenant, id))

    def link(self, tenant: Tenant, snapshot_id: str, job_id: str) -> None:
        """Note that a job trains on a snapshot; a note of one that never came to be does no harm."""
        self.table.put({"pk": tenant.pk(Kind.SNAPSHOT, snapshot_id), "sk": f"job#{job_id}", "job_id": job_id})

    def jobs(self, tenant: Tenant, snapshot_id: str) -> list[str]:
        items = self.table.query(tenant.pk(Kind.SNAPSHOT, snapshot_id))
        return sorted(item["job_id"] for item in items if item["sk"].startswith("job#"))

    def jobs_on(self, tenant: Tenant, snapshot_ids: Sequence[str]) -> list[str]:
        """Of any of these."""
        with ThreadPoolExecutor(_LOOKERS) as pool:
            return sorted({job for jobs in pool.map(lambda id: self.jobs(tenant, id), snapshot_ids) for job in jobs})

    def holding(self, tenant: Tenant, point_id: str, since: str) -> list[str]:
        """The snapshots that hold a data point, of those taken at or after `since`, the newest first."""
        found = [item["id"] for item in self._taken_since(tenant, since)]
        with ThreadPoolExecutor(_LOOKERS) as pool:
            held = list(pool.map(lambda id: self.holds(tenant, id, point_id), found))
        return [id for id, yes in zip(found, held, strict=True) if yes]

    def holds(self, tenant: Tenant, snapshot_id: str, point_id: str) -> bool:
        """By one read where an id of its digits should stand, then by halving the sorted file.

        A snapshot from before there was such a file is asked for its manifest.
        """
        key = tenant.prefix("snapshots", snapshot_id, "ids.txt")
        try:
            low, high = 0, self.store.size(key) // LINE
        except NotFound:
            manifest = self.store.get_json(tenant.prefix("snapshots", snapshot_id, "manifest.json"))
            return point_id in manifest["data_points"]
        wanted, middle = point_id.encode(), int(_share(point_id) * high)
        while low < high:
            first = max(low, middle - _NEAR)
            ids = self.store.part(key, first * LINE, min(high, middle + _NEAR) * LINE).split()
            if ids[0] <= wanted <= ids[-1]:
                return wanted in ids
            low, high = (low, first) if wanted < ids[0] else (min(high, middle + _NEAR), high)
            middle = (low + high) // 2
        return False

    def _taken_since(self, tenant: Tenant, since: str) -> Iterator[dict[str, Any]]:
        for items in self.table.pages(tenant.pk(Kind.SNAPSHOT), between=(since or "0", "9")):
            yield from items

    @staticmethod
    def _select(
        policy: DataPolicy, lines: IO[bytes], left_out: Counter[str], points: Iterable[tuple[DataPoint, float]]
    ) -> Selection:
        selection, clusters = Selection(left_out=left_out), Clusters()
        best: dict[bytes, _Candidate] = {}
        for point, quality in points:
            if point.origin is not Origin.NEGATIVE and quality < policy.min_quality:
                selection.left_out["below_quality"] += 1
                continue
            key = _key(point)
            other = best.get(key)
            if other is not None:
                selection.left_out["same_source"] += 1
            if other is None or _rank(point) > other.rank:
                line = _line(point)
                at = lines.tell()
                lines.write(line)
                text = other.text if other else clusters.add(point.source)
                split = split_of(point.source)
                best[key] = _Candidate(point.id, _rank(point), quality, split, at, len(line), text)
        kept = _without_leaks(sorted(best.values(), key=lambda c: c.id), clusters.join(), selection.left_out)
        if not policy.near_duplicates:
            kept = _best_of_each(kept, clusters.join(), selection.left_out)
        selection.points = kept
        return selection

    def _read(
        self, tenant: Tenant, most: int, until: str | None, left_out: Counter[str]
    ) -> Iterator[tuple[DataPoint, float]]:
        """Every point that may train, with its quality; what had not been assessed is, on the way."""
        between, looked, read = ("0", f"{until}$") if until else None, 0, 0  # "$" comes after "#", which ends the time
        with ThreadPoolExecutor(_READERS) as pool:
            for items in self.table.pages(tenant.pk(Kind.DATA_POINT), between):
                usable = [item for item in items if Origin(item["origin"]).trains]
                left_out["answers"] += len(items) - len(usable)
                looked, read = looked + len(items), read + len(usable)
                if read > most or looked > _BESIDE * most:
                    raise TooLarge(f"There are more than {most:,} data points; no more are read for one snapshot.")
                for at in range(0, len(usable), MAX_PAGE):
                    yield from self._rated(tenant, usable[at : at + MAX_PAGE], pool)

    def _rated(self, tenant: Tenant, items: list[Item], pool: ThreadPoolExecutor) -> Iterator[tuple[DataPoint, float]]:
        found = pool.submit(Index(self.table).assessed, tenant, [item["id"] for item in items])
        points = self.corpus.read_all(items, pool)
        known = found.result()
        for point in filter(None, points):
            told = known.get(point.id)
            yield point, told.quality if told else assess(point.source, point.target).score

    def _write(
        self, tenant: Tenant, policy: DataPolicy, selection: Selection, lines: IO[bytes], created_at: str
    ) -> Snapshot:
        ids = [candidate.id for candidate in selection.points]
        id = "sn" + hashlib.sha256("\n".join(ids).encode()).hexdigest()[:20]
        keys = self._keys(tenant, id)
        parts: dict[Split, list[_Candidate]] = {split: [] for split in SPLITS}
        for candidate in selection.points:
            parts[candidate.split].append(candidate)
        hashes = {
            split: self.store.write(keys[split] + "data.jsonl", _lines(parts[split], lines)).sha256 for split in SPLITS
        }
        rows = {split: len(parts[split]) for split in SPLITS}
        listed = self.store.write(tenant.prefix("snapshots", id, "ids.txt"), _listing(ids))
        manifest = {
            "id": id,
            "rows": rows,
            "sha256": hashes | {"ids": listed.sha256},
            "data_points": len(ids),
            "left_out": dict(sorted(selection.left_out.items())),
            "policy": asdict(policy) | {"consent": None},
            "code": code(),
        }
        self.store.put_json(tenant.prefix("snapshots", id, "manifest.json"), manifest)
        self.table.put_new(
            {
                "pk": tenant.pk(Kind.SNAPSHOT, id),
                "sk": "body",
                "list_pk": tenant.pk(Kind.SNAPSHOT),
                "list_sk": f"{created_at}#{id}",
                "id": id,
                "rows": rows,
                "sha256": hashes,
                "created_at": created_at,
            }
        )
        return Snapshot(id, rows, keys)

    @staticmethod
    def _keys(tenant: Tenant, id: str) -> dict[Split, str]:
        return {split: tenant.prefix("snapshots", id, split) + "/" for split in SPLITS}


_NEAR = 512
"""Lines to either side that one read of ids.txt takes: of 500,000 ids 6 of 7 stand within so many of their place."""


def _share(point_id: str) -> float:
    """Where among ids, which are hashes, this one stands, in [0, 1)."""
    try:
        return int(point_id[2:10], 16) / 16**8
    except ValueError:
        return 0.5


@cache
def code() -> str:
    """SHA-256 over the source of what decides which points train."""
    digest = hashlib.sha256()
    for name in ("datapoints", "quality", "similar", "snapshots"):
        digest.update((resources.files(__package__) / f"{name}.py").read_bytes())
    return digest.hexdigest()


def _key(point: DataPoint) -> bytes:
    """Two points with one key answer the same question; a negative is a question of its own."""
    kind = [point.target] if point.origin is Origin.NEGATIVE else []
    said = [part for turn in point.context for part in (turn.role, turn.text)]
    return hashlib.sha256(orjson.dumps([point.source, kind, said])).digest()[:16]


def _rank(point: DataPoint) -> tuple[int, str, str]:
    return (_RANK.get(point.origin, 1), point.created_at, point.id)


def _line(point: DataPoint) -> bytes:
    row: dict[str, Any] = {"id": point.id, "source": point.source, "target": point.target}
    if point.rejected is not None:
        row["rejected"] = point.rejected
    if point.context:
        row["context"] = [{"role": turn.role, "content": turn.text} for turn in point.context]
    if point.origin is Origin.NEGATIVE:
        row["label"] = False
    return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


def _without_leaks(found: list[_Candidate], cluster: list[int], left_out: Counter[str]) -> list[_Candidate]:
    """A cluster that reaches into the test split is in no other, one that reaches into validation not in training."""
    strictest: dict[int, int] = {}
    for candidate in found:
        root = cluster[candidate.text]
        strictest[root] = max(strictest.get(root, 0), SPLITS.index(candidate.split))
    kept = [c for c in found if SPLITS.index(c.split) == strictest[cluster[c.text]]]
    for candidate in found:
        if SPLITS.index(candidate.split) < strictest[cluster[candidate.text]]:
            left_out[f"leaking_from_{candidate.split}"] += 1
    return kept


def _best_of_each(found: list[_Candidate], cluster: list[int], left_out: Counter[str]) -> list[_Candidate]:
    best: dict[int, _Candidate] = {}
    for candidate in found:
        other = best.get(cluster[candidate.text])
        if other is None or (candidate.rank[0], candidate.quality) > (other.rank[0], other.quality):
            best[cluster[candidate.text]] = candidate
    left_out["near_duplicates"] += len(found) - len(best)
    return sorted(best.values(), key=lambda candidate: candidate.id)


def _lines(part: Sequence[_Candidate], lines: IO[bytes]) -> Iterator[bytes]:
    for candidate in part:
        lines.seek(candidate.at)
        yield lines.read(candidate.length)


def _listing(ids: Sequence[str]) -> Iterator[bytes]:
    for at in range(0, len(ids), _CHUNK // LINE):
        yield b"".join(id.ljust(LINE - 1).encode() + b"\n" for id in ids[at : at + _CHUNK // LINE])
