"""Outputs of a flow that a switch may leave without an answer: the flow has to go on all the same."""

MUTE = [
    "PlayPrompt",
    "SayText",
    "SpeakText",
    "HearCaller",
    "RecordMessage",
    "RecordAnswer",
    "LookAtQueue",
    "LookAtAgent",
    "SendRequest",
    "Transfer",
    "HandOver",
]
