"""The demo: a small broker, a stream with planted campaigns, the worker, and a panel that shows what it finds.

`stream` is the preset `demo` acted out, with its truth; `processes` starts the broker, the worker and the console and
plays the stream; `panel` knows and draws what the alerts say; `run` is `swarmlight demo`, which starts and ends it all.
"""
