"""Several processes on one port: a supervisor that serves nothing itself, and its workers."""
