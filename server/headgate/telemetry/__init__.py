"""What the metrics port shows: counters, gauges and one page of state.

The faces, the upstream and the turnstile are given something that listens; everything else is
read where it stands, when somebody asks. `family`, `samples` and `page` know no gRPC: a
supervisor, which has none, shows with them what its workers say.
"""
