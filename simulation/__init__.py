"""A simulated population to test the detector in: people, crowds that only look coordinated, and operators' accounts.

Every account acts at times of its own (sessions by daily rhythm, posts in them that bring about posts), chooses what it
does, and whom or what it does it to. Each account by itself is a person in distribution: an operator replaces which
link, target or moment, never whether or how often, so that only joint behaviour and the text can give a campaign away.
Crude operators break that rule on purpose (`botnet-classic`).

In: a preset or a TOML file (`files`, `population_config`) and a seed. Out: chunks of events in order of time (`world`),
rendered as the contract's JSON lines and the truth about every account (`output`). `cli` is `swarmlight simulate`.
"""
