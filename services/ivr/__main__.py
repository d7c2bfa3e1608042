"""python -m services.ivr: the service. With a command: what people do with flows at a desk.

python -m services.ivr check FILE...             every fault as file:line: path: message; exit 1 when there is one
python -m services.ivr draw FILE [--out FOLDER]  an SVG picture of each flow
python -m services.ivr try FILE TABLE...         the calls of a table: what is done, heard, and where it ends
python -m services.ivr schema [--flow]           JSON Schema for editors
"""

import sys

import uvloop

from services.common import runtime
from services.ivr.app import start
from services.ivr.config import IvrSettings
from services.ivr.tools import cli

if __name__ == "__main__":
    if len(sys.argv) > 1:
        sys.exit(cli.main(sys.argv[1:]))
    # A call is some twenty timers, reads and writes with little between them: on this loop it takes a tenth less (services/adr/0060).
    runtime.run("ivr", IvrSettings, start, loop_factory=uvloop.new_event_loop)
