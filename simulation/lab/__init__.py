"""The policy lab: what a platform could do about what is posted on it, tried on simulated posters before it is done.

`outrage_platform` is the reward platform of Rowe's experiment as a Gymnasium environment, which `environments` makes
known to Gymnasium. `polarity_training` lets posters learn on it by `ppo` (or `polarity_reference`), and
`polarity_report` holds what they posted against the published figures. `moderator` learns to set `reach_prices` in
`poster_societies`; `moderator_trial` tries it on posters it has not met, and `moderator_report` draws the frontier.
`finished` keeps what is done of a long run. Policies against campaigns begin at `interventions`. `cli` has the commands
`swarmlight lab`. Everything is drawn from the seeds that are given. Needs the extra `lab`.
"""
