//! What an error says of a status.

use std::time::Duration;

use headgate_client::tonic::codegen::Bytes;
use headgate_client::tonic::metadata::MetadataMap;
use headgate_client::tonic::{Code, Status};
use headgate_client::{code_name, Error, ErrorReason, FieldViolation};
use prost::Message;
use tonic_types::{ErrorDetails, StatusExt};

fn metadata(pairs: &[(&'static str, &str)]) -> MetadataMap {
    let mut map = MetadataMap::new();
    for (name, value) in pairs {
        map.insert(*name, value.parse().unwrap());
    }
    map
}

fn info(domain: &str) -> ErrorDetails {
    let facts = [("cause".to_owned(), "reset".to_owned()), ("position_sent".into(), "3".into())];
    let mut details = ErrorDetails::new();
    details.set_error_info("STREAM_INTERRUPTED", domain, facts);
    details
}

#[test]
fn everything_comes_from_the_google_rpc_details() {
    let mut details = info("headgate");
    details.set_retry_info(Some(Duration::from_micros(1_500_250)));
    details.add_bad_request_violation("temperature", "is 3; allowed is 0.0 to 2.0");
    details.add_bad_request_violation("messages", "is empty");
    let trailers = metadata(&[("headgate-reason", "INTERNAL"), ("headgate-retry-after-ms", "9")]);
    let status = Status::with_error_details_and_metadata(Code::Aborted, "cut", details, trailers);
    let error = Error::from(status);
    assert_eq!((error.code(), error.message()), (Code::Aborted, "cut"));
    assert_eq!(error.reason(), ErrorReason::StreamInterrupted);
    assert_eq!(error.reason_name(), "STREAM_INTERRUPTED");
    assert_eq!(error.retry_delay(), Some(Duration::from_micros(1_500_250)));
    assert_eq!(error.metadata()["cause"], "reset");
    assert_eq!(error.position_sent(), Some(3));
    let violation =
        |field: &str, text: &str| FieldViolation { field: field.into(), description: text.into() };
    assert_eq!(
        error.violations(),
        [
            violation("temperature", "is 3; allowed is 0.0 to 2.0"),
            violation("messages", "is empty"),
        ]
    );
    assert_eq!(error.trailers().get("headgate-reason").unwrap(), "INTERNAL");
    assert_eq!(error.to_string(), "cut (STREAM_INTERRUPTED)");
}

#[test]
fn plain_trailers_say_the_same_where_details_are_missing_broken_or_not_ours() {
    let trailers =
        || metadata(&[("headgate-reason", "DRAINING"), ("headgate-retry-after-ms", "75")]);
    let code = Code::Unavailable;
    let foreign = Status::with_error_details(code, "", info("example.com"));
    let other_code = Status::with_error_details(Code::Internal, "", info("headgate"));
    for details in [
        Bytes::new(),
        Bytes::from_static(b"\xff\xff"),
        Bytes::copy_from_slice(foreign.details()),
        Bytes::copy_from_slice(other_code.details()),
    ] {
        let status = Status::with_details_and_metadata(code, "", details, trailers());
        let error = Error::from(status);
        assert_eq!(error.reason(), ErrorReason::Draining);
        assert_eq!(error.retry_delay(), Some(Duration::from_millis(75)));
        assert!(error.metadata().is_empty());
        assert_eq!(error.to_string(), "no details (DRAINING)");
    }
}

#[test]
fn a_detail_that_cannot_be_read_does_not_spoil_the_others() {
    let mut said = tonic_types::pb::Status::decode(
        Status::with_error_details(Code::Aborted, "", info("headgate")).details(),
    )
    .unwrap();
    for name in ["RetryInfo", "Novelty"] {
        let type_url = format!("type.googleapis.com/google.rpc.{name}");
        said.details.insert(0, prost_types::Any { type_url, value: vec![0xff] });
    }
    let status = Status::with_details(Code::Aborted, "", said.encode_to_vec().into());
    let error = Error::from(status);
    assert_eq!((error.reason(), error.retry_delay()), (ErrorReason::StreamInterrupted, None));
}

#[test]
fn a_status_that_is_not_the_gateways_has_no_reason() {
    let error = Error::from(Status::unavailable("connection refused"));
    assert_eq!((error.reason(), error.reason_name()), (ErrorReason::Unspecified, ""));
    assert_eq!((error.retry_delay(), error.position_sent()), (None, None));
    assert_eq!(error.to_string(), "connection refused (UNAVAILABLE)");
}

#[test]
fn a_reason_of_a_later_version_keeps_its_name() {
    let trailers = metadata(&[("headgate-reason", "MOON_PHASE")]);
    let error = Error::from(Status::with_metadata(Code::Aborted, "", trailers));
    assert_eq!((error.reason(), error.reason_name()), (ErrorReason::Unspecified, "MOON_PHASE"));
}

#[test]
fn a_delay_or_position_that_is_no_count_is_none() {
    for wrong in ["", "-1", "1.5", "soon", "99999999999999999999"] {
        let trailers = metadata(&[("headgate-retry-after-ms", wrong)]);
        let error = Error::from(Status::with_metadata(Code::Aborted, "", trailers));
        assert_eq!(error.retry_delay(), None, "{wrong:?}");
        let mut details = ErrorDetails::new();
        details.set_error_info("INTERNAL", "headgate", [("position_sent".into(), wrong.into())]);
        let error = Error::from(Status::with_error_details(Code::Aborted, "", details));
        assert_eq!(error.position_sent(), None, "{wrong:?}");
    }
}

#[test]
fn every_code_has_its_canonical_name() {
    for number in 0..=16 {
        let code = Code::from(number);
        let plain = code_name(code).replace('_', "").to_lowercase();
        assert_eq!(plain, format!("{code:?}").to_lowercase());
    }
}
