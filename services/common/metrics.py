"""Metrics that every process has, each declared once with what to do about it. Services declare their own beside their app."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

# A message nobody could decode or handle. Anything above zero: look at the dead letters (`make letters`).
BUS_DEAD_LETTERS = Counter(
    "peyvand_bus_dead_letters_total", "Messages put aside as dead letters", ["consumer", "reason"]
)
# Dead letters that were replayed and handled. Those that failed again are counted as dead letters once more.
BUS_REPLAYED = Counter("peyvand_bus_replayed_total", "Replayed dead letters that were handled", ["consumer"])
# Publish attempts that had to be repeated. A burst is a leader election; a steady rate is a NATS cluster in trouble.
BUS_RETRIES = Counter("peyvand_bus_publish_retries_total", "Publish attempts that were repeated")
# Seconds from append to the server's confirmation. Rises with a slow disk of NATS.
BUS_APPEND_S = Histogram(
    "peyvand_bus_append_seconds",
    "Seconds until an append was confirmed",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10),
)
# Shards this process owns. The sum over all copies of a service must equal the number of shards.
SHARDS_OWNED = Gauge("peyvand_shards_owned", "Shards this process owns", ["service"])

# Tasks of the event loop, counted when the metrics are read. Follows the calls in progress; a rise without them is a leak.
TASKS = Gauge("peyvand_asyncio_tasks", "Tasks of the event loop")

# Events read from FreeSWITCH. Zero for minutes with calls in progress: the subscription is lost.
ESL_EVENTS = Counter("peyvand_esl_events_total", "Events read from FreeSWITCH", ["node"])
# Connections made. A rising rate: the node restarts, refuses us, or the network is bad.
ESL_CONNECTS = Counter("peyvand_esl_connects_total", "Connections made to FreeSWITCH", ["node"])
# We closed our own socket because handlers were too slow. Never normal: this process needs more CPU or less work.
ESL_BACKLOG_CLOSES = Counter(
    "peyvand_esl_backlog_closes_total", "Own sockets closed because the backlog was full", ["node"]
)
# Frames that made no sense. Anything above zero: capture the stream and report it.
ESL_MALFORMED = Counter("peyvand_esl_malformed_total", "Malformed frames or events", ["node"])
# 1 while the event connection is up.
ESL_UP = Gauge("peyvand_esl_up", "1 while the event connection of the node is up", ["node"])
# Connections that could not be made or were lost, by kind: no_listener and closed while a node restarts; denied and rejected want
# its configuration; silent: it is frozen, or the network is; unreachable: the network says so; backlog: our own CPU.
ESL_FAILURES = Counter(
    "peyvand_esl_failures_total", "Connections not made or lost, by kind", ["node", "kind"]
)
