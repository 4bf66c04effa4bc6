"""The moderators' feed: a web service in which people read alerts, claim them and decide on them.

Alerts come in from the topics `alerts` and `alert-details` or from files (`sources`, `ingest`) and are kept in a
database (`db`). People list and claim them (`queue`), read one with its details (`cases`) and decide (`decisions`);
decisions leave through `outbox` for the topic `feedback` or a file. `permissions`, `users` and `auth` say who may do
what, `audit` records what was done, `privacy` removes an account. `app` serves it all: `api` to programs, `web` to
browsers, `live` to both, behind `middleware` and `rate_limits`. `cli` is the command `swarmlight feed`.
"""
