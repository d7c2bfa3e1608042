"""``python -m services.simswitch``: run one simulated FreeSWITCH."""

from services.common import runtime
from services.simswitch.app import start
from services.simswitch.config import SimswitchSettings

if __name__ == "__main__":
    runtime.run("simswitch", SimswitchSettings, start)
