"""The schedule in Redis or Valkey, for replicas that share one limit."""

from headgate.redis_ledger.ledger import RedisLedger

__all__ = ["RedisLedger"]
