//! What lies between the generated stub and tonic's channel: retries, deadlines, the token.

use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use tokio::time::{sleep, sleep_until, timeout_at, Instant, Sleep};
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::transport::Channel;
use tonic::{Code, Status, TimeoutExpired};
use tower_service::Service;

use crate::defaults::RETRY_BUFFER_BYTES;
use crate::retry::{Attempts, Pushback, Throttle};

/// The service under the stub of a [`Client`](crate::Client): tonic's channel, with what gRPC's
/// other libraries do by themselves.
///
/// - Attempts that fail with UNAVAILABLE before the answer begins are made again (gRFC A6).
/// - A deadline holds for the whole call, and its end is DEADLINE_EXCEEDED.
/// - A connection that breaks is UNAVAILABLE.
#[derive(Clone, Debug)]
pub struct Transport {
    channel: Channel,
    call: Arc<Settings>,
}

/// What all calls over one channel share.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) throttle: Throttle,
}

impl Transport {
    pub(crate) fn new(channel: Channel, call: Settings) -> Self {
        Self { channel, call: Arc::new(call) }
    }

    async fn run(self, request: Request<Body>) -> Result<Response<Body>, Status> {
        let (mut head, body) = request.into_parts();
        if let (Some(token), false) =
            (&self.call.authorization, head.headers.contains_key(AUTHORIZATION))
        {
            head.headers.insert(AUTHORIZATION, token.clone());
        }
        let timeout = timeout_of(&head.headers).or(self.call.timeout);
        // A deadline too far away for the clock is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let message = body.collect().await?.to_bytes();
        let request = Request::from_parts(head, message);
        let Some(at) = deadline else { return self.attempts(request, None).await };
        let answer = timeout_at(at, self.attempts(request, deadline)).await;
        Ok(answer.unwrap_or_else(|_| Err(late()))?.map(|body| Body::new(Timed::new(body, at))))
    }

    async fn attempts(
        &self,
        mut request: Request<Bytes>,
        deadline: Option<Instant>,
    ) -> Result<Response<Body>, Status> {
        let mut attempts = Attempts::new();
        loop {
            let previous = attempts.begin();
            if previous > 0 {
                request.headers_mut().insert("grpc-previous-rpc-attempts", previous.into());
            }
            if let Some(at) = deadline {
                request.headers_mut().insert("grpc-timeout", remaining(at));
            }
            let outcome = self.attempt(request.clone()).await;
            let Some((code, pushback)) = failure(&outcome) else {
                self.call.throttle.succeeded();
                return outcome;
            };
            let delay = attempts.after(code, pushback, &self.call.throttle, fastrand::f64());
            let fits = |delay| deadline.is_none_or(|at| Instant::now() + delay < at);
            match delay {
                Some(delay) if request.body().len() <= RETRY_BUFFER_BYTES && fits(delay) => {
                    sleep(delay).await;
                }
                _ => return outcome,
            }
        }
    }

    async fn attempt(&self, request: Request<Bytes>) -> Result<Response<Body>, Status> {
        let mut channel = self.channel.clone();
        poll_fn(|cx| channel.poll_ready(cx)).await.map_err(|error| broken(&error))?;
        let answer = channel.call(request.map(|message| Body::new(Full::new(message)))).await;
        let answer = answer.map_err(|error| broken(&error))?;
        Ok(answer.map(|body| Body::new(body.map_err(|error| broken(&error)))))
    }
}

impl Service<Request<Body>> for Transport {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(())) // each attempt waits for the channel
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().run(request))
    }
}

/// How an attempt failed, if it did, before the answer began: without a connection, or with
/// trailers only. After response headers gRFC A6 takes an answer as begun.
fn failure(outcome: &Result<Response<Body>, Status>) -> Option<(Code, Pushback)> {
    match outcome {
        Err(status) => Some((status.code(), Pushback::Unsaid)),
        Ok(answer) => Status::from_header_map(answer.headers())
            .filter(|status| status.code() != Code::Ok)
            .map(|status| (status.code(), Pushback::of(answer.headers()))),
    }
}

/// The status of a connection that broke, with the words of everybody who had something to say.
///
/// tonic's own is mostly UNKNOWN here, and CANCELLED for a connection that closed just before.
fn broken(error: &(dyn std::error::Error + 'static)) -> Status {
    let mut code = Code::Unavailable;
    let mut words: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<TimeoutExpired>() {
            return late(); // tonic's clock for the same deadline was quicker
        }
        // A stream that was reset for any other reason than that nobody looked at it.
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            if error.is_reset() && error.reason() != Some(h2::Reason::REFUSED_STREAM) {
                code = Code::Internal;
            }
        }
        let text = error.downcast_ref::<Status>().map_or(error.to_string(), |s| s.message().into());
        if !words.iter().any(|word| word.contains(&text)) {
            words.push(text);
        }
        next = error.source();
    }
    Status::new(code, words.join(": "))
}

fn late() -> Status {
    Status::deadline_exceeded("the call's deadline has passed")
}

/// An answer's body that fails when the deadline passes; tonic's own timer ends with the headers.
struct Timed {
    body: Body,
    deadline: Pin<Box<Sleep>>,
}

impl Timed {
    fn new(body: Body, deadline: Instant) -> Self {
        Self { body, deadline: Box::pin(sleep_until(deadline)) }
    }
}

impl http_body::Body for Timed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            self.body = Body::empty(); // dropping the other cancels the call
            return Poll::Ready(Some(Err(late())));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

/// The timeout that a request was given (gRPC over HTTP/2: at most eight digits and a unit).
fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (count, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count = u64::from(count.parse::<u32>().ok()?);
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// What is left of the time, rounded up.
fn remaining(deadline: Instant) -> HeaderValue {
    let left = deadline.saturating_duration_since(Instant::now());
    let milliseconds = left.as_micros().div_ceil(1000);
    let text = match milliseconds {
        0..=99_999_999 => format!("{milliseconds}m"),
        _ => format!("{}S", milliseconds.div_ceil(1000).min(99_999_999)),
    };
    HeaderValue::from_str(&text).expect("digits and a letter are a header's value")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_str(text).unwrap());
        timeout_of(&headers)
    }

    #[test]
    fn timeouts_are_read_in_every_unit() {
        for (text, seconds) in [("2H", 7200.0), ("3M", 180.0), ("4S", 4.0), ("5m", 0.005)] {
            assert_eq!(read(text), Some(Duration::from_secs_f64(seconds)));
        }
        assert_eq!(read("6u"), Some(Duration::from_micros(6)));
        assert_eq!(read("7n"), Some(Duration::from_nanos(7)));
        assert_eq!(read("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        for wrong in ["", "5", "m", "-5m", "5x", "1.5S"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_left_is_told_in_at_most_eight_digits_and_never_too_short() {
        for left in [0, 1, 999, 1000, 1001, 99_999_999_000, 99_999_999_001, 1 << 50] {
            let left = Duration::from_micros(left);
            let text = remaining(Instant::now() + left);
            let text = text.to_str().unwrap();
            assert!(text.len() <= 9, "{text}");
            let told = read(text).unwrap();
            let unit = Duration::from_secs(if text.ends_with('S') { 1 } else { 0 });
            assert!(told >= left.min(Duration::from_secs(99_999_999)), "{text} for {left:?}");
            assert!(told <= left + unit + Duration::from_millis(1), "{text} for {left:?}");
        }
    }
}
