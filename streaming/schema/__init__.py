"""Every record that crosses a process or a file, as a msgspec Struct, and how it is read and written.

Events come in (`event`), observations go through the log (`observation`), alerts with their details pages (`alert`),
account scores (`score`), dead letters (`dead_letter`) and the summary of a run (`run_summary`) come out, decisions of
moderators come back (`feedback`), and what follows from them is told to programs of the platform (`action`). Readers
ignore unknown fields. `entities` brings links and names to one spelling, `detector.times` does so with times. `export`
writes the JSON Schema of each record to `docs/reference/schema/`.
"""
