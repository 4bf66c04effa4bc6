"""The moderators' feed: where a person meets an alert, understands it, decides, and is heard.

Alerts come in from the topics `alerts` and `alert-details` or from files (`sources`, `ingest`), lie in a database
(`schema`, `database`), are listed, claimed and decided (`queue`, `claims`, `decisions`, `bulk`), and decisions go
out to the topic `feedback` or a file (`outbox`, `feedback`). Around that stand who may do what (`roles`, `users`,
`sessions`, `tokens`), what was done (`audit`), and two faces of the same functions: `api` for programs and `console`
for people.
"""
