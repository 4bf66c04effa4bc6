"""The records that cross a process or a file, and how they are read and written."""
