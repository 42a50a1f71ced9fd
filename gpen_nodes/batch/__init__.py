"""Jobs of many pictures: planned, resumed, overlapped, and delivered whole."""

from __future__ import annotations

from .checks import check_plan, check_room
from .cluster import Workers, cluster, on_workers, worker_name
from .deliver import Delivery
from .manifest import Manifest, Record, manifest_path, settings_key
from .overlap import Steps, overlapped
from .plan import Job, Shard, names_file, plan_jobs
from .restoring import Engine, Restoring, StoppableHost
from .results import Outcome, Restored, failed, notes_on
from .search import Pictures, find_pictures, named_and_counted
from .signals import signals_interrupt
from .stores import Store, StoreDelivery, is_address, is_safe_name, object_key

__all__ = [
    "Delivery",
    "Engine",
    "Job",
    "Manifest",
    "Outcome",
    "Pictures",
    "Record",
    "Restored",
    "Restoring",
    "Shard",
    "Steps",
    "StoppableHost",
    "Store",
    "StoreDelivery",
    "Workers",
    "check_plan",
    "check_room",
    "cluster",
    "failed",
    "find_pictures",
    "is_address",
    "is_safe_name",
    "manifest_path",
    "named_and_counted",
    "names_file",
    "notes_on",
    "object_key",
    "on_workers",
    "overlapped",
    "plan_jobs",
    "settings_key",
    "signals_interrupt",
    "worker_name",
]
