"""``python -m services.recording``"""

from services.common import runtime
from services.recording.app import start
from services.recording.config import RecordingSettings

if __name__ == "__main__":
    runtime.run("recording", RecordingSettings, start)
