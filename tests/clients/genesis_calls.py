"""PyPI genesis: ``inbound HOST PORT PASSWORD DIAL`` places a call and ends it, ``outbound PORT`` answers one. JSON at the end."""

import asyncio
import json
import sys


def say(value):
    print(json.dumps(value), flush=True)


def one(value):
    """genesis makes a list of a header that FreeSWITCH repeats (Hangup-Cause)."""
    return value[0] if isinstance(value, list) else value


async def inbound(host, port, password, dial):
    from genesis import Inbound

    async with Inbound(host, int(port), password) as client:
        seen = {"status": (await client.send("api status")).body.split(" ")[0]}
        job, over = asyncio.Event(), asyncio.Event()

        async def answered(event):
            if event["Unique-ID"] == "genesis-1":
                seen["answered"] = event["Unique-ID"]

        async def done(event):
            seen["job"] = event.body.strip()
            job.set()

        async def ended(event):
            if event["Unique-ID"] == "genesis-1":
                seen["cause"] = one(event["Hangup-Cause"])
                over.set()

        client.on("CHANNEL_ANSWER", answered)
        client.on("BACKGROUND_JOB", done)
        client.on("CHANNEL_HANGUP_COMPLETE", ended)
        await client.send("events plain CHANNEL_ANSWER CHANNEL_HANGUP_COMPLETE BACKGROUND_JOB")
        await client.send(f"bgapi originate {{origination_uuid=genesis-1}}{dial} &park()")
        await asyncio.wait_for(job.wait(), 10)
        await client.send("api uuid_kill genesis-1 CALL_REJECTED")
        await asyncio.wait_for(over.wait(), 10)
        say(seen)


async def outbound(port):
    from genesis import Outbound

    finished = asyncio.Event()

    async def handle(session):
        seen = {"uuid": session.uuid}
        over = asyncio.Event()

        async def ended(event):
            seen["cause"] = one(event["Hangup-Cause"])
            over.set()

        played = asyncio.Event()

        async def completed(event):
            if event["Application"] == "playback":
                seen["played"] = event["Application-Response"]
                played.set()

        session.on("CHANNEL_HANGUP", ended)
        session.on("CHANNEL_EXECUTE_COMPLETE", completed)
        await session.sendmsg("execute", "answer")
        await session.sendmsg("execute", "playback", "silence_stream://200")
        await asyncio.wait_for(played.wait(), 10)
        await session.sendmsg("execute", "hangup", "USER_BUSY")
        await asyncio.wait_for(over.wait(), 10)
        say(seen)
        finished.set()

    server = Outbound(handle, "127.0.0.1", int(port))
    await server.start(block=False)
    say("listening")
    await finished.wait()


asyncio.run((inbound if sys.argv[1] == "inbound" else outbound)(*sys.argv[2:]))
