// Code generated from protos/ by clients/typescript/generate.py. DO NOT EDIT.

export const channelDefaults = {
  "grpc.keepalive_time_ms": 30000,
  "grpc.keepalive_timeout_ms": 10000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.http2.max_pings_without_data": 0,
  "grpc.max_receive_message_length": 16777216,
  "grpc.max_send_message_length": 16777216,
  "grpc.initial_reconnect_backoff_ms": 200,
  "grpc.max_reconnect_backoff_ms": 5000,
  "grpc.dns_min_time_between_resolutions_ms": 5000,
  "grpc.enable_retries": 1,
  "grpc.per_rpc_retry_buffer_size": 4194304
} as const;

export const serviceConfig = {
  "loadBalancingConfig": [
    {
      "round_robin": {}
    }
  ],
  "retryThrottling": {
    "maxTokens": 1000,
    "tokenRatio": 0.5
  },
  "methodConfig": [
    {
      "name": [
        {
          "service": "headgate.v1.ChatService"
        }
      ],
      "retryPolicy": {
        "maxAttempts": 3,
        "initialBackoff": "0.2s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": [
          "UNAVAILABLE"
        ]
      }
    }
  ]
} as const;
