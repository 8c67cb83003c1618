"""The throttle: when the next attempt may start, and whose it is."""
