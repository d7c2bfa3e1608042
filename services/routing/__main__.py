"""python -m services.routing"""

from services.common import runtime
from services.routing.app import start
from services.routing.config import RoutingSettings

if __name__ == "__main__":
    runtime.run("routing", RoutingSettings, start)
