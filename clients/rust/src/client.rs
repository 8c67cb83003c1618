//! The client: a channel with the project's defaults, and the calls over it.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::IntoRequest;

use crate::defaults::{
    KEEPALIVE_TIME, KEEPALIVE_TIMEOUT, KEEPALIVE_WITHOUT_CALLS, MAX_RECEIVED_BYTES, MAX_SENT_BYTES,
};
use crate::retry::Throttle;
use crate::transport::Settings;
use crate::v1::{ChatRequest, ChatResponse};
use crate::{ChatServiceClient, ChatStream, Error, Transport};

/// Where a gateway listens that was not told otherwise.
pub const DEFAULT_TARGET: &str = "127.0.0.1:50051";

const USER_AGENT: &str = concat!("headgate-client-rust/", env!("CARGO_PKG_VERSION"));
/// gRPC's own value.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// What of an answer waits for a reader at most, before the gateway has to.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The largest that there is. h2 closes a connection when more small frames wait for their readers
/// than half of its window has room for, and deltas are small frames: with hyper's 5 MiB one slow
/// reader would break the streams of all others. `STREAM_WINDOW` keeps each of them bounded.
const CONNECTION_WINDOW: u32 = i32::MAX.unsigned_abs();

/// Calls a gateway over one connection; clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    stub: ChatServiceClient<Transport>,
}

impl Client {
    /// A client with a plaintext connection, or a TLS one if the target begins with `https://`.
    ///
    /// # Errors
    ///
    /// The target cannot be one.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime, to which the connection belongs.
    pub fn new(target: impl Into<String>) -> Result<Self, ConfigError> {
        Self::builder(target).connect_lazy()
    }

    /// Says more about the connection: TLS, a token, a timeout.
    ///
    /// The target is `host:port`, with `http://` or `https://` in front if you like, or
    /// `unix:/path`.
    pub fn builder(target: impl Into<String>) -> ClientBuilder {
        ClientBuilder { target: target.into(), tls: None, token: None, timeout: None }
    }

    /// Asks, and waits for the whole answer.
    ///
    /// The request is a [`ChatRequest`], or a [`tonic::Request`] of one, which has a timeout and
    /// metadata too. Dropping the future cancels the call.
    ///
    /// # Errors
    ///
    /// However the call failed.
    pub async fn chat(
        &self,
        request: impl IntoRequest<ChatRequest>,
    ) -> Result<ChatResponse, Error> {
        Ok(self.stub().chat(request).await?.into_inner())
    }

    /// Asks, and waits until the answer, or news of its place in line, begins.
    ///
    /// The request is as for [`chat`](Self::chat); its timeout covers the whole stream.
    ///
    /// # Errors
    ///
    /// However the call failed before it began; later failures are items of the stream.
    pub async fn stream_chat(
        &self,
        request: impl IntoRequest<ChatRequest>,
    ) -> Result<ChatStream, Error> {
        Ok(ChatStream::new(self.stub().stream_chat(request).await?.into_inner()))
    }

    /// The generated stub over this client's connection; [`Error::from`] reads its statuses.
    pub fn stub(&self) -> ChatServiceClient<Transport> {
        self.stub.clone()
    }
}

/// What a [`Client`] can be told about its connection.
#[derive(Clone)]
pub struct ClientBuilder {
    target: String,
    tls: Option<ClientTlsConfig>,
    token: Option<String>,
    timeout: Option<Duration>,
}

impl ClientBuilder {
    /// Makes the connection a TLS one: which authorities are trusted (`ca_certificate`,
    /// `with_native_roots`), which certificate is presented (`identity`, for mTLS), and which name
    /// the server must have (`domain_name`; without it the target's).
    #[must_use]
    pub fn tls(self, config: ClientTlsConfig) -> Self {
        Self { tls: Some(config), ..self }
    }

