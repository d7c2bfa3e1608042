"""``python -m services.reporting``"""

from services.common import runtime
from services.reporting.app import start
from services.reporting.config import ReportingSettings

if __name__ == "__main__":
    runtime.run("reporting", ReportingSettings, start)
