//! Calls a headgate, the gRPC front door of a chat-completion HTTP API.
//!
//! [`Client`] streams text, keeps the channel options that all of headgate's clients share, and
//! turns every failure into an [`Error`] that says why and when to try again.
//! It does not throttle: the gateway does.
//! It retries what gRPC's service config lets it retry: UNAVAILABLE, before an answer has begun.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use headgate_client::{ChatRequest, Client};
//!
//! let client = Client::new("127.0.0.1:50051")?;
//! let mut answer = client.stream_chat(ChatRequest::from("Tell me a story")).await?.into_text();
//! while let Some(piece) = answer.next().await {
//!     print!("{}", piece?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Dropping a call's future or stream cancels the call, and the gateway stops the upstream.

mod client;
mod defaults;
mod error;
mod message;
mod retry;
mod stream;
mod transport;

/// The contract, generated from `headgate/v1/chat.proto`, whose comments are the manual.
pub mod v1 {
    #![allow(missing_docs, clippy::doc_lazy_continuation)]
    tonic::include_proto!("headgate.v1");
}

pub use client::{Client, ClientBuilder, ConfigError, DEFAULT_TARGET};
pub use error::{code_name, Error, FieldViolation};
pub use stream::{ChatStream, TextStream};
pub use transport::Transport;
pub use v1::chat_service_client::ChatServiceClient;
pub use v1::stream_chat_response::Event;
pub use v1::{ChatMessage, ChatRequest, ChatResponse, ErrorReason, Role};

pub use prost_types;
pub use tonic;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
