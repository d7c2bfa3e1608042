// Every answered contact, exactly once, in a file of yours.     node answered.mjs nats://127.0.0.1:4222 answered.jsonl
import fs from "node:fs";
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import protobuf from "protobufjs";

const [url, path] = process.argv.slice(2);
const proto = new URL("../peyvand/queue/v1/events.proto", import.meta.url).pathname;
const AgentBridged = (await protobuf.load(proto)).lookupType("peyvand.queue.v1.AgentBridged");

// What a crash left of a line is cut off: its fact was not acknowledged and comes again.
const whole = fs.existsSync(path) ? fs.readFileSync(path, "utf8").replace(/[^\n]*$/, "") : "";
fs.writeFileSync(path, whole);
const done = new Set(whole.split("\n").filter(Boolean).map((line) => JSON.parse(line).id));

const [stream, durable] = ["CC_EVENTS", "example-answered-js"];
const { host: servers, username: user, password: pass } = new URL(url);
const options = user ? { servers, user, pass } : { servers };
const connection = await connect({ ...options, maxReconnectAttempts: -1, inboxPrefix: `_INBOX_${durable}` });
const manager = await jetstreamManager(connection, { checkAPI: false });
const filter = { filter_subject: "cc.v1.evt.*.queue.contact.bridged", ack_policy: AckPolicy.Explicit };
await manager.consumers.add(stream, { durable_name: durable, ...filter });
const consumer = await jetstream(connection, { checkAPI: false }).consumers.get(stream, durable);
for await (const message of await consumer.consume()) {
  const [id, fact] = [message.headers.get("ce-id"), AgentBridged.decode(message.data)];
  if (!done.has(id)) { // the id goes with the effect, in one line; only then the fact is acknowledged
    const line = JSON.stringify({ id, contact: fact.contactId, agent: fact.agentId, wait_ms: Number(fact.waitMs) });
    fs.appendFileSync(path, line + "\n", { flush: true });
    done.add(id);
    console.log(line);
  }
  message.ack();
}
