"""``python -m services.queue``"""

from services.common import runtime
from services.queue.app import start
from services.queue.config import QueueSettings

if __name__ == "__main__":
    runtime.run("queue", QueueSettings, start)
