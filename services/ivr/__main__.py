"""python -m services.ivr"""

from services.common import runtime
from services.ivr.app import start
from services.ivr.config import IvrSettings

if __name__ == "__main__":
    runtime.run("ivr", IvrSettings, start)
