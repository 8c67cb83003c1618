//! A call that did not end well, and why.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_types::pb;

use crate::v1::ErrorReason;

const DOMAIN: &str = "headgate";
const POSITION_SENT: &str = "position_sent";

/// One wrong field of a request: its path in the contract, and what is allowed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FieldViolation {
    /// The field's path, such as `messages[0].role`.
    pub field: String,
    /// What is allowed.
    pub description: String,
}

/// A call that did not end well.
///
/// Facts come from google.rpc.Status (AIP-193) and, where that is missing or broken, from the
/// plain trailers `headgate-reason` and `headgate-retry-after-ms`.
/// A status that gRPC or something on the way made has a code and a message, and no reason.
#[derive(Clone, Debug)]
pub struct Error {
    status: Status,
    reason: String,
    retry_delay: Option<Duration>,
    metadata: BTreeMap<String, String>,
    violations: Vec<FieldViolation>,
}

impl Error {
    /// Reads the status of a stream that had come as far as `position` (`ChatDelta.position`):
    /// a connection that breaks after the first delta has interrupted the answer, whoever made
    /// the status.
    pub(crate) fn at(status: Status, position: i32) -> Self {
        let mut error = Self::from(status);
        let breaks = matches!(error.code(), Code::Unavailable | Code::Internal | Code::Unknown);
        if position > 0 && error.reason.is_empty() && breaks {
            error.metadata.insert(POSITION_SENT.into(), position.to_string());
        }
        error
    }

    /// The status code.
    pub fn code(&self) -> Code {
        self.status.code()
    }

    /// The status message: one line for a person.
    pub fn message(&self) -> &str {
        self.status.message()
    }

    /// Why; `Unspecified` if the gateway did not say, or said what this version does not know.
    pub fn reason(&self) -> ErrorReason {
        let name = format!("ERROR_REASON_{}", self.reason);
        ErrorReason::from_str_name(&name).unwrap_or(ErrorReason::Unspecified)
    }

    /// Why, as it came, such as "QUEUE_FULL"; empty if the gateway did not say.
    pub fn reason_name(&self) -> &str {
        &self.reason
    }

    /// After which a new try makes sense, if the gateway said.
    pub fn retry_delay(&self) -> Option<Duration> {
        self.retry_delay
    }

    /// Further facts (google.rpc.ErrorInfo), such as `cause` or `phase`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Every wrong field of the request (google.rpc.BadRequest).
    pub fn violations(&self) -> &[FieldViolation] {
        &self.violations
    }

    /// Set if the answer was cut after its first delta, by the gateway or by a broken connection:
    /// how many deltas of the upstream were sent.
    pub fn position_sent(&self) -> Option<i32> {
        self.metadata.get(POSITION_SENT)?.parse().ok().filter(|position| *position >= 0)
    }

    /// The trailing metadata as it came, `x-request-id` included.
    pub fn trailers(&self) -> &MetadataMap {
        self.status.metadata()
    }

    /// The status as it came.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// Takes in what google.rpc.Status says, unless it is not the gateway's own or broken.
    fn read_details(&mut self) {
        let Ok(said) = pb::Status::decode(self.status.details()) else { return };
        if said.code != self.code() as i32 {
            return;
        }
        for detail in &said.details {
            // One detail that cannot be read does not spoil the others.
            let _ = self.read(detail);
        }
    }

    fn read(&mut self, detail: &prost_types::Any) -> Result<(), prost::DecodeError> {
        match detail.type_url.rsplit('/').next() {
            Some("google.rpc.ErrorInfo") => {
                let info = pb::ErrorInfo::decode(&*detail.value)?;
                if info.domain == DOMAIN {
                    self.reason = info.reason;
                    self.metadata.extend(info.metadata);
                }
            }
            Some("google.rpc.RetryInfo") => {
                let delay = pb::RetryInfo::decode(&*detail.value)?.retry_delay;
                let delay = delay.and_then(|delay| Duration::try_from(delay).ok());
                self.retry_delay = delay.or(self.retry_delay);
            }
            Some("google.rpc.BadRequest") => {
                let wrong = pb::BadRequest::decode(&*detail.value)?.field_violations;
                self.violations.extend(wrong.into_iter().map(|wrong| FieldViolation {
                    field: wrong.field,
                    description: wrong.description,
                }));
            }
            _ => {}
        }
        Ok(())
    }
}

impl From<Status> for Error {
    /// Reads a status of the generated stub's.
    fn from(status: Status) -> Self {
        let plain = |name| status.metadata().get(name)?.to_str().ok();
        let reason = plain("headgate-reason").unwrap_or_default().to_owned();
        let delay = plain("headgate-retry-after-ms").and_then(|text| text.parse::<u32>().ok());
        let mut error = Self {
            status: renamed(status),
            reason,
            retry_delay: delay.map(|count| Duration::from_millis(count.into())),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
        };
        error.read_details();
        error
    }
}

/// tonic says OUT_OF_RANGE of messages over a limit of this side, where gRPC's other libraries, and
/// the gateway's, say RESOURCE_EXHAUSTED. The gateway itself never says OUT_OF_RANGE.
fn renamed(status: Status) -> Status {
    if status.code() != Code::OutOfRange {
        return status;
    }
    let metadata = status.metadata().clone();
    Status::with_metadata(Code::ResourceExhausted, status.message(), metadata)
}

impl fmt::Display for Error {
    /// `message (REASON)`; without a reason the name of the code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = if self.message().is_empty() { "no details" } else { self.message() };
        let why = if self.reason.is_empty() { code_name(self.code()) } else { &self.reason };
        write!(f, "{message} ({why})")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.status)
    }
}

/// The canonical name of a status code, such as "UNAVAILABLE".
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