    /// Sends `authorization: Bearer TOKEN` with every call that has no `authorization` of its own,
    /// over a plaintext connection too.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        Self { token: Some(token.into()), ..self }
    }

    /// The time for a whole call, of calls that have no timeout of their own. Without it there is
    /// none.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// The client; it connects at its first call.
    ///
    /// # Errors
    ///
    /// The target, the TLS configuration or the token cannot be one.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime, to which the connection belongs.
    pub fn connect_lazy(self) -> Result<Client, ConfigError> {
        let endpoint = self.endpoint()?;
        let token = self.authorization()?; // before there is a connection to open
        Ok(self.client(endpoint.connect_lazy(), token))
    }

    /// The client over a channel of yours, in place of one to the target; token, timeout, retries
    /// and sizes are as ever, the rest is the channel's.
    ///
    /// # Errors
    ///
    /// The token cannot be one.
    pub fn over(self, channel: Channel) -> Result<Client, ConfigError> {
        let token = self.authorization()?;
        Ok(self.client(channel, token))
    }

    /// The target as tonic's own builder, with the defaults that all of headgate's clients share;
    /// for [`over`](Self::over), when something must differ.
    ///
    /// # Errors
    ///
    /// The target or the TLS configuration cannot be one.
    pub fn endpoint(&self) -> Result<Endpoint, ConfigError> {
        let wrong = |error: tonic::transport::Error| {
            ConfigError(format!("the target {:?}: {}", self.target, causes(&error)))
        };
        let uri = self.uri()?;
        let mut endpoint = Endpoint::from_shared(uri.clone()).map_err(wrong)?;
        if let Some(config) = self.tls_config(&uri)? {
            endpoint = endpoint.tls_config(config).map_err(wrong)?;
        }
        Ok(endpoint
            .user_agent(USER_AGENT)
            .map_err(wrong)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_TIME)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(KEEPALIVE_WITHOUT_CALLS)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            // Deltas that come after their call was cancelled are no attack by the gateway.
            .http2_max_local_error_reset_streams(None))
    }

    /// The target as tonic wants it.
    fn uri(&self) -> Result<String, ConfigError> {
        let target = self.target.strip_prefix("dns:///").unwrap_or(&self.target);
        if target.starts_with("unix:") || target.contains("://") {
            return Ok(target.to_owned());
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        Ok(format!("{scheme}://{target}"))
    }

    fn tls_config(&self, uri: &str) -> Result<Option<ClientTlsConfig>, ConfigError> {
        let https = uri.starts_with("https://");
        match &self.tls {
            Some(_) if !https => Err(ConfigError(format!(
                "the target {:?} is plaintext, but TLS was asked for; use host:port or https://",
                self.target
            ))),
            Some(config) => Ok(Some(config.clone())),
            None => Ok(https.then(|| ClientTlsConfig::new().with_native_roots())),
        }
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, ConfigError> {
        let Some(token) = &self.token else { return Ok(None) };
        let printable = token.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        let value = HeaderValue::try_from(format!("Bearer {token}"));
        match value {
            Ok(mut value) if printable && !token.is_empty() => {
                value.set_sensitive(true);
                Ok(Some(value))
            }
            _ => Err(ConfigError(
                "the token is empty or not printable ASCII; allowed is one line of it".into(),
            )),
        }
    }

    fn client(self, channel: Channel, authorization: Option<HeaderValue>) -> Client {
        let settings = Settings { authorization, timeout: self.timeout, throttle: Throttle::new() };
        let stub = ChatServiceClient::new(Transport::new(channel, settings))
            .max_decoding_message_size(MAX_RECEIVED_BYTES)
            .max_encoding_message_size(MAX_SENT_BYTES);
        Client { stub }
    }
}

impl fmt::Debug for ClientBuilder {
    /// Without what is secret: the token, and the key that the TLS configuration may hold.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("target", &self.target)
            .field("tls", &self.tls.is_some())
            .field("token", &self.token.is_some())
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// What a [`Client`] was told that cannot be; one line that says what is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

fn causes(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(causes).unwrap_or_default();
    if cause.is_empty() {
        error.to_string()
    } else {
        format!("{error}: {cause}")
    }
}
