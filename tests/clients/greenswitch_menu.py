"""A menu of three levels as greenswitch's own documentation would have it: ``greenswitch_menu PORT``. Runs until it is ended."""

import sys

import gevent
import greenswitch


class Menu:
    """One call."""

    def __init__(self, session):
        self.session = session

    def run(self):
        call = self.session
        call.connect()
        call.myevents()
        for level in ("one", "two", "three"):
            call.play_and_get_digits(
                1,
                1,
                3,
                5000,
                "#",
                f"/sounds/menu-{level}.wav",
                "/sounds/invalid.wav",
                "choice",
                "[1-3]",
                2000,
                "",
            )
        call.call_command("multiset", "^^;cc_queue=sales;cc_priority=0;cc_language=en;cc_state=handover")
        call.send("exit")


server = greenswitch.OutboundESLServer(
    bind_address="127.0.0.1", bind_port=int(sys.argv[1]), application=Menu, max_connections=500
)
gevent.spawn(server.listen)
gevent.sleep(0.3)
print("listening", flush=True)
gevent.wait()
