"""Every answered contact, exactly once, in a database of yours.     python answered.py nats://127.0.0.1:4222 answered.db"""

import asyncio
import sqlite3
import sys

import nats
from peyvand.queue.v1.events_pb2 import AgentBridged


async def main(url: str, path: str) -> None:
    db = sqlite3.connect(path)
    db.execute("create table if not exists answered (id primary key, contact, agent, wait_ms)")
    subject, durable = "cc.v1.evt.*.queue.contact.bridged", "example-answered-py"
    connection = await nats.connect(url, max_reconnect_attempts=-1, inbox_prefix=f"_INBOX_{durable}")
    consumer = await connection.jetstream().pull_subscribe(subject, durable, stream="CC_EVENTS")
    while True:
        try:
            messages = await consumer.fetch(100, timeout=5)
        except nats.errors.Error:  # nothing new, or the server is away: nats-py reconnects by itself
            await asyncio.sleep(0.1)
            continue
        for message in messages:
            fact = AgentBridged.FromString(message.data)
            row = (message.headers["ce-id"], fact.contact_id, fact.agent_id, fact.wait_ms)
            with db:  # the id goes with the effect, in one transaction; only then the fact is acknowledged
                new = db.execute("insert or ignore into answered values (?, ?, ?, ?)", row).rowcount
            if new:
                print(*row, flush=True)
            await message.ack()


asyncio.run(main(*sys.argv[1:]))
