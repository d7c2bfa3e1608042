"""Stock greenswitch: ``inbound HOST PORT PASSWORD DIAL`` places a call and ends it, ``outbound PORT`` answers one. JSON at the end."""

import json
import sys

import gevent
import gevent.event
import greenswitch


def say(value):
    print(json.dumps(value), flush=True)


def inbound(host, port, password, dial):
    client = greenswitch.InboundESL(host=host, port=int(port), password=password)
    client.connect()
    seen = {"status": client.send("api status").data.split()[0]}
    job, over = gevent.event.Event(), gevent.event.Event()

    def answered(event):
        if event.headers["Unique-ID"] == "greenswitch-1":
            seen["answered"] = event.headers["Unique-ID"]

    def done(event):
        # greenswitch keeps a body of an event behind the header Content-Length (its own defect)
        seen["job"] = event.headers["Content-Length"].split("\n")[-1].strip()
        job.set()

    def ended(event):
        if event.headers["Unique-ID"] == "greenswitch-1":
            seen["cause"] = event.headers["Hangup-Cause"]
            over.set()

    client.register_handle("CHANNEL_ANSWER", answered)
    client.register_handle("BACKGROUND_JOB", done)
    client.register_handle("CHANNEL_HANGUP_COMPLETE", ended)
    client.send("events plain CHANNEL_ANSWER CHANNEL_HANGUP_COMPLETE BACKGROUND_JOB")
    client.send(f"bgapi originate {{origination_uuid=greenswitch-1}}{dial} &park()")
    with gevent.Timeout(10):
        job.wait()
        client.send("api uuid_kill greenswitch-1 CALL_REJECTED")
        over.wait()
    say(seen)
    client.stop()


def outbound(port):
    over = gevent.event.Event()

    class Answer:
        def __init__(self, session):
            self.session = session

        def run(self):
            call = self.session
            call.connect()
            call.myevents()
            call.linger()
            seen = {"uuid": call.uuid}
            played = gevent.event.Event()

            def ended(event):
                seen["cause"] = event.headers["Hangup-Cause"]
                say(seen)
                over.set()

            def completed(event):
                if event.headers["Application"] == "playback":
                    seen["played"] = event.headers["Application-Response"]
                    played.set()

            call.register_handle("CHANNEL_HANGUP", ended)
            call.register_handle("CHANNEL_EXECUTE_COMPLETE", completed)
            call.answer()
            # its own blocking playback is a handler of this very event, which one of ours would replace
            call.playback("silence_stream://200", block=False)
            with gevent.Timeout(10):
                played.wait()
            call.hangup("USER_BUSY")
            over.wait()

    server = greenswitch.OutboundESLServer(
        bind_address="127.0.0.1", bind_port=int(port), application=Answer, max_connections=1
    )
    gevent.spawn(server.listen)
    gevent.sleep(0.2)
    say("listening")
    with gevent.Timeout(30):
        over.wait()


(inbound if sys.argv[1] == "inbound" else outbound)(*sys.argv[2:])
