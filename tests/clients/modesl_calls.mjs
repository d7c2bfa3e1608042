// npm modesl: `inbound HOST PORT PASSWORD DIAL` places a call and ends it, `outbound PORT` answers one. One line of JSON at the end.
import { createRequire } from "node:module";

const esl = createRequire(import.meta.url)("modesl");
const [mode, ...args] = process.argv.slice(2);
const say = (value) => console.log(JSON.stringify(value));

if (mode === "inbound") {
  const [host, port, password, dial] = args;
  const seen = {};
  const call = new esl.Connection(host, Number(port), password, () => {
    call.api("status", (status) => { seen.status = status.getBody().split(" ")[0]; });
    call.subscribe(["CHANNEL_ANSWER", "CHANNEL_HANGUP_COMPLETE", "BACKGROUND_JOB"], () => {
      call.bgapi(`originate {origination_uuid=modesl-1}${dial} &park()`, (job) => {
        seen.job = job.getBody().trim();
        call.api("uuid_kill modesl-1 CALL_REJECTED", () => {});
      });
    });
  });
  call.on("esl::event::CHANNEL_ANSWER::modesl-1", (event) => { seen.answered = event.getHeader("Unique-ID"); });
  call.on("esl::event::CHANNEL_HANGUP_COMPLETE::modesl-1", (event) => {
    seen.cause = event.getHeader("Hangup-Cause");
    say(seen);
    process.exit(0);
  });
} else {
  const server = new esl.Server({ port: Number(args[0]), host: "127.0.0.1", myevents: true }, () => say("listening"));
  server.on("connection::ready", (call, id) => {
    const seen = { uuid: call.getInfo().getHeader("Unique-ID") };
    call.execute("answer", "", () => {
      call.execute("playback", "silence_stream://200", (done) => {
        seen.played = done.getHeader("Application-Response");
        call.execute("hangup", "USER_BUSY");
      });
    });
    call.on("esl::event::CHANNEL_HANGUP::*", (event) => {
      seen.cause = event.getHeader("Hangup-Cause");
      say(seen);
      process.exit(0);
    });
  });
}
