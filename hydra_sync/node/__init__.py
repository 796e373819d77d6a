"""A member's node: its own log, replicas of the others', and connections to serve and fetch them."""

from hydra_sync.node.events import Event
from hydra_sync.node.explaining import explain, explain_start
from hydra_sync.node.node import Delivery, Node, create_store, open_node
from hydra_sync.node.offline import open_read_only, replicas
from hydra_sync.node.recovering import record_loss, recover_store
from hydra_sync.node.seams import Seams
from hydra_sync.node.status import LogStatus, MemberStatus, StartStatus, Status

__all__ = [
    "Delivery",
    "Event",
    "LogStatus",
    "MemberStatus",
    "Node",
    "Seams",
    "StartStatus",
    "Status",
    "create_store",
    "explain",
    "explain_start",
    "open_node",
    "open_read_only",
    "record_loss",
    "recover_store",
    "replicas",
]
