"""The join door: calls with one idempotency key share one call upstream."""
