// npm esl: `inbound HOST PORT PASSWORD DIAL` places a call and ends it, `outbound PORT` answers one. One line of JSON at the end.
import { FreeSwitchClient, FreeSwitchServer, once } from "esl";

const [mode, ...args] = process.argv.slice(2);
const say = (value) => console.log(JSON.stringify(value));
const logger = { debug() {}, info() {}, error: console.error };

if (mode === "inbound") {
  const [host, port, password, dial] = args;
  const client = new FreeSwitchClient({ host, port: Number(port), password, logger });
  const connected = once(client, "connect");
  await client.connect();
  const [call] = await connected;
  const seen = { status: (await call.api("status")).body.split(" ")[0] };
  await call.event_json("CHANNEL_ANSWER", "CHANNEL_HANGUP_COMPLETE", "BACKGROUND_JOB");
  const answered = call.onceAsync("CHANNEL_ANSWER", 10000, "the answer");
  const over = call.onceAsync("CHANNEL_HANGUP_COMPLETE", 10000, "the end");
  const job = await call.bgapi(`originate {origination_uuid=esl-1}${dial} &park()`);
  seen.job = job.body._body.trim();
  seen.answered = (await answered).body["Unique-ID"];
  await call.api("uuid_kill esl-1 CALL_REJECTED");
  seen.cause = (await over).body["Hangup-Cause"];
  say(seen);
  await client.end();
  process.exit(0);
} else {
  const server = new FreeSwitchServer({ all_events: false, logger });
  server.on("connection", async (call, { uuid, data }) => {
    const seen = { uuid };
    call.on("CHANNEL_HANGUP", (event) => {
      seen.cause = event.body["Hangup-Cause"];
      say(seen);
      process.exit(0);
    });
    await call.event_json("CHANNEL_EXECUTE_COMPLETE", "CHANNEL_HANGUP");
    await call.command("answer");
    const done = await call.command("playback", "silence_stream://200");
    seen.played = done.body["Application-Response"];
    await call.hangup("USER_BUSY");
  });
  server.on("error", (error) => console.error(error));
  await server.listen({ host: "127.0.0.1", port: Number(args[0]) });
  say("listening");
}
