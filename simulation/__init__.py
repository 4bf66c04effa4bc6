"""A society to test in: people, crowds that only look coordinated, and operators who drive accounts with a model.

How it works: every account acts at times of its own (sittings by daily rhythm, posts in them begetting posts), chooses
what it does, and whom or what it does it to. **Each account by itself is a person in distribution**: an operator
replaces *which* link, target or moment, never *whether* or *how often*, so that nothing but joint behaviour (and the
text) can give a campaign away. Crude operators break that rule on purpose (`botnet-classic`).

In: a preset or a `society.toml` (`settings`), a seed. Out: chunks of events in time order (`society`), rendered as the
contract's JSON lines (`render`), and the truth about every account (`truth`). `command` is `swarmlight simulate`.
"""
