"""The centers' documents: models, loading and checking, watching, number prompts. No process of its own.

Every service may import this package outside its core; a core takes small structs of its own. The exceptions are ``outside``, which is
a core itself (ivr and queue choose trunks by the same rules), and ``phrases``, by which documents are checked and callers understood alike.
"""

from services.center.check import asking_prompts
from services.center.live import RunningCenters, open_centers
from services.center.loader import CenterError, CenterSet, Fault, load, load_files, prompt_file
from services.center.model import Agent, Center, EntryPoint, Flow, Queue
from services.center.watch import CenterWatch

__all__ = [
    "Agent",
    "Center",
    "CenterError",
    "CenterSet",
    "CenterWatch",
    "EntryPoint",
    "Fault",
    "Flow",
    "Queue",
    "RunningCenters",
    "asking_prompts",
    "load",
    "load_files",
    "open_centers",
    "prompt_file",
]
