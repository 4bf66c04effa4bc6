"""Public streams, followed as they happen: `swarmlight listen`.

A source (`jetstream`, `mastodon_stream`) connects to a platform and gives its records with how far it has come.
`Listener` keeps it connected, takes out what came twice, makes post events, and hands them to a destination: a file,
Kafka, or the stages in this process. A checkpoint says where to go on, and is written only when everything before it is
safe.
"""
