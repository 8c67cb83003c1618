//! What `channel_defaults.json` and `service_config.json` say, as constants that the build makes.

use std::time::Duration;

include!(concat!(env!("OUT_DIR"), "/defaults.rs"));

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use super::*;

    fn file(name: &str) -> Value {
        let path = format!("{}/proto/{name}", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn the_channels_defaults_are_those_of_every_client() {
        let file = file("channel_defaults.json");
        let said = |name: &str| file[format!("grpc.{name}")].clone();
        assert_eq!(said("keepalive_time_ms"), json!(KEEPALIVE_TIME.as_millis() as u64));
        assert_eq!(said("keepalive_timeout_ms"), json!(KEEPALIVE_TIMEOUT.as_millis() as u64));
        let always = u8::from(KEEPALIVE_WITHOUT_CALLS);
        assert_eq!(said("keepalive_permit_without_calls"), json!(always));
        assert_eq!(said("max_receive_message_length"), json!(MAX_RECEIVED_BYTES));
        assert_eq!(said("max_send_message_length"), json!(MAX_SENT_BYTES));
        assert_eq!(said("per_rpc_retry_buffer_size"), json!(RETRY_BUFFER_BYTES));
    }

    #[test]
    fn the_retry_policy_is_that_of_every_client() {
        let config = file("service_config.json");
        let policy = json!({
            "maxAttempts": MAX_ATTEMPTS,
            "initialBackoff": format!("{}s", INITIAL_BACKOFF.as_secs_f64()),
            "maxBackoff": format!("{}s", MAX_BACKOFF.as_secs_f64()),
            "backoffMultiplier": BACKOFF_MULTIPLIER as u64,
            "retryableStatusCodes": ["UNAVAILABLE"],
        });
        assert_eq!(config["methodConfig"][0]["retryPolicy"], policy);
        let throttling = &config["retryThrottling"];
        assert_eq!(throttling["maxTokens"], json!(MAX_TOKENS / 1000));
        assert_eq!(throttling["tokenRatio"], json!(f64::from(TOKEN_RATIO) / 1000.0));
    }
}
