//! Generates the stub, and the constants that `proto/*.json` say; needs no protoc.

use std::error::Error;
use std::{env, fs, path::PathBuf};

use serde_json::{Map, Value};

const CONTRACT: &str = "proto/headgate/v1/chat.proto";
const CHANNEL: &str = "proto/channel_defaults.json";
const SERVICE: &str = "proto/service_config.json";

/// Channel options without a counterpart in tonic; the README says what that means.
const WITHOUT_COUNTERPART: [&str; 5] = [
    "grpc.http2.max_pings_without_data",
    "grpc.initial_reconnect_backoff_ms",
    "grpc.max_reconnect_backoff_ms",
    "grpc.dns_min_time_between_resolutions_ms",
    "grpc.enable_retries",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in [CONTRACT, CHANNEL, SERVICE] {
        println!("cargo:rerun-if-changed={file}");
    }
    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds(protox::compile([CONTRACT], ["proto"])?)?;
    let constants = [channel_defaults()?, service_config()?].concat();
    let directory = PathBuf::from(env::var("OUT_DIR")?);
    Ok(fs::write(directory.join("defaults.rs"), constants)?)
}

fn channel_defaults() -> Result<String, Box<dyn Error>> {
    let mut file = Fields::read(CHANNEL)?;
    let mut number = |name: &str| -> Result<u64, Box<dyn Error>> {
        let value = file.take(name)?;
        value.as_u64().ok_or_else(|| format!("{CHANNEL}: {name} is {value}, not a count").into())
    };
    let lines = [
        milliseconds("KEEPALIVE_TIME", number("grpc.keepalive_time_ms")?),
        milliseconds("KEEPALIVE_TIMEOUT", number("grpc.keepalive_timeout_ms")?),
        format!(
            "pub(crate) const KEEPALIVE_WITHOUT_CALLS: bool = {};\n",
            number("grpc.keepalive_permit_without_calls")? != 0
        ),
        size("MAX_RECEIVED_BYTES", number("grpc.max_receive_message_length")?),
        size("MAX_SENT_BYTES", number("grpc.max_send_message_length")?),
        size("RETRY_BUFFER_BYTES", number("grpc.per_rpc_retry_buffer_size")?),
    ];
    for name in WITHOUT_COUNTERPART {
        file.take(name)?;
    }
    file.end()?;
    Ok(lines.concat())
}

fn service_config() -> Result<String, Box<dyn Error>> {
    let mut file = Fields::read(SERVICE)?;
    let balancing = file.take("loadBalancingConfig")?;
    expect("loadBalancingConfig", &balancing, r#"[{"round_robin":{}}]"#)?;
    let mut throttling = Fields::new(file.take("retryThrottling")?)?;
    let [Value::Object(method)] = &array(file.take("methodConfig")?)?[..] else {
        return Err(format!("{SERVICE}: this client knows one methodConfig").into());
    };
    let mut method = Fields(method.clone());
    let names = method.take("name")?;
    expect("name", &names, r#"[{"service":"headgate.v1.ChatService"}]"#)?;
    let mut policy = Fields::new(method.take("retryPolicy")?)?;
    let codes = policy.take("retryableStatusCodes")?;
    expect("retryableStatusCodes", &codes, r#"["UNAVAILABLE"]"#)?;
    let lines = [
        format!("pub(crate) const MAX_ATTEMPTS: u32 = {};\n", policy.take("maxAttempts")?),
        milliseconds("INITIAL_BACKOFF", duration(&policy.take("initialBackoff")?)?),
        milliseconds("MAX_BACKOFF", duration(&policy.take("maxBackoff")?)?),
        format!(
            "pub(crate) const BACKOFF_MULTIPLIER: f64 = {:?};\n",
            float(&policy.take("backoffMultiplier")?)?
        ),
        thousandths("MAX_TOKENS", float(&throttling.take("maxTokens")?)?),
        thousandths("TOKEN_RATIO", float(&throttling.take("tokenRatio")?)?),
    ];
    for rest in [policy, method, throttling, file] {
        rest.end()?;
    }
    Ok(lines.concat())
}

/// A JSON object of which every field must be taken: a new default may not go unnoticed.
struct Fields(Map<String, Value>);

impl Fields {
    fn read(path: &str) -> Result<Self, Box<dyn Error>> {
        Self::new(serde_json::from_str(&fs::read_to_string(path)?)?)
    }

    fn new(value: Value) -> Result<Self, Box<dyn Error>> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            other => Err(format!("{other} is not an object").into()),
        }
    }

    fn take(&mut self, name: &str) -> Result<Value, String> {
        self.0.remove(name).ok_or_else(|| format!("proto/*.json: {name} is missing"))
    }

    fn end(self) -> Result<(), String> {
        match self.0.keys().next() {
            Some(name) => Err(format!("proto/*.json: this client does not know {name}")),
            None => Ok(()),
        }
    }
}

fn expect(name: &str, value: &Value, known: &str) -> Result<(), String> {
    let value = value.to_string();
    if value == known {
        return Ok(());
    }
    Err(format!("{SERVICE}: {name} is {value}; this client knows only {known}"))
}

fn array(value: Value) -> Result<Vec<Value>, String> {
    match value {
        Value::Array(items) => Ok(items),
        other => Err(format!("{SERVICE}: {other} is not a list")),
    }
}

fn float(value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("{SERVICE}: {value} is not a number"))
}

/// Milliseconds of a duration in protobuf's JSON, such as "0.2s".
fn duration(value: &Value) -> Result<u64, String> {
    let seconds = value.as_str().and_then(|text| text.strip_suffix('s')?.parse::<f64>().ok());
    let seconds = seconds.ok_or_else(|| format!("{SERVICE}: {value} is not a duration"))?;
    Ok((seconds * 1000.0).round() as u64)
}

fn milliseconds(name: &str, count: u64) -> String {
    format!("pub(crate) const {name}: Duration = Duration::from_millis({count});\n")
}

fn size(name: &str, count: u64) -> String {
    format!("pub(crate) const {name}: usize = {count};\n")
}

fn thousandths(name: &str, count: f64) -> String {
    format!("pub(crate) const {name}: u32 = {}; // thousandths\n", (count * 1000.0).round())
}
